"""The sidebar of every page: the run, a box to jump to a feature, the pages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import copy
from functools import cache
from typing import Any

import streamlit as st

from featurelib import installation, queries
from featurelib.schema import Refusal
from featurelib.storage.runs import Run
from featurelib.ui.kit.address import address, arrive, note_run, open_feature, set_params
from featurelib.ui.kit.elements import Html, html, percent, sentence, stop_with, tag
from featurelib.ui.kit.session import choose_run, data_folder, known_runs, open_run

REMEMBERED = "run last shown"
PICKER = "run picker"
DEMO = "demo"
FIRST_STEPS = ("build texts.csv --name mine", "serve")


@cache
def _named(pages: tuple[tuple[str, str], ...], first: str) -> list[Any]:
    return [st.Page(file, title=title, default=file == first) for file, title in pages]


def named_pages(pages: tuple[tuple[str, str], ...], first: str) -> list[Any]:
    """The pages (file, title) as Streamlit's navigation wants them, that of the file `first` shown by default.

    Copies, because a rerun notes in a page whether it may be drawn; to find all the files anew takes 2 ms of a click.
    """
    return [copy(page) for page in _named(pages, first)]


def sidebar(menu: Mapping[str, Sequence[tuple[str, str]]], current: str) -> None:
    """Draw the sidebar and pin the run of this rerun; ends the page with a sentence when there is none to show.

    `menu` maps sections to (page file, title); `current` is the page that is shown.
    """
    arrive(current)
    runs = known_runs()
    name = _run_of_address(runs)
    if name is not None:
        set_params(run=name)
        st.session_state[REMEMBERED] = name
    note_run()
    with st.sidebar:
        html(tag("div", "Feature browser", cls="brand"))
        if runs and (name is None or len(runs) > 1):
            _run_picker(list(runs), name)
        jump = st.container()
        _menu(menu, current)
    if not runs:
        _first_steps()
    if name is None:
        unknown = st.query_params.get("run", "")
        stop_with(f"There is no run '{unknown[:64]}' here; {', '.join(runs)} can be opened: choose one in the sidebar.")
    try:
        choose_run(runs[name])
    except Refusal as refusal:
        stop_with(str(refusal))
    with jump:
        _jump()


def _menu(menu: Mapping[str, Sequence[tuple[str, str]]], current: str) -> None:
    pieces = []
    for section, pages in menu.items():
        pieces.append(tag("div", section, cls="section"))
        for page, title in pages:
            here = {"aria_current": "page"} if page == current else {}
            pieces.append(tag("a", title, cls="in-app", href=address(page, {}), **here))
    html(tag("nav", *pieces, cls="menu"))


def _run_of_address(runs: Mapping[str, Run]) -> str | None:
    """The run of the address, else the one last shown, else the demo, else the first complete one.

    None when that of the address is unknown.
    """
    named = st.query_params.get("run")
    if named is not None:
        return named if named in runs else None
    last = st.session_state.get(REMEMBERED)
    if last in runs:
        return last
    complete = [name for name, run in runs.items() if _is_complete(run)]
    return DEMO if DEMO in complete else next(iter([*complete, *runs]), None)


def _is_complete(run: Run) -> bool:
    try:
        return run.current().complete
    except Refusal:
        return False


def _run_picker(names: list[str], shown: str | None) -> None:
    """A list of runs, set from the address and never bound to it; choosing one removes all other parameters."""
    if shown is not None and st.session_state.get(PICKER) != shown:
        st.session_state[PICKER] = shown
    index = 0 if shown else None
    st.selectbox("Run", names, index=index, placeholder="choose a run", key=PICKER, on_change=_picked)


def _picked() -> None:
    if st.session_state[PICKER]:
        st.query_params.from_dict({"run": st.session_state[PICKER]})


def _jump() -> None:
    """A box to find a feature by words; the id of a feature opens it at once."""
    words = st.text_input(
        "Jump to a feature",
        key="jump words",
        placeholder="go to a feature: words or id",
        label_visibility="collapsed",
        max_chars=80,
    )
    if not words:
        return
    try:
        matches = queries.find_features(open_run().store, words, limit=8).to_pylist()
    except Refusal as refusal:
        sentence(str(refusal))
        return
    if matches and words.strip() == str(matches[0]["feature_id"]):
        if st.session_state.get("jumped to") != words:
            st.session_state["jumped to"] = words
            open_feature(matches[0]["feature_id"])
        matches = matches[:1]
    if matches:
        html(tag("div", *map(_found, matches), cls="jump-found"))
    else:
        sentence(f"No label or keyword contains “{words}”.")


def _found(row: Mapping[str, Any]) -> Html:
    fires = f"fires on {percent(row['density'])} of texts"
    return tag("a", row["label"], cls="in-app", href=address("feature.py", {"feature": row["feature_id"]}), title=fires)


def _first_steps() -> None:
    """The page of an empty data folder."""
    html(
        tag("h1", "No run yet"),
        tag("p", f"The folder “{data_folder().name}” holds no run. Two commands make one and show it:", cls="lead"),
    )
    st.code("\n".join(map(installation.command, FIRST_STEPS)), language="bash")
    html(
        tag(
            "p",
            "The source may be csv, tsv, json, jsonl, parquet, a folder of them or of .txt files, or a Hugging Face "
            "dataset id. "
            "The build says how long it will take and continues where it was when it is stopped.",
            cls="lead",
        )
    )
    st.stop()

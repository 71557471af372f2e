"""One text of the corpus: the whole text, its metadata, the features that fire on it, what each word adds to one."""

from __future__ import annotations

from typing import Any

import streamlit as st

from featurelib import queries, ui
from featurelib.schema import BY_TEXT, Refusal
from featurelib.ui.kit import lists, navigation
from featurelib.ui.texts import metadata, text_list, word_attributions

NONE = "none"


def words_box(rows: list[dict[str, Any]]) -> int | None:
    """The feature to colour the words for: one of those that fire, or that of the address; None for no colours."""
    names = {str(row["feature_id"]): row["label"] for row in rows}
    named = ui.count_param("feature")
    if named is not None and str(named) not in names:
        with ui.section():
            names[str(named)] = queries.feature(store, named).label
    chosen = ui.choice_box(
        "Highlight what the words add to",
        "feature",
        [NONE, *names],
        show=lambda name: names.get(name, "no feature"),
        resets=("deleted",),
        width=420,
    )
    return None if chosen == NONE else int(chosen)


def shown_words(rows: list[dict[str, Any]]) -> None:
    """The text, its words coloured by what they add to the chosen feature."""
    chosen = words_box(rows) if rows or ui.param("feature") else None
    if chosen is None:
        ui.html(text_list.cut_text(text.text, text.cut, start=text_list.after_title(text.text, text.title or "")))
        return
    with st.spinner(navigation.STARTING, show_time=True):
        word_attributions.words(opened, text.text, text.cut, chosen, queries.feature(store, chosen).label)


opened = ui.open_run()
store = opened.store
text_id = ui.whole_number_param("text")
try:
    text = queries.text(store, text_id or 0)
except Refusal as refusal:
    ui.page("Text")
    ui.stop_with(str(refusal))
number = text.text_id
navigation.begin_at_top(number)

head, onward = st.columns([5, 3], gap="medium")
with head:
    ui.page(text.title or f"Text {number}", crumbs=f"{opened.name} · text {number}")
with onward:
    navigation.moves("text.py", "text", number, last=text_list.count_texts(store) - 1)

if text.n_active is not None:
    navigation.text_strip(text)
rows = queries.text_features(store, number).to_pylist() if store.has(BY_TEXT) else []
words, beside = st.columns([1.5, 1], gap="large")
with words:
    with ui.section():
        shown_words(rows)
    ui.page_links(
        ui.link("search.py", "texts near it in meaning ›", {"near": number}),
        ui.link("similar.py", "explain a similarity ›", {"a": number}),
        ui.link("steer.py", "steer its features ›", {"text": number}),
        ui.link("textmap.py", "on the text map ›", {"text": number}),
    )
    metadata.about_text(text, store)
with beside, ui.section():
    opened.generation.need(BY_TEXT)
    if not rows:
        ui.sentence("No feature fires on this text.")
    lists.line_list(
        "fires",
        [
            lists.feature_line(
                row["feature_id"],
                row["label"],
                ui.number(row["activation"]),
                ui.density(row["density"]),
                share=row["activation"] / rows[0]["activation"],
            )
            for row in rows
        ],
        title="Features that fire",
        help=lists.BAR,
        names=("activation", "density"),
    )

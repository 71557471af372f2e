"""Texts of a feature beside its top texts: near misses, random texts, those on which its name fails."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import streamlit as st

from featurelib import queries
from featurelib.queries import Feature
from featurelib.schema.records import PASSED_OVER, UNTOLD
from featurelib.storage.store import Store
from featurelib.ui.feature.drawing import Drawing, with_copies
from featurelib.ui.kit.address import count_param, set_params
from featurelib.ui.kit.elements import count, heading, html, number, percent, sentence, tag
from featurelib.ui.texts.text_list import ShownText, text_of

DRAWN = 10
FAILURES = {
    PASSED_OVER: ("The name predicts them, the feature passes over", "the nearest to the name of the label test texts"),
    UNTOLD: (
        "It fires on them, the name does not tell",
        "the strongest label test texts that hold no part of the name",
    ),
}
OLDER = "Where the name fails is not known: this run's names were made by an older version; build it once more."
FAR = 0.5
"""A dead feature that reaches less than this share of what it needs stays far below it."""


def near_misses(drawing: Drawing) -> None:
    """The texts just below a feature's threshold, and what fires on them instead; a dead feature has them too."""
    store, feature = drawing.opened.store, drawing.feature
    rows = queries.near_misses(store, feature.feature_id).to_pylist()
    if not rows:
        sentence("It fires on every text, so there are no near misses.")
        return
    html(tag("p", _how_near(store, feature, rows[0]), cls="muted"))
    shown = [_missed(row, store) for row in rows]
    drawing.draw("near-misses", shown, before="fires instead:")


def _missed(row: Mapping[str, Any], store: Store) -> ShownText:
    shown = with_copies(text_of(row, store), row)
    short = f"threshold {number(row['needed'], 4)}, {number(row['needed'] - row['pre_activation'], 2)} short"
    return dataclasses.replace(
        shown, value=row["pre_activation"], maximum=row["needed"] or 1.0, about=(short, *shown.about)
    )


def _how_near(store: Store, feature: Feature, nearest: Mapping[str, Any]) -> str:
    words = (
        "Texts on which it does not fire, nearest first: the number is the pre-activation, its bar the share of "
        "what it had to exceed on that text."
    )
    if not feature.dead or nearest["needed"] <= 0:
        return words
    reached = max(nearest["pre_activation"] / nearest["needed"], 0.0)
    done = store.generation.done("near_misses")
    nearly = done.facts.get("nearly", 1.0) if done else 1.0
    verdict = "it nearly fires" if reached >= nearly else "it stays below" if reached >= FAR else "it stays far below"
    return f"Its nearest text reaches {percent(reached)} of the threshold, so {verdict}. {words}"


def name_failures(drawing: Drawing) -> None:
    """The label test texts on which the name fails: those it predicts in vain, those it does not tell."""
    store, feature = drawing.opened.store, drawing.feature
    rows = queries.name_failures(store, feature.feature_id)
    if rows is None or not rows.num_rows:
        sentence("It has no name that could fail." if rows is not None else OLDER)
        return
    texts = {row["text_id"]: row for row in queries.texts(store, rows["text_id"].to_pylist()).to_pylist()}
    for kind, (title, note) in FAILURES.items():
        of_kind = [row for row in rows.to_pylist() if row["kind"] == kind]
        heading(title, note)
        if not of_kind:
            sentence("None.")
        shown = [
            dataclasses.replace(
                text_of(texts[row["text_id"]] | row, store, feature.max_activation), about=(_failing(row),)
            )
            for row in of_kind
        ]
        drawing.draw(f"fails {kind}", shown, before="also active:")


def _failing(row: Mapping[str, Any]) -> str:
    held = f"{row['n_held']} part{'' if row['n_held'] == 1 else 's'} of the name"
    near = "" if row["cosine"] is None else f", cosine to the name {number(row['cosine'], 2)}"
    return f"holds {held}{near}"


def random_texts(drawing: Drawing) -> None:
    """Texts drawn from all on which a feature fires, each with the same chance; the draw lives in the address."""
    store, feature = drawing.opened.store, drawing.feature
    draw = count_param("draw", 0) or 0
    rows = queries.random_texts(store, feature.feature_id, limit=DRAWN, seed=draw).to_pylist()
    with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"):
        of = f"{len(rows)} of {count(feature.n_active)} texts on which it fires, drawn at random, strongest first."
        html(tag("p", of, cls="muted"), width="content")
        if len(rows) < feature.n_active and st.button("Draw others", key="draw others", type="tertiary"):
            set_params(draw=draw + 1)
            st.rerun()
    shown = [text_of(row, store, feature.max_activation) for row in rows]
    drawing.draw("random", shown, before="also active:")

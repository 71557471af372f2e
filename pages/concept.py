"""Whether a concept, given by examples, is in the features."""

from __future__ import annotations

import streamlit as st

from featurelib import queries, ui
from featurelib.schema import Refusal
from featurelib.ui.slices import concept, side
from featurelib.ui.texts import text_input

LEAD = "Give examples of a concept: what single feature, or what few features together, tell them from other texts?"
HINT = "Paste eight examples or more, one a line, or choose them from the corpus."

run = ui.open_run()
ui.page("Concept", LEAD)
try:
    typed = text_input.typed_box(
        "Examples, one a line",
        placeholder="texts of your own that have it …",
        limit=text_input.LONGEST,
        height=120,
        resets=(),
    )
    named = [column.name for column in queries.filter_columns(run.store)]
    sides = []
    for place, name, title, note in zip(
        st.columns(2, gap="large"),
        ("a", "b"),
        ("Examples from the corpus", "Counter-examples"),
        ("the texts that have", "the rest of the corpus, or the texts that have"),
        strict=True,
    ):
        with place:
            sides.append(side.side_boxes(run, name, named, title=title, note=note))
    asked = concept.Asked(concept.lines_of(typed.text), *sides)
    if not asked.lines and asked.examples.is_empty:
        ui.stop_with(HINT)
    with ui.section():
        concept.shown(run, concept.find(run, asked))
except Refusal as refusal:
    ui.stop_with(str(refusal))

"""Texts on which some features fire and others do not."""

from __future__ import annotations

import streamlit as st

from featurelib import queries, ui
from featurelib.schema import Refusal
from featurelib.ui import combine
from featurelib.ui.texts import text_list

PER_PAGE = 10
HINT = (
    "Add features by their words: the texts on which all of the one list fire, and none of the other, are listed here, "
    "strongest first."
)

opened = ui.open_run()
store = opened.store
ui.page("Combine", "Texts on which A and B fire but not C.")
try:
    chosen = combine.combination_param(store)
    labels = queries.labels(store, chosen.present + chosen.absent)
    combine.lists(chosen, labels)
    combine.picker(store, chosen)
    if not labels:
        ui.stop_with(HINT)
    counts = queries.count_combined(store, chosen.present, chosen.absent)
except Refusal as refusal:
    ui.stop_with(str(refusal))
with ui.section():
    densities = queries.densities(store, labels)
    combine.counts_strip(counts, chosen, densities)
    if counts.n_matching == 0:
        ui.stop_with("No text matches.")
    ui.heading("Texts", combine.ORDER if chosen.present else "in the order of the corpus", help=combine.STRENGTH)
    place = st.container()
    first = ui.pager(counts.n_matching, PER_PAGE)
    rows = queries.combined_texts(store, chosen.present, chosen.absent, limit=PER_PAGE, offset=first).to_pylist()
    shown = [
        text_list.text_of(row | {"activation": row["strength"]}, store, 1.0 if chosen.present else None) for row in rows
    ]
    with place:
        text_list.text_list("combined", text_list.with_features(shown, store))

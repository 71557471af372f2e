"""Two sets of texts, feature by feature: which fire oftener in one than in the other, and on which texts."""

from __future__ import annotations

from typing import Any

import streamlit as st

from featurelib import charts, queries, ui
from featurelib.schema import Refusal
from featurelib.ui.kit.tables import choice_table
from featurelib.ui.slices import comparing, difference, side

LEAD = "Choose the texts of A by a column, by words, or both; B is the rest unless it is chosen too."
HINT = "Choose what the texts of A have in common: a value of a column, or words."


def choose(selection: dict[str, Any]) -> None:
    """Write the feature that was clicked into the address; a box leaves the address as it is."""
    ids = charts.chosen_ids(selection)
    if len(ids) < 2:
        ui.set_params(feature=ids[0] if ids else None)


run = ui.open_run()
ui.page("Compare slices", LEAD)
try:
    named = [column.name for column in queries.filter_columns(run.store)]
    sides = []
    notes = ("the texts that have", "the rest, or the texts that have")
    for place, name, note in zip(st.columns(2, gap="large"), ("a", "b"), notes, strict=True):
        with place:
            sides.append(side.side_boxes(run, name, named, title=f"Slice {name.upper()}", note=note))
    if sides[0].is_empty:
        ui.stop_with(HINT)
    slices = comparing.compare(run, *sides)
except Refusal as refusal:
    ui.stop_with(str(refusal))

found = slices.difference
titles = (sides[0].title, sides[1].title)
with ui.section():
    if slices.n_both:
        ui.sentence(f"{ui.count(slices.n_both)} texts are in both slices and are left out.")
    difference.difference_strip(found, "in A", "in B")
    wide, narrow = st.columns([1, 1.25], gap="large")
    with wide:
        figure = charts.density_scatter(found.rows, (found.n_a, found.n_b), ("A", "B"), ui.colours())
        picked = charts.chosen_ids(ui.chart(figure, key="slices", select=("points", "box"), chosen=choose))
    with narrow:
        show = difference.shown_box()
        order = difference.order()
        if len(picked) > 1:
            ui.sentence(f"{ui.count(len(picked))} features in the box.")
            rows = difference.picked_rows(found.rows, picked)
        else:
            rows = difference.chosen_rows(found.rows, show)
        rows = difference.in_order(rows, order)
        if not rows.num_rows:
            ui.sentence("No feature does.")
        above = st.container()
        with st.container(horizontal=True, horizontal_alignment="center", key="below-table"):
            offset = ui.pager(rows.num_rows, difference.PER_SIDE)
        asked = ui.whole_number_param("feature")
        if asked is None and rows.num_rows:
            asked = rows["feature_id"][offset].as_py()
        with above:
            columns = difference.difference_columns(("in A", "in B"), compact=True)
            page = rows.slice(offset, difference.PER_SIDE)
            choice_table(
                page, columns, page="slices.py", name="feature", column="feature_id", order=order, chosen=asked
            )
        ui.download(f"{run.name}-slices", lambda: rows, key="differences", what="Download")
    if asked is not None:
        with ui.section():
            comparing.texts_of_both(run, slices, asked, titles)

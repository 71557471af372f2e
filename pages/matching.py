"""Two SAEs on the same texts side by side: their evaluation, the features that both have, what each has alone."""

from __future__ import annotations

import streamlit as st

from featurelib import ui
from featurelib.schema import Refusal
from featurelib.ui.kit.session import known_runs
from featurelib.ui.kit.tables import order_of_address, sorted_rows
from featurelib.ui.matching import both_sides, partners

LEAD = (
    "Two runs on the same texts and embedder: how good each SAE is, which features both have, by the texts on which "
    "they fire and by their directions, and what each has alone."
)

opened = ui.open_run()
ui.page("SAE against SAE", LEAD)
names, reasons = partners.partners(opened)
if not names:
    ui.stop_with(partners.no_partner(reasons, known_runs()))
other = ui.choice_box("Compare with", "other", names, width=260, resets=("page", "side", "kind"))
try:
    both = partners.both_sides(opened, other)
except Refusal as refusal:
    ui.stop_with(str(refusal))
narrow, wide = st.columns([1, 1.6], gap="large")
with narrow, ui.section():
    both_sides.kind_table(opened, both)
with wide, ui.section():
    both_sides.evaluation_table(opened, other)
with ui.section():
    at, kind = both_sides.asked_for()
    side = both_sides.side_of(opened, both, at)
    order = order_of_address(both_sides.SORTS, rising=("label",))
    rows = sorted_rows(both_sides.feature_rows(side, kind), order.sort, order)
    both_sides.list_heading(side, kind, rows.num_rows)
    if not rows.num_rows:
        ui.sentence("No feature is.")
    above = st.container()
    with st.container(horizontal=True, horizontal_alignment="center", key="below-table"):
        offset = ui.pager(rows.num_rows, both_sides.PER_PAGE)
    with above:
        both_sides.feature_list(side, rows.slice(offset, both_sides.PER_PAGE), order)

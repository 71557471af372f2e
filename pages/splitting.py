"""Two SAEs on the same texts: which features of one became which of the other."""

from __future__ import annotations

import streamlit as st

from featurelib import ui
from featurelib.ui.kit.session import known_runs
from featurelib.ui.kit.tables import order_of_address, sorted_rows
from featurelib.ui.matching import fates, partners

LEAD = (
    "How the features of this run correspond to those of another run on the same texts and embedder: a larger SAE "
    "often splits a feature into several. Overlap is of the texts on which features fire."
)

opened = ui.open_run()
ui.page("Splitting", LEAD)
names, reasons = partners.partners(opened)
if not names:
    ui.stop_with(partners.no_partner(reasons, known_runs()))
other = ui.choice_box("Compare with", "other", names, width=260, resets=("page", "feature"))
with ui.section():
    compared = partners.compare(opened, other)
    fates.fate_counts(compared)
    fate = fates.fate_box()
    order = order_of_address(fates.SORTS, rising=("label", "fate", "other"))
    rows = sorted_rows(fates.overview(compared, fate), order.sort, order)
    asked = ui.whole_number_param("feature")
    if not rows.num_rows:
        ui.sentence("No feature matches.")
    if rows.num_rows or asked is not None:
        above = st.container()
        with st.container(horizontal=True, horizontal_alignment="center", key="below-table"):
            offset = ui.pager(rows.num_rows, fates.PER_PAGE)
        shown = rows["feature_id"][offset].as_py() if asked is None else asked
        with above:
            fates.fate_table(rows.slice(offset, fates.PER_PAGE), order, shown)
        with ui.section():
            fates.feature_fate(compared, shown)

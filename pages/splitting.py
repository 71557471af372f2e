"""Two SAEs on the same texts: which features of one became which of the other."""

from __future__ import annotations

import streamlit as st

from featurelib import ui
from featurelib.ui import matching
from featurelib.ui.kit.session import known_runs
from featurelib.ui.kit.tables import order_of_address, sorted_rows

LEAD = (
    "How the features of this run correspond to those of another run on the same texts and embedder: a larger SAE "
    "often splits a feature into several. Overlap is of the texts on which features fire."
)

opened = ui.open_run()
ui.page("Splitting", LEAD)
names, reasons = matching.partners(opened)
if not names:
    ui.stop_with(matching.no_partner(reasons, known_runs()))
other = ui.choice_box("Compare with", "other", names, width=260, resets=("page", "feature"))
with ui.section():
    compared = matching.compare(opened, other)
    matching.fates(compared)
    fate = matching.fate_box()
    order = order_of_address(matching.SORTS, rising=("label", "fate", "other"))
    rows = sorted_rows(matching.overview(compared, fate), order.sort, order)
    asked = ui.whole_number_param("feature")
    if not rows.num_rows:
        ui.sentence("No feature matches.")
    if rows.num_rows or asked is not None:
        above = st.container()
        with st.container(horizontal=True, horizontal_alignment="center", key="below-table"):
            offset = ui.pager(rows.num_rows, matching.PER_PAGE)
        shown = rows["feature_id"][offset].as_py() if asked is None else asked
        with above:
            matching.fate_table(rows.slice(offset, matching.PER_PAGE), order, shown)
        with ui.section():
            matching.feature_fate(compared, shown)

"""Features that may fire for something other than meaning: how many each check flags, and each with its numbers."""

from __future__ import annotations

import pyarrow as pa
import streamlit as st

from featurelib import queries, ui
from featurelib.schema import Refusal
from featurelib.ui import audit

PER_PAGE = 50
ALL = "all"
COLUMNS = {
    "feature_id": st.column_config.NumberColumn("id", width=50, format="%d"),
    "label": st.column_config.TextColumn("feature", width=270),
    "check": st.column_config.TextColumn("check", width=90),
    "value": st.column_config.NumberColumn(
        "value", width=70, format="%.3f", help="AUROC for length, a share of texts for every other check."
    ),
    "low": st.column_config.NumberColumn("95 % from", width=75, format="%.3f", help="The lower end of its interval."),
    "high": st.column_config.NumberColumn("to", width=65, format="%.3f", help="The upper end of its interval."),
    "expected": st.column_config.NumberColumn(
        "expected", width=75, format="%.3f", help="0.5 for length; the corpus's share for every other check."
    ),
    "n_texts": st.column_config.NumberColumn("texts", width=60, format="localized", help="Texts it was measured on."),
    "flagged": st.column_config.CheckboxColumn("flag", width=50),
    "detail": st.column_config.TextColumn("detail", width=420),
}

run = ui.open_run()
store = run.store
ui.page("Audit", "Does a feature fire by meaning, or by length, truncation, copies, language or boilerplate?")
try:
    counted = queries.audit_counts(store).to_pylist()
except Refusal as refusal:
    ui.stop_with(str(refusal))
if not counted:
    ui.stop_with("nothing was checked: no feature fires on any text.")
facts = audit.thresholds(store)
names = [row["check"] for row in counted]
ui.strip(
    [
        ui.Number(
            ui.count(row["n_flagged"]),
            f"{row['check']} · of {ui.count(row['n_features'])} features",
            audit.check_sentence(row["check"], facts),
        )
        for row in counted
    ]
)

with st.container(horizontal=True, vertical_alignment="bottom", key="filters"):
    shown_as = {ALL: "all checks"} | dict(zip(names, names, strict=True))
    check = ui.choice_box("Check", "check", list(shown_as), show=shown_as.get, width=200)
    every = ui.toggle("also features without a flag", "every")
chosen, flagged = None if check == ALL else check, not every


def all_found() -> pa.Table:
    """The whole selection, for a download."""
    return queries.audit_rows(store, chosen, flagged=flagged, limit=None)


n_found = queries.count_audit_rows(store, chosen, flagged=flagged)
with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute", key="above-table"):
    kind = ("flag" if flagged else "measurement") + ("" if n_found == 1 else "s")
    what = f"{n_found:,} {kind}, largest deviation first"
    ui.html(ui.tag("span", what, cls="muted"), width="content")
    ui.download(f"{run.name}-audit", all_found, key="audit", what="Download")
if n_found:
    above = st.container()
    with st.container(horizontal=True, horizontal_alignment="center", key="below-table"):
        offset = ui.pager(n_found, PER_PAGE)
    with above:
        rows = queries.audit_rows(store, chosen, flagged=flagged, limit=PER_PAGE, offset=offset)
        shown = {name: column for name, column in COLUMNS.items() if name != "flagged" or not flagged}
        ui.feature_table(rows, key=f"audit {check} {every} {offset}", columns=shown)
else:
    ui.sentence("no feature is flagged." if chosen is None else f"no feature is flagged by {chosen}.")
ui.heading("What is checked")
audit.checks_list(names, facts)

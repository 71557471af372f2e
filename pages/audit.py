"""Features that may fire for something other than meaning: how many each check flags, and each with its numbers."""

from __future__ import annotations

import pyarrow as pa
import streamlit as st

from featurelib import queries, ui
from featurelib.schema import Refusal
from featurelib.ui import audit
from featurelib.ui.kit.tables import feature_table, id_column, number_column, order_of_address, text_column

PER_PAGE = 50
ALL = "all"
COLUMNS = {
    "feature_id": id_column("id", sort="feature_id", phone=False),
    "label": text_column("feature", sort="label"),
    "check": text_column("check", sort="check"),
    "value": number_column("value", 3, sort="value", help="AUROC for length, a share of texts for every other check."),
    "low": number_column("95 % from", 3, sort="low", phone=False, help="The lower end of its interval."),
    "high": number_column("to", 3, sort="high", phone=False, help="The upper end of its interval."),
    "expected": number_column(
        "expected", 3, sort="expected", phone=False, help="0.5 for length; the corpus's share for every other check."
    ),
    "n_texts": number_column("texts", sort="n_texts", phone=False, help="Texts it was measured on."),
    "flagged": text_column("flag", show=lambda flagged: "flag" if flagged else "", sort="flagged", phone=False),
    "detail": text_column("detail", sort="detail", phone=False, longest=160),
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
    return queries.audit_rows(store, chosen, flagged=flagged, sort=order.sort, descending=order.descending, limit=None)


order = order_of_address(queries.AUDIT_SORTS, rising=("label", "check", "feature_id"))


n_found = queries.count_audit_rows(store, chosen, flagged=flagged)
with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute", key="above-table"):
    kind = ("flag" if flagged else "measurement") + ("" if n_found == 1 else "s")
    what = f"{n_found:,} {kind}" + (", largest deviation first" if order.sort == queries.AUDIT_SORTS[0] else "")
    ui.html(ui.tag("span", what, cls="muted"), width="content")
    ui.download(f"{run.name}-audit", all_found, key="audit", what="Download")
if n_found:
    above = st.container()
    with st.container(horizontal=True, horizontal_alignment="center", key="below-table"):
        offset = ui.pager(n_found, PER_PAGE)
    with above:
        rows = queries.audit_rows(
            store,
            chosen,
            flagged=flagged,
            sort=order.sort,
            descending=order.descending,
            limit=PER_PAGE,
            offset=offset,
        )
        shown = {name: column for name, column in COLUMNS.items() if name != "flagged" or not flagged}
        feature_table(rows, page="audit.py", key="audit", columns=shown, order=order)
else:
    ui.sentence("no feature is flagged." if chosen is None else f"no feature is flagged by {chosen}.")
ui.heading("What is checked")
audit.checks_list(names, facts)

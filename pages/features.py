"""All features as a table: search, filter, sort, page, download; a row opens its feature."""

from __future__ import annotations

from dataclasses import replace

import pyarrow as pa
import streamlit as st

from featurelib import queries, ui
from featurelib.schema import Refusal
from featurelib.ui.kit import text_ranges
from featurelib.ui.kit.feature_columns import FEATURES
from featurelib.ui.kit.tables import FALLING, ORDERS, Order, feature_table

PER_PAGE = 50
SORT_NAMES = {
    "max_activation": "maximum activation",
    "density": "density",
    "n_active": "number of texts",
    "mean_activation": "mean activation",
    "label": "name",
    "auroc": "fidelity (AUROC)",
    "ap": "fidelity (AP)",
    "cluster": "cluster",
    "gate": "threshold",
    "feature_id": "id",
}
"""The orders of the table by name; the first is the one that a bare address shows."""
SORTING = "Sorts all features, as the heads of the table do."
STATES = {"all": "all features", "live": "live features", "dead": "dead features"}
FILTERS = ("least", "most", "low", "high", "state", "cluster", "flag", "auroc", "ap")
FLAGS = {"all": "any or none", "any": "any flag"}


def where_found(found: queries.Ranked, n_shown: int) -> str:
    """How many features hold the words in their name, and how many elsewhere; nothing where filters leave some out."""
    if len(found.feature_ids) != n_shown:
        return ""
    return f": in the name ({found.n_in_name:,}) · only in keywords ({n_shown - found.n_in_name:,})"


run = ui.open_run()
store = run.store
ui.page("Features", "All features of the SAE. A row opens its feature, a head sorts the table.")
try:
    counted = queries.counts(store)
except Refusal as refusal:
    ui.stop_with(str(refusal))

n_filters = sum(name in st.query_params for name in FILTERS)
with st.container(horizontal=True, vertical_alignment="bottom", key="filters"):
    words = ui.text_box("Search", "q", placeholder="words of labels and keywords, or an id", type="search")
    names = {queries.RELEVANCE: "relevance", **SORT_NAMES} if words.strip() else SORT_NAMES
    sort = ui.choice_box("Sort by", "sort", list(names), show=names.get, width=180, help=SORTING)
    order = ui.choice_box("Order", "order", list(ORDERS), show=ORDERS.get, width=130)
    with st.popover(f"Filter ({n_filters})" if n_filters else "Filter"):
        state = ui.choice_box("Show", "state", list(STATES), show=STATES.get)
        least = ui.count_box(
            "Fires on at least … texts", "least", help=f"Density is this number over {counted.n_texts:,}."
        )
        most = ui.count_box("Fires on at most … texts", "most")
        low = ui.number_box("Maximum activation at least", "low")
        high = ui.number_box("Maximum activation at most", "high")
        cluster = ui.count_box("Cluster on the map", "cluster")
        auroc = ui.number_box("Name predicts firing: AUROC at least", "auroc", high=1.0)
        ap = ui.number_box("Name predicts firing: average precision at least", "ap", high=1.0)
        flags = FLAGS | {name: name for name in queries.audit_checks(store)}
        flag = ui.choice_box("Flag of the audit", "flag", list(flags), show=flags.get) if len(flags) > 2 else "all"
    if (n_filters or words) and st.button("Clear", type="tertiary"):
        ui.set_params(**dict.fromkeys((*FILTERS, "q", "page")))
        st.rerun()

which = replace(
    text_ranges.fires_on(text_ranges.text_range(least, most, counted.n_texts), counted.n_texts),
    words=words,
    activation_low=low,
    activation_high=high,
    cluster=cluster,
    fidelity_low=auroc,
    ap_low=ap,
)
if state != "all":
    which = replace(which, dead=state == "dead")
if flag != "all":
    which = replace(which, ids=queries.flagged_ids(store, None if flag == "any" else flag))
n_found = queries.count_features(store, which)
how_many = f"{n_found:,} of {counted.n_features:,} features"
if words.strip() and n_found:
    how_many += where_found(queries.ranked(store, words), n_found)
sorting = Order(sort, order == FALLING)


def all_found() -> pa.Table:
    """The whole selection, for a download."""
    return queries.features(store, which, sort=sort, descending=sorting.descending, limit=None)


with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute", key="above-table"):
    ui.html(ui.tag("span", how_many, cls="muted"), width="content")
    ui.download(f"{run.name}-features", all_found, key="features", what="Download")
if n_found == 0:
    ui.stop_with("No feature matches; remove a word or a filter.")
above = st.container()
with st.container(horizontal=True, horizontal_alignment="center", key="below-table"):
    offset = ui.pager(n_found, PER_PAGE)
with above:
    rows = queries.features(store, which, sort=sort, descending=sorting.descending, limit=PER_PAGE, offset=offset)
    silent = queries.silent_columns(store)
    # what words find is told by the keywords that hold them; otherwise a title says more than cut keywords
    left_out = silent | {"strongest" if words.strip() else "keywords"}
    shown = {name: column for name, column in FEATURES.items() if name not in left_out}
    if not words.strip():
        titles = queries.strongest_titles(store, rows["feature_id"].to_pylist())
        rows = rows.append_column("strongest", pa.array(titles, pa.string()))
    feature_table(rows, page="features.py", key="features", columns=shown, order=sorting)

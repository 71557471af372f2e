"""All features as a table: search, filter, sort, page, download; a row opens its feature. At coarser levels, groups."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pyarrow as pa
import streamlit as st

from featurelib import queries, ui
from featurelib.schema import NAME_COVERAGE, Refusal
from featurelib.ui import features as pieces
from featurelib.ui.kit import granularity
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
OF_FEATURES = "All features of the SAE. A row opens its feature, a head sorts the table."
OF_GROUPS = "Groups of features that fire on alike texts. A row opens a group's features, a head sorts the table."
SORTING = "Sorts all features, as the heads of the table do."


def where_found(found: queries.Ranked, n_shown: int) -> str:
    """How many features hold the words in their name, and how many elsewhere; nothing where filters leave some out."""
    if len(found.feature_ids) != n_shown:
        return ""
    return f": in the name ({found.n_in_name:,}) · only in keywords ({n_shown - found.n_in_name:,})"


def above_table(how_many: str, name: str, rows: Callable[[], pa.Table]) -> None:
    """How many rows there are, and their download."""
    with st.container(
        horizontal=True, vertical_alignment="center", horizontal_alignment="distribute", key="above-table"
    ):
        ui.html(ui.tag("span", how_many, cls="muted"), width="content")
        ui.download(f"{run.name}-{name}", rows, key=name, what="Download")


def group_list(level: queries.Level, of_level: int) -> None:
    """The groups of a level of regions."""
    words, order = granularity.group_controls(level)
    found = queries.groups(store, of_level, words=words, sort=order.sort, descending=order.descending)
    above_table(f"{found.num_rows:,} of {level.name}", level.key, lambda: found)
    if found.num_rows == 0:
        ui.stop_with("No name of a group holds these words; remove one, or move the slider to the right.")
    above = st.container()
    with st.container(horizontal=True, horizontal_alignment="center", key="below-table"):
        offset = ui.pager(found.num_rows, PER_PAGE)
    with above:
        pieces.group_table(found.slice(offset, PER_PAGE), level, order)


def feature_list(first: int | None) -> None:
    """The features, all or the first ones, as a table with its controls."""
    path = granularity.chosen_group(store)
    if path:
        pieces.inside(store, path)
    n_filters = sum(name in st.query_params for name in pieces.FILTERS)
    with st.container(horizontal=True, vertical_alignment="bottom", key="filters"):
        words = ui.text_box("Search", "q", placeholder="words of labels and keywords, or an id", type="search")
        names = {queries.RELEVANCE: "relevance", **SORT_NAMES} if words.strip() else SORT_NAMES
        sort = ui.choice_box("Sort by", "sort", list(names), show=names.get, width=180, help=SORTING)
        order = ui.choice_box("Order", "order", list(ORDERS), show=ORDERS.get, width=130)
        with st.popover(f"Filter ({n_filters})" if n_filters else "Filter"):
            which = pieces.chosen_filter(store, counted.n_texts)
        if (n_filters or words) and st.button("Clear", type="tertiary"):
            ui.set_params(**dict.fromkeys((*pieces.FILTERS, "q", "page")))
            st.rerun()
    region = (path[-1].level, path[-1].region_id) if path else None
    which = replace(which, words=words, first=first, region=region)
    n_found = queries.count_features(store, which)
    how_many = f"{n_found:,} of {counted.n_features:,} features"
    if words.strip() and n_found:
        how_many += where_found(queries.ranked(store, words), n_found)
    sorting = Order(sort, order == FALLING)
    above_table(
        how_many,
        "features",
        lambda: queries.features(store, which, sort=sort, descending=sorting.descending, limit=None),
    )
    if n_found == 0:
        ui.stop_with("No feature matches; remove a word or a filter.")
    above = st.container()
    with st.container(horizontal=True, horizontal_alignment="center", key="below-table"):
        offset = ui.pager(n_found, PER_PAGE)
    with above:
        rows = queries.features(store, which, sort=sort, descending=sorting.descending, limit=PER_PAGE, offset=offset)
        draw(rows, words.strip(), sorting)


def draw(rows: pa.Table, words: str, order: Order) -> None:
    """Features as a table; `words` are those that found them, if any."""
    silent = queries.silent_columns(store)
    # what words find is told by the keywords that hold them; otherwise a title says more than cut keywords
    left_out = silent | {"strongest" if words else "keywords"}
    if not store.has(NAME_COVERAGE):
        left_out |= {"held"}
    shown = {name: column for name, column in FEATURES.items() if name not in left_out}
    ids = rows["feature_id"].to_pylist()
    held = [granularity.of_many(*pair) if pair else "" for pair in queries.held_names(store, ids)]
    rows = rows.append_column("held", pa.array(held, pa.string()))
    if words:
        rows = pieces.matching_first(rows, store.lowered(words).split())
    else:
        titles = queries.strongest_titles(store, ids)
        rows = rows.append_column("strongest", pa.array(titles, pa.string()))
    feature_table(rows, page="features.py", key="features", columns=shown, order=order)


run = ui.open_run()
store = run.store
ui.page("Features", OF_GROUPS if granularity.groups_are_asked_for(store) else OF_FEATURES)
try:
    counted = queries.counts(store)
except Refusal as refusal:
    ui.stop_with(str(refusal))
level = granularity.level_slider(store)
if level.regions is not None:
    group_list(level, level.regions)
else:
    feature_list(level.first)

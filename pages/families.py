"""Families of features: a list to sort and search, one of them as a tree and a square. At coarser levels, groups."""

from __future__ import annotations

import streamlit as st

from featurelib import queries, ui
from featurelib.schema import Refusal
from featurelib.ui import families as pieces
from featurelib.ui.kit import granularity
from featurelib.ui.kit.coactivation import heat
from featurelib.ui.kit.tables import FALLING, ORDERS, Order

PER_PAGE = 10
SORT_NAMES = {
    "size": "number of features",
    "over_shuffled": "ratio over chance",
    "block_ratio": "block ratio",
    "shuffled_ratio": "block ratio by chance",
    "n_active": "texts of the root",
    "density": "density of the root",
    "depth": "depth",
    "r_parent_child": "texts shared with the root",
    "r_children": "texts shared by children",
    "label": "name of the root",
}
LEAD = (
    "A child fires on fewer texts than its parent, and far more often where its parent fires than by chance. "
    "A feature is in one family or in none."
)
OF_GROUPS = "Groups of features that fire on alike texts, each in the coarser one around it. A name opens its features."
NONE = "This run has no families: no feature is nested in a more frequent one, on 5 texts or more and beyond chance."

NONE_BEGINS = "No family begins with one of these features; move the slider to the right."
EVERY = "families"
"""What the last step of the slider shows."""


def group_list(level: queries.Level, of_level: int) -> None:
    """The groups of features down to a level of regions, as a tree."""
    words, order = granularity.group_controls(level)
    rows = queries.nested_groups(store, of_level, words=words, sort=order.sort, descending=order.descending)
    if rows.num_rows == 0:
        ui.stop_with("No name of a group holds these words; remove one, or move the slider to the right.")
    pieces.group_tree(rows.to_pylist())


def family_list(first: int | None) -> None:
    """The families, all or those that begin with one of the first features, and one of them below."""
    done = opened.generation.done("families")
    n_all = queries.count_families(store)
    if n_all == 0:
        ui.stop_with(NONE)
    pieces.counts_sentence(done.facts if done else {})
    with st.container(horizontal=True, vertical_alignment="bottom", key="filters"):
        words = ui.text_box(
            "Search", "q", placeholder="words of the labels of its features", type="search", resets=("page", "family")
        )
        sort = ui.choice_box("Sort by", "sort", list(SORT_NAMES), show=SORT_NAMES.get, width=180)
        order = ui.choice_box("Order", "order", list(ORDERS), show=ORDERS.get, width=130)
    n_found = queries.count_families(store, words, first=first)
    if n_found == 0:
        ui.stop_with("No family matches; remove a word." if words else NONE_BEGINS)
    if first is not None:
        of_all = f"{n_found:,} of {n_all:,} families have their root among the first {first:,} features"
        ui.html(ui.tag("span", of_all, cls="muted"))
    above = st.container()
    with st.container(horizontal=True, horizontal_alignment="center", key="below-table"):
        offset = ui.pager(n_found, PER_PAGE)
    sorting = Order(sort, order == FALLING)
    rows = queries.families(
        store, words, first=first, sort=sort, descending=sorting.descending, limit=PER_PAGE, offset=offset
    )
    asked = ui.whole_number_param("family")
    shown = rows["family_id"][0].as_py() if asked is None else asked
    with above:
        pieces.family_table(rows, sorting, shown)
    with ui.section():
        one_family(shown)


def one_family(family_id: int) -> None:
    """One family: its numbers, its tree, and how its features fire together."""
    family = queries.family(store, family_id)
    members = queries.family_members(store, family.family_id)
    pieces.family_head(family)
    pieces.family_strip(family)
    left, right = st.columns([1.35, 1], gap="large")
    with left:
        pieces.tree(members.to_pylist())
    with right:
        together = queries.coactivation_matrix(store, pieces.in_tree_order(members.to_pylist()))
        ui.heading("Fire together", pieces.shown_of(len(together.feature_ids), members.num_rows), help=pieces.ORDER)
        heat(together, key="family")


opened = ui.open_run()
store = opened.store
ui.page("Families", OF_GROUPS if granularity.groups_are_asked_for(store) else LEAD)
try:
    level = granularity.level_slider(store, every=EVERY, also=("family",))
    if level.regions is None:
        family_list(level.first)
    else:
        group_list(level, level.regions)
except Refusal as refusal:
    ui.stop_with(str(refusal))

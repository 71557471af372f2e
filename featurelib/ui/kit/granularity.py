"""From coarse to fine: the slider that a page has for it, the group that an address names, and links to groups."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import streamlit as st

from featurelib import queries
from featurelib.queries import Group, Level
from featurelib.schema import Refusal
from featurelib.storage.store import Store
from featurelib.ui.kit.address import choice_box, param, steps, text_box
from featurelib.ui.kit.anchors import link
from featurelib.ui.kit.elements import Html, html, number, percent, sentence, tag
from featurelib.ui.kit.tables import FALLING, ORDERS, Order

LEVEL, REGION = "level", "region"
"""The parameters of an address: the level of the slider, and the group whose features are shown."""
NUMBERS = re.compile(r"([0-9]{1,6})-([0-9]{1,6})", re.ASCII)
GROUPS = (
    "Groups are regions of the map of what fires features, nested: each fine group lies in one group, each group in "
    "one theme. To the right they are more and narrower, and the last step shows {every}."
)
PREFIXES = (
    "This SAE is a Matryoshka: its first features alone rebuild the texts, so they are the general ones, and each step "
    "to the right adds narrower ones. The last step shows {every}."
)
KEYS = " The arrow keys move the slider."
QUALITY = (
    "Coverage: of the (up to 20) strongest label test texts of each name, the share that holds a part of it, over all "
    "names. AUROC: how well names predict label test texts, the mean; 0.5 is chance, 1 perfect."
)

GROUP_SORT_NAMES = {
    "share": "share of texts",
    "n_features": "number of features",
    "coverage": "coverage of the name",
    "auroc": "fidelity (AUROC)",
    "label": "name",
    "parent": "group around it",
}
"""The orders of groups by name; the first is the one that a bare address shows."""
SHARE = (
    "The share of all texts that belong to it: at each level a text belongs to the group whose features are strongest "
    "on it, so a fine group may have more texts than the group around it."
)
NAME_IS_IN = "name is in"
HOLDS = "Of its (up to 20) strongest label test texts, those that hold a part of its name."
PREDICTS = "How well the name predicts which label test texts belong to it: 0.5 is chance, 1 perfect."


def groups_are_asked_for(store: Store) -> bool:
    """Whether the address asks for a level of groups, for a page that is called otherwise then."""
    return any(level.key == param(LEVEL) and level.regions is not None for level in queries.levels(store))


def level_slider(store: Store, *, every: str = "", also: Sequence[str] = ()) -> Level:
    """The slider over the levels of a run, in the address as `level`, and how good the names of the chosen one are.

    `every` says what its last step shows, where that is not all features; `also` names parameters that a move removes.
    A run with one level has no slider.
    """
    known = {level.key: level for level in queries.levels(store)}
    last = list(known.values())[-1]
    if len(known) == 1:
        return last
    names = {key: level.name for key, level in known.items()} | ({last.key: every} if every else {})
    are_groups = any(level.regions is not None for level in known.values())
    help = (GROUPS if are_groups else PREFIXES).format(every=every or "all features") + KEYS
    with st.container(horizontal=True, vertical_alignment="bottom", key="granularity"):
        key = steps(
            "Coarser or finer",
            LEVEL,
            list(known),
            show=names.get,
            resets=("page", "sort", "order", REGION, *also),
            help=help,
            width=420,
        )
        chosen = known[key]
        if not (every and chosen is last):
            html(quality(chosen), width="content")
    return chosen


def quality(level: Level) -> Html:
    """How many of the strongest texts hold a part of the names of a level, and how well names predict."""
    words = f"names: coverage {percent(level.coverage)} · AUROC {number(level.auroc)}"
    return tag("span", words, cls="term muted", help=QUALITY)


def group_controls(level: Level) -> tuple[str, Order]:
    """The controls of a list of groups: words that their names hold, and their order."""
    sorts = [name for name in GROUP_SORT_NAMES if name != "parent" or level.regions]
    with st.container(horizontal=True, vertical_alignment="bottom", key="filters"):
        words = text_box("Search", "q", placeholder="words of the groups' names", type="search")
        sort = choice_box("Sort by", "sort", sorts, show=GROUP_SORT_NAMES.get, width=180)
        order = choice_box("Order", "order", list(ORDERS), show=ORDERS.get, width=130)
    return words, Order(sort, order == FALLING)


def holds(row: Mapping[str, Any]) -> str:
    """How many of the strongest texts of a group hold a part of its name, in words; empty for one without a name."""
    return of_many(row["n_holding"], row["n_strongest"]) if row["n_strongest"] and row["is_named"] else ""


def of_many(n: int, of: int) -> str:
    """A coverage in words."""
    return f"{n} of {of}"


def group_params(row: Mapping[str, Any]) -> dict[str, object]:
    """The parameters of the page of features for those of a group; a row of `groups`."""
    return {REGION: f"{row['level']}-{row['region_id']}"}


def chosen_group(store: Store) -> tuple[Group, ...]:
    """The group that the address names, after those that it lies in; empty where it names none, or one that is not."""
    asked = param(REGION, longest=40)
    if not asked:
        return ()
    numbers = NUMBERS.fullmatch(asked)
    try:
        return queries.group_path(store, *map(int, numbers.groups())) if numbers else _unread(asked)
    except Refusal as refusal:
        sentence(f"{refusal} All features are shown.")
        return ()


def _unread(asked: str) -> tuple[Group, ...]:
    raise Refusal(f"the address says {REGION}={asked}; a level and a number are expected, such as {REGION}=0-3.")


def group_links(path: tuple[Group, ...]) -> Html:
    """The groups that a group lies in as links to their features, then the group itself."""
    pieces = [link("features.py", group.label, group_params(group._asdict())) for group in path[:-1]]
    here = tag("b", path[-1].label)
    return Html(" › ".join([*pieces, here]))

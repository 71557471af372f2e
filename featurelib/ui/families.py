"""Families as a table and as a tree that opens, groups of features as another; a feature's parent and children."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa
import streamlit as st

from featurelib.queries import Family
from featurelib.ui.kit.anchors import feature_link, link
from featurelib.ui.kit.elements import Html, Number, count, density, heading, html, number, percent, strip, tag
from featurelib.ui.kit.granularity import HOLDS, NAME_IS_IN, PREDICTS, SHARE, group_params, holds
from featurelib.ui.kit.tables import Order, choice_table, number_column, text_column

Rows = Sequence[Mapping[str, Any]]

OPEN_TO = 2
"""Generations of a tree that are open at first."""
UNDER = "P(parent | child): the share of the child's texts on which the parent fires too."
OVER = "P(child | parent): the share of the parent's texts on which the child fires too."
RATIO = "Common texts of two members over common texts of a member and a feature outside, both means over all pairs."
SHUFFLED = (
    "The block ratio if each feature's texts were drawn at random (shuffled): above 0 only because members fire on "
    "many or few texts. Evidence for the family is what the block ratio has beyond it."
)
OVER_SHUFFLED = "The block ratio over that by chance (shuffled activations): 1 is no family at all."
R_PC = "Mean number of texts that the root shares with another member."
R_CHILDREN = "Mean number of texts that two other members share."
OUTSIDE = (
    "{n_outside} features are in none: {n_dead} are dead, {n_dense} dense (they fire on more than a tenth of the texts "
    "and may not be parents), the others lie in no feature far enough (nesting 0.3 or more, beyond chance)."
)
ORDER = "In the order of the tree with all its branches open: a branch that holds together is a block on the diagonal."
LIMIT = "No family may hold more than a tenth of the features: weaker links that would join such a one are left out."
COLUMNS = {
    "label": text_column("root", sort="label", help="The feature in which all others are nested."),
    "size": number_column("features", sort="size", help="Members, the root included."),
    "depth": number_column("depth", sort="depth", phone=False, help="The greatest number of steps up to the root."),
    "n_active": number_column("texts", sort="n_active", phone=False, help="Texts on which the root fires."),
    "over_shuffled": number_column("× chance", 1, sort="over_shuffled", help=OVER_SHUFFLED),
    "block_ratio": number_column("block ratio", 2, sort="block_ratio", phone=False, help=RATIO),
    "shuffled_ratio": number_column("by chance", 2, sort="shuffled_ratio", phone=False, help=SHUFFLED),
    "r_parent_child": number_column("parent–child", 1, sort="r_parent_child", phone=False, help=R_PC),
    "r_children": number_column("children", 1, sort="r_children", phone=False, help=R_CHILDREN),
}


def family_table(rows: pa.Table, order: Order, shown: int) -> None:
    """Families as a table; a row opens its family below. `shown` is the one that is open."""
    choice_table(rows, COLUMNS, page="families.py", name="family", column="family_id", order=order, chosen=shown)


def counts_sentence(facts: Mapping[str, Any]) -> None:
    """How many features are in families and how many in none, from the stage's own counts."""
    if "n_families" not in facts:
        return
    n, outside = facts["n_features"], facts["n_outside"]
    largest = facts.get("largest", 0)
    strip(
        [
            Number(count(facts["n_families"]), "families" if facts["n_families"] != 1 else "family"),
            Number(percent(1 - outside / n), f"of {count(n)} features are in one", OUTSIDE.format(**_worded(facts))),
            Number(count(largest), f"features in the largest, {percent(largest / n)}", LIMIT),
            Number(
                number(facts.get("median_block_ratio")),
                "median block ratio",
                RATIO,
                aside=f"{number(facts.get('median_shuffled_ratio'))} by chance",
            ),
        ]
    )


def _worded(facts: Mapping[str, Any]) -> dict[str, str]:
    return {name: count(facts[name]) for name in ("n_outside", "n_dead", "n_dense")}


def family_head(family: Family) -> None:
    """The name of a family, that of its root, which leads to the root's own page."""
    with st.container(horizontal=True, vertical_alignment="bottom", key="onward family"):
        heading(family.label, f"family {family.family_id}")
        feature_link(family.root_id, "open this feature ›")


def shown_of(n_shown: int, n_all: int) -> str:
    """How many of the features a square shows."""
    return f"the {n_shown} densest of {n_all:,}" if n_shown < n_all else ""


def family_strip(family: Family) -> None:
    """The numbers of one family, each with what it is."""
    strip(
        [
            Number(count(family.size), f"features, {family.depth} step{'s' if family.depth != 1 else ''} deep"),
            Number(
                number(family.block_ratio),
                "block ratio",
                RATIO,
                aside=f"{number(family.shuffled_ratio)} by chance",
            ),
            Number(f"×{number(family.over_shuffled)}", "over chance", f"{OVER_SHUFFLED}\n{SHUFFLED}"),
            Number(number(family.r_parent_child), "texts shared with the root", R_PC),
            Number(number(family.r_children), "texts shared by children", R_CHILDREN),
        ]
    )


def tree(rows: Rows) -> None:
    """The features of a family as a tree that opens; every name leads to its feature. `rows`: `family_members`."""
    below = _below(rows)
    head = tag(
        "div",
        tag("span", Html("")),
        tag("span", "texts", cls="n"),
        tag("span", "in parent", cls="n term", help=UNDER),
        tag("span", "of parent", cls="n term", help=OVER),
        cls="tree-row tree-head",
    )
    html(tag("div", head, *(_branch(row, below) for row in below.get(None, [])), cls="tree"))


def group_tree(rows: Rows) -> None:
    """Groups of features as a tree that is open to its end; every name leads to the group's features.

    `rows`: `groups` of some levels, those that lie in one group in the order in which they are drawn.
    """
    inside: dict[tuple[int, int | None], list[Mapping[str, Any]]] = {}
    for row in rows:
        inside.setdefault((row["level"], row["parent_id"]), []).append(row)
    head = tag(
        "div",
        tag("span", Html("")),
        tag("span", "features", cls="n wide"),
        tag("span", "texts", cls="n term", help=SHARE),
        tag("span", NAME_IS_IN, cls="n term", help=HOLDS),
        tag("span", "AUROC", cls="n term", help=PREDICTS),
        cls="tree-row tree-head",
    )
    html(tag("div", head, *(_group(row, inside) for row in inside.get((0, None), [])), cls="tree groups"))


def _group(row: Mapping[str, Any], inside: Mapping[tuple[int, int | None], Rows]) -> Html:
    finer = inside.get((row["level"] + 1, row["region_id"]), ())
    line = tag(
        "div",
        tag("span", link("features.py", row["label"], group_params(row)), _counted(len(finer)), cls="name"),
        tag("span", count(row["n_features"]), cls="n wide"),
        tag("span", density(row["share"]), cls="n"),
        tag("span", holds(row) or "–", cls="n"),
        tag("span", number(row["auroc"], 2), cls="n"),
        cls="tree-row",
    )
    return _opening(line, [_group(child, inside) for child in finer], is_open=True)


def in_tree_order(rows: Rows) -> list[int]:
    """The features of a family as its tree lists them, each parent before its children."""
    below = _below(rows)
    ordered, waiting = [], list(reversed(below.get(None, [])))
    while waiting:
        row = waiting.pop()
        ordered.append(row["feature_id"])
        waiting += reversed(below.get(row["feature_id"], []))
    return ordered


def _below(rows: Rows) -> dict[int | None, list[Mapping[str, Any]]]:
    """The children of each parent; the root is under None."""
    below: dict[int | None, list[Mapping[str, Any]]] = {}
    for row in rows:
        below.setdefault(row["parent_id"], []).append(row)
    return below


def _branch(row: Mapping[str, Any], below: Mapping[int | None, Sequence[Mapping[str, Any]]]) -> Html:
    children = below.get(row["feature_id"], [])
    line = _node(row, len(children))
    return _opening(line, [_branch(child, below) for child in children], is_open=row["depth"] < OPEN_TO - 1)


def _opening(line: Html, below: Sequence[Html], *, is_open: bool) -> Html:
    """A line of a tree, which opens and closes what is below it."""
    if not below:
        return tag("div", line, cls="leaf")
    opened = " open" if is_open else ""
    return Html(f'<details{opened}><summary>{line}</summary><div class="kids">{"".join(below)}</div></details>')


def _node(row: Mapping[str, Any], n_children: int) -> Html:
    root = row["parent_id"] is None
    return tag(
        "div",
        tag("span", link("feature.py", row["label"], {"feature": row["feature_id"]}), _counted(n_children), cls="name"),
        tag("span", count(row["n_active"]), cls="n"),
        tag("span", "" if root else percent(row["conditional"]), cls="n"),
        tag("span", "" if root else percent(row["share_of_parent"]), cls="n"),
        cls="tree-row",
    )


def _counted(n_children: int) -> Html:
    return tag("small", f" {n_children}") if n_children else Html("")

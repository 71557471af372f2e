"""What narrows the table of features: its filter and a group; and the groups themselves as a table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pyarrow as pa

from featurelib import queries
from featurelib.queries import FeatureFilter, Group, Level
from featurelib.storage.store import Store
from featurelib.ui.kit import text_ranges
from featurelib.ui.kit.address import choice_box, count_box, kept_params, number_box
from featurelib.ui.kit.anchors import link
from featurelib.ui.kit.elements import Html, html, tag
from featurelib.ui.kit.granularity import HOLDS, NAME_IS_IN, PREDICTS, REGION, SHARE, group_links, group_params, holds
from featurelib.ui.kit.lists import Line, inline
from featurelib.ui.kit.tables import Column, Order, number_column, share_column, table, text_column

GROUPS = {
    "label": text_column("group", sort="label", help="The phrases that set its texts apart."),
    "parent": text_column("in", sort="parent", phone=False, help="The coarser group that it lies in."),
    "n_features": number_column("features", sort="n_features", phone=False, help="The features that lie in it."),
    "share": share_column("texts", sort="share", help=SHARE),
    "holds": Column(NAME_IS_IN, sort="coverage", help=HOLDS),
    "auroc": number_column("AUROC", 2, sort="auroc", help=PREDICTS),
}

STATES = {"all": "all features", "live": "live features", "dead": "dead features"}
FILTERS = ("least", "most", "low", "high", "state", "cluster", "flag", "auroc", "ap")
"""The parameters of an address that are conditions of the filter."""
FLAGS = {"all": "any or none", "any": "any flag"}


def chosen_filter(store: Store, n_texts: int) -> FeatureFilter:
    """The controls of the filter, and what they leave."""
    state = choice_box("Show", "state", list(STATES), show=STATES.get)
    least = count_box("Fires on at least … texts", "least", help=f"Density is this number over {n_texts:,}.")
    most = count_box("Fires on at most … texts", "most")
    low = number_box("Maximum activation at least", "low")
    high = number_box("Maximum activation at most", "high")
    cluster = count_box("Cluster on the map", "cluster")
    auroc = number_box("Name predicts firing: AUROC at least", "auroc", high=1.0)
    ap = number_box("Name predicts firing: average precision at least", "ap", high=1.0)
    flags = FLAGS | {name: name for name in queries.audit_checks(store)}
    flag = choice_box("Flag of the audit", "flag", list(flags), show=flags.get) if len(flags) > 2 else "all"
    which = replace(
        text_ranges.fires_on(text_ranges.text_range(least, most, n_texts), n_texts),
        activation_low=low,
        activation_high=high,
        cluster=cluster,
        fidelity_low=auroc,
        ap_low=ap,
    )
    if state != "all":
        which = replace(which, dead=state == "dead")
    return which if flag == "all" else replace(which, ids=queries.flagged_ids(store, None if flag == "any" else flag))


def group_table(rows: pa.Table, level: Level, order: Order) -> None:
    """Groups as a table; a row opens the table of its features."""
    shown = {name: column for name, column in GROUPS.items() if name != "parent" or level.regions}
    held = pa.array([holds(row) for row in rows.to_pylist()], pa.string())
    table(
        rows.append_column("holds", held),
        shown,
        page="features.py",
        key="groups",
        opens=lambda row: ("features.py", group_params(row)),
        order=order,
    )


def inside(store: Store, path: tuple[Group, ...]) -> None:
    """The group that features are narrowed to, those that it lies in and those in it, and the way back to all."""
    here = path[-1]
    finer = queries.groups(store, here.level + 1).to_pylist()
    lines = [
        Line(row["label"], group_params(row), page="features.py") for row in finer if row["parent_id"] == here.region_id
    ]
    back = link("features.py", "all features", kept_params(REGION, "page"))
    html(
        tag("div", tag("span", "only those in", cls="muted"), group_links(path), back, cls="onward inside"),
        tag("div", inline(lines, before="finer:"), cls="read-inline bare") if len(lines) > 1 else Html(""),
    )


def matching_first(rows: pa.Table, words: Sequence[str]) -> pa.Table:
    """Features as a table whose keywords begin with those that hold one of the words, which are in small letters."""

    def ordered(keywords: str | None) -> str:
        return ", ".join(
            sorted((keywords or "").split(", "), key=lambda keyword: not any(word in keyword.lower() for word in words))
        )

    place = rows.schema.get_field_index("keywords")
    return rows.set_column(place, "keywords", pa.array(map(ordered, rows["keywords"].to_pylist()), pa.string()))

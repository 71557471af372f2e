"""What the map of features is coloured by: the choice of it, its values, and the key to its colours."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from featurelib import queries
from featurelib.charts import Colouring, cluster_colouring, kind_colours, own_colouring
from featurelib.schema import FAMILIES, FAMILY_METRICS, FEATURES, REGIONS
from featurelib.storage.store import Store
from featurelib.ui.kit.address import choice_box, param, steps
from featurelib.ui.kit.colour_key import colour_key
from featurelib.ui.kit.elements import count, html, tag
from featurelib.ui.kit.lists import short
from featurelib.ui.kit.session import Opened
from featurelib.ui.kit.theme import Colours
from featurelib.ui.texts import metadata

COLOURS = {
    "theme": "Themes",
    "density": "Density",
    "activation": "Max. activation",
    "fidelity": "Fidelity of names",
    "family": "Families",
    "cluster": "Clusters",
    "topic": "Topics",
    "lift": "A column's value",
}
HELP = (
    "Themes are regions of the map of what fires features (Ward), coarser or finer. Clusters are dense groups of "
    "directions, topics dense groups of the features' labels as the embedder reads them (HDBSCAN after UMAP to 5 axes, "
    "both). Fidelity is the AUROC with which a name predicts firing on label test texts. Families are parents and "
    "children that fire with them. For a column's value it is the lift: how many times as often a feature fires on "
    "texts that have it. What has none of it is grey."
)
LEVELS = {"themes": "themes", "groups": "groups", "fine": "fine groups"}
LEVEL_HELP = (
    "How finely the map is divided into themes, by which features are coloured and which can be chosen: each fine "
    "group lies in one group, each group in one theme. The arrow keys move the slider."
)
LEAST = 3
"""Texts with a value on which a feature must fire for its lift to say something."""
KINDS = {"theme": "Theme", "cluster": "Cluster", "topic": "Topic"}
GREY = {
    "fidelity": "Features whose name was not measured are grey.",
    "lift": f"Features that fire on fewer than {LEAST} texts that have it are grey.",
}
NAMED = 8
"""Kinds that the key names, those of most features: as many as there are colours."""


@dataclass(frozen=True)
class Chosen:
    """What the map is coloured by."""

    kind: str
    """One of COLOURS."""
    level: int = 0
    """How fine themes are, 0 is the coarsest."""
    column: str = ""
    """The column whose value's lift is shown."""
    value: str = ""
    """That value."""

    @property
    def clusters(self) -> str:
        """The kind of clusters that the points need, for all other colours any."""
        return self.kind if self.kind in queries.CLUSTERS else "cluster"


def colour_box(run: Opened) -> Chosen:
    """The controls of the colours."""
    offered = _offered(run.store, metadata.offered_columns(run.store, param("column")))
    resets = ("cluster", "level", "column", "value")
    kind = choice_box("Colour by", "colour", offered, show=COLOURS.get, resets=resets, help=HELP, width=170)
    if kind == "theme":
        return Chosen(kind, _level(run.store))
    if kind != "lift":
        return Chosen(kind)
    columns = metadata.offered_columns(run.store, param("column"))
    column = choice_box("Column", "column", columns, resets=("value",), width=140)
    value = choice_box("Value", "value", queries.column_values(run.store, column), resets=(), width=190)
    return Chosen(kind, column=column, value=value)


def _offered(store: Store, columns: list[str]) -> list[str]:
    """The colours of which this run knows something."""
    missing = {
        "theme": not has_regions(store),
        "family": not (store.has(FAMILIES) and store.has(FAMILY_METRICS) and queries.family_of(store).num_rows),
        "fidelity": not (store.has(FEATURES) and _measured(store)),
        "lift": not columns,
    }
    return [kind for kind in COLOURS if not missing.get(kind)]


def usual_colours(store: Store) -> Chosen:
    """The colours that a bare address shows."""
    return Chosen("theme" if has_regions(store) else "density")


def has_regions(store: Store) -> bool:
    """Whether what fires features was laid out and divided, so that there are themes."""
    return bool(store.has(REGIONS) and queries.region_levels(store))


def _measured(store: Store) -> bool:
    rows = queries.name_fidelity(store)
    return bool(rows["auroc"].null_count < rows.num_rows)


def _level(store: Store) -> int:
    """The slider over the levels of themes; without one where the run has no finer ones."""
    known = {level.key: level for level in queries.region_levels(store)}
    if len(known) < 2:
        return 0
    names = {key: f"{level.n_regions} {LEVELS[key]}" for key, level in known.items()}
    first = next(iter(known))
    key = steps(
        "Coarser or finer",
        "level",
        list(known),
        show=names.get,
        default=first,
        resets=("cluster",),
        help=LEVEL_HELP,
        width=230,
    )
    return known[key].level


def colouring_of(store: Store, points: pa.Table, chosen: Chosen, colours: Colours) -> Colouring:
    """The values by which the points are coloured."""
    if chosen.kind in queries.CLUSTERS:
        order = queries.clusters(store, chosen.kind, chosen.level)["cluster"].to_pylist()
        return cluster_colouring(points, order, colours)
    if chosen.kind == "fidelity":
        rows = queries.name_fidelity(store)
        return Colouring(_of(points, rows, rows["auroc"]), "AUROC of the name")
    if chosen.kind == "family":
        rows = queries.family_of(store)
        largest = queries.families(store, limit=NAMED)["family_id"]
        places = pc.index_in(rows["family_id"], value_set=largest.cast(rows["family_id"].type))
        return Colouring(_of(points, rows, places), "", kinds=True)
    if chosen.kind == "lift":
        rows = queries.value_lifts(store, chosen.column, chosen.value)
        known = pc.greater_equal(rows["n_texts"], LEAST)
        lifts = pc.if_else(known, pc.log2(rows["lift"]), pa.scalar(None, pa.float32()))
        return Colouring(_of(points, rows, lifts), f"lift, {chosen.value[:24]}", times=True)
    return own_colouring(points, chosen.kind)


def _of(points: pa.Table, rows: pa.Table, values: pa.ChunkedArray) -> pa.ChunkedArray:
    """Values of the features of `rows` in the order of the points; null for a point that is not among them."""
    return values.take(pc.index_in(points["feature_id"], value_set=rows["feature_id"]))


def key_of(store: Store, chosen: Chosen, colours: Colours) -> None:
    """The names of the colours, where they stand for kinds."""
    if chosen.kind == "family":
        rows = queries.families(store, limit=NAMED).to_pylist()
        named = [(short(row["label"]), count(row["size"])) for row in rows]
        rest = "features of other families, or of none, are grey"
        colour_key("families of", named, kind_colours(len(named), colours), rest)
    elif chosen.kind in queries.CLUSTERS:
        _cluster_key(chosen, queries.clusters(store, chosen.kind, chosen.level).to_pylist(), colours)
    elif chosen.kind in GREY:
        html(tag("div", tag("span", GREY[chosen.kind], cls="muted"), cls="kinds"))


def _cluster_key(chosen: Chosen, rows: list[dict[str, Any]], colours: Colours) -> None:
    largest = [(cluster_name(chosen.kind, row), count(row["n_features"])) for row in rows[:NAMED]]
    n_others = len(rows) - len(largest)
    others = f"the other {n_others} take the same colours again" if n_others else ""
    grey = "" if chosen.kind == "theme" else "features of none are grey"
    rest = "; ".join(filter(None, (others, grey)))
    title = "largest:" if n_others else ""
    colour_key(title, largest, kind_colours(len(largest), colours), rest)


def cluster_name(kind: str, row: Mapping[str, Any]) -> str:
    """What a row of `clusters` is called, in few words."""
    return short(row["keywords"]) if row["keywords"] else f"{KINDS[kind].lower()} {row['cluster']}"

"""The map of the features: all features as points in WebGL."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from featurelib.charts.map_layout import as_map
from featurelib.charts.points import SHARE_OF_TEXTS, Colouring, Look, points_of
from featurelib.charts.style import Colours


def feature_map(
    rows: pa.Table,
    colour: str | Colouring,
    colours: Colours,
    *,
    regions: pa.Table | None = None,
    name: str = "map",
    painted: str | None = None,
    height: int = 580,
) -> Any:
    """Return every feature as a point at its x, y.

    `colour` is one of `own_colouring`'s or any other property of the rows; all else as in `as_map`.
    """
    colouring = own_colouring(rows, colour) if isinstance(colour, str) else colour
    points = points_of(rows, "feature")
    traces = points.traces(colouring, _look(rows), colours)
    return as_map(traces, points, height, name=name, colours=colours, regions=regions, painted=painted)


def paint_features(rows: pa.Table, colouring: Colouring, colours: Colours) -> dict[str, Any]:
    """Return what the browser needs to give the map of `rows` these colours, see `Points.paint`."""
    return points_of(rows, "feature").paint(colouring, _look(rows), colours)


def _look(rows: pa.Table) -> Look:
    size = float(np.clip(220 / np.sqrt(max(rows.num_rows, 1)), 3.0, 9.0))
    return Look(size, 0.85, 0.8 * size, 0.5)


def own_colouring(rows: pa.Table, colour: str) -> Colouring:
    """Return a property that the rows of the map have themselves: density (log10), activation or cluster.

    Dead features, and those of no cluster, have none.
    """
    if colour == "cluster":
        clusters = rows["cluster"].to_numpy()
        return Colouring(pa.chunked_array([pa.array(clusters, pa.int32(), mask=clusters < 0)]), "cluster", kinds=True)
    column, name = (
        ("max_activation", "maximum activation") if colour == "activation" else ("log10_density", SHARE_OF_TEXTS)
    )
    return Colouring(pc.if_else(rows["dead"], pa.scalar(None, rows[column].type), rows[column]), name)


def cluster_colouring(rows: pa.Table, order: Sequence[int], colours: Colours) -> Colouring:
    """Return the rows' clusters as colours, so that clusters of one colour are far from each other.

    The first of `order`, the clusters from large to small, take the colours in turn; each further one takes the colour
    whose nearest cluster so far is farthest from it.
    """
    n_colours = len(colours.palette)
    clusters = rows["cluster"].to_numpy()
    places = np.stack([rows[name].to_numpy().astype(np.float64) for name in ("x", "y")], axis=1)
    members = [places[clusters == cluster] for cluster in order]
    centres = np.array([np.median(own, axis=0) if len(own) else (np.inf, np.inf) for own in members]).reshape(-1, 2)
    colour_of = np.arange(len(order)) % n_colours
    for at in range(n_colours, len(order)):
        if not len(members[at]):
            continue
        distances = np.linalg.norm(centres[:at] - centres[at], axis=1)
        nearest = [distances[colour_of[:at] == colour].min() for colour in range(n_colours)]
        colour_of[at] = int(np.argmax(nearest))
    rank = {cluster: colour for cluster, colour in zip(order, colour_of.tolist(), strict=True)}
    values = [rank.get(cluster) for cluster in clusters.tolist()]
    return Colouring(pa.chunked_array([pa.array(values, pa.int32())]), "", kinds=True)


def chosen_ids(selection: Mapping[str, Any]) -> list[int]:
    """Return the ids of the points in a selection of Streamlit's, each once, in the order given."""
    ids = [point.get("customdata") for point in selection.get("points", [])]
    return list(dict.fromkeys(int(value[0] if isinstance(value, list | tuple) else value) for value in ids))

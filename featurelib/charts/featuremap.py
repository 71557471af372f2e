"""The map of the features: all features as points in WebGL."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go
import pyarrow as pa

from featurelib.charts.points import (
    SHARE_OF_TEXTS,
    Points,
    as_map,
    colour_bar,
    colour_scale,
    kinds_marker,
    points_of,
    ringed,
    scale_ends,
)
from featurelib.charts.style import GREY, Colours, escape

NAME_SIZES = (15, 13, 12)
"""Pixels of the names of regions, coarse to fine."""
LONGEST_NAME = 22
"""Characters of a region's name that has two parts."""


def feature_map(
    rows: pa.Table,
    colour: str,
    colours: Colours,
    *,
    highlighted: Sequence[int] | None = None,
    drag: str = "pan",
    names: Sequence[str] | None = None,
    regions: pa.Table | None = None,
    height: int = 640,
) -> go.Figure:
    """Return every feature as a point at its x, y.

    `names`, one for each row, are shown on hover (50 bytes a feature more).
    `colour` is density (log10), activation or cluster; dead features and those of no cluster are grey. `highlighted`
    features have the accent colour, and all others are faint. `drag` is pan or lasso. `regions` (level, label, x, y,
    the largest of a level first) are named on it, see `region_names`.
    """
    escaped = None if names is None else np.array([escape(name) for name in names], dtype=object)
    points = points_of(rows, "feature", escaped)
    size = _size(rows)
    opacity = 0.85 if highlighted is None else 0.2
    coloured, marker = _marker(rows, colour, colours)
    traces = [
        points.drawn(~coloured, {"color": GREY, "size": size * 0.8, "opacity": opacity * 0.6}),
        points.drawn(coloured, {**marker, "size": size, "opacity": opacity}),
    ]
    if highlighted is not None:
        chosen = np.isin(points.ids, np.asarray(highlighted, dtype=np.int64))
        traces.append(points.drawn(chosen, {"color": colours.accent, "size": size * 1.6, "opacity": 1.0}))
    named = {} if regions is None else region_names(regions, points, colours)
    return as_map(traces, height, drag=drag, name="map", **named)


def region_names(regions: pa.Table, points: Points, colours: Colours) -> dict[str, Any]:
    """Return the parts of a map's layout that name its regions at three zooms.

    The browser shows those of the level that fits the zoom, none over another (ui/kit/js/map_names.js, which knows the
    level by the annotation's name and the zoom by the extent); before it does, the coarsest are seen.
    """
    extent = [float(np.ptp(axis)) or 1.0 if len(axis) else 1.0 for axis in (points.x, points.y)]
    rows = [row for row in regions.to_pylist() if row["label"]]
    names = [
        {
            "x": row["x"],
            "y": row["y"],
            "text": escape(two_parts(row["label"])),
            "name": f"level {row['level']}",
            "opacity": 1 if row["level"] == 0 else 0,
            "showarrow": False,
            "captureevents": False,
            "font": {"size": NAME_SIZES[min(row["level"], len(NAME_SIZES) - 1)], "color": colours.text},
            "bgcolor": colours.veil,
            "borderpad": 1,
        }
        for row in rows
    ]
    return {"annotations": names, "meta": {"extent": extent}}


def two_parts(label: str) -> str:
    """The first part of a label, with the second where both are short."""
    first, *others = label.split(" · ")
    return f"{first} · {others[0]}" if others and len(first) + len(others[0]) <= LONGEST_NAME else first


def _size(rows: pa.Table) -> float:
    """The size of a point, in pixels."""
    return float(np.clip(220 / np.sqrt(max(rows.num_rows, 1)), 3.0, 9.0))


def with_ring(figure: go.Figure, rows: pa.Table, marked: int | None, colours: Colours) -> Any:
    """Return the map of `rows` with a ring around one feature; it is not made anew."""
    return ringed(figure, rows, "feature", marked, 3 * _size(rows), colours)


def _marker(rows: pa.Table, colour: str, colours: Colours) -> tuple[np.ndarray, dict[str, Any]]:
    """Return which features have a colour, and the marker of those."""
    if colour == "cluster":
        clusters = rows["cluster"].to_numpy()
        return clusters >= 0, kinds_marker(clusters[clusters >= 0], colours)
    column, name = (
        ("max_activation", "maximum activation") if colour == "activation" else ("log10_density", SHARE_OF_TEXTS)
    )
    numbers = rows[column].to_pandas().to_numpy(dtype=np.float32, na_value=np.nan)
    coloured = np.isfinite(numbers) & ~rows["dead"].to_numpy()
    return coloured, {
        "color": numbers[coloured],
        "colorscale": colour_scale(colours.scale),
        **scale_ends(numbers[coloured]),
        "colorbar": colour_bar(numbers[coloured], name),
        "showscale": bool(coloured.any()),
    }


def chosen_ids(selection: Mapping[str, Any]) -> list[int]:
    """Return the ids of the points in a selection of Streamlit's, each once, in the order given."""
    ids = [point.get("customdata") for point in selection.get("points", [])]
    return list(dict.fromkeys(int(value[0] if isinstance(value, list | tuple) else value) for value in ids))

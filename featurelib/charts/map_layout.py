"""The layout of both maps: equal scales, the names of regions, and what the browser needs to recolour them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go
import pyarrow as pa
from plotly.basedatatypes import BaseFigure

from featurelib.charts.points import Points
from featurelib.charts.style import Colours, escape, quiet

NAME_SIZES = (15, 13, 12)
"""Pixels of the names of regions, coarse to fine."""
RESTYLING = {
    "type": "buttons",
    "showactive": False,
    "x": 0,
    "y": 1,
    "xanchor": "left",
    "yanchor": "top",
    "pad": {"t": 0, "l": 0, "b": 0, "r": 0},
    "borderwidth": 0,
    "font": {"size": 1},
    "buttons": [{"label": ".", "method": "restyle", "args": [{}]}],
}
"""A button by which the script reaches Plotly's restyle; the style sheet hides it."""
LONGEST_NAME = 22
"""Characters of a region's name that has two parts."""


class Prepared(BaseFigure):  # type: ignore[misc]  # Plotly has no types
    """A figure that was checked and written as a dictionary before: nothing is checked again."""

    def __init__(self, written: dict[str, Any]) -> None:
        self._written = written

    def to_dict(self) -> dict[str, Any]:
        """Return the figure as Plotly's JSON, which is not to be changed."""
        return self._written


def prepared(figure: go.Figure) -> Any:
    """Return a figure written as a dictionary once, so that drawing it again does not write it anew."""
    return Prepared(figure.to_dict())


def as_map(
    traces: Sequence[go.Scattergl],
    points: Points,
    height: int,
    *,
    name: str,
    colours: Colours,
    regions: pa.Table | None = None,
    painted: str | None = None,
) -> Any:
    """Return a map of `points`: equal scales, no axes, room for a colour bar.

    A figure of the same `name` begins where the reader had zoomed to. `regions` (level, label, x, y, the largest of a
    level first) are named on it, see `region_names`. `painted` is what its colours are called, where the browser can
    give it others (see `Points.paint`): then there is always room for a colour bar.
    """
    x = {"visible": False, "fixedrange": False}
    y = x | {"scaleanchor": "x", "rangemode": "normal"}
    has_bar = painted is not None or any(trace.marker.showscale for trace in traces)
    margin = {"l": 0, "r": 0, "t": 0, "b": 54 if has_bar else 6}
    extent = [float(np.ptp(axis)) or 1.0 if len(axis) else 1.0 for axis in (points.x, points.y)]
    layout: dict[str, Any] = {"dragmode": "pan", "uirevision": name, "margin": margin, "meta": {"extent": extent}}
    figure = go.Figure(list(traces), quiet(height + margin["b"], x=x, y=y, **layout))
    if regions is None and painted is None:
        return figure
    written = figure.to_dict()  # Plotly would take 10 ms to check a hundred names
    further: dict[str, Any] = {"annotations": [] if regions is None else region_names(regions, colours)}
    if painted is not None:
        further["updatemenus"] = [RESTYLING]
        written["data"][-1]["meta"] = painted
    return Prepared(written | {"layout": written["layout"] | further})


def region_names(regions: pa.Table, colours: Colours) -> list[dict[str, Any]]:
    """Return the names of regions on a map, at three zooms, as annotations of Plotly's.

    The browser shows those of the level that fits the zoom, none over another (ui/kit/js/map_names.js, which knows the
    level by the annotation's name and the zoom by the map's extent); before it does, the coarsest are seen.
    """
    return [
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
        for row in regions.to_pylist()
        if row["label"]
    ]


def two_parts(label: str) -> str:
    """The first part of a label, with the second where both are short."""
    first, *others = label.split(" · ")
    return f"{first} · {others[0]}" if others and len(first) + len(others[0]) <= LONGEST_NAME else first

"""What the two maps share: points in WebGL, coloured by numbers on a scale or by kinds.

Points carry float32 arrays and int ids only (customdata), so that 100,000 of them are 2.6 MB.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import plotly.graph_objects as go
import pyarrow as pa
from plotly.basedatatypes import BaseFigure

from featurelib.charts.style import Colours, density_marks, quiet, share

SHARE_OF_TEXTS = "share of texts"
"""The name of numbers that are log10 of a share, whose colour bar is marked in percent."""


@dataclass(frozen=True)
class Points:
    """Points of a map."""

    ids: np.ndarray
    """int32 [n]."""
    x: np.ndarray
    """float32 [n]."""
    y: np.ndarray
    """float32 [n]."""
    what: str
    """What a point is: feature or text."""
    names: np.ndarray | None = None
    """What is shown on hover beside the id, if anything: escaped strings [n]."""

    def drawn(self, chosen: np.ndarray, marker: dict[str, Any]) -> go.Scattergl:
        """Return some of the points (a mask or positions) as a trace; they can be selected."""
        name = "" if self.names is None else "%{hovertext}<br>"
        return go.Scattergl(
            x=self.x[chosen],
            y=self.y[chosen],
            customdata=self.ids[chosen],
            hovertext=None if self.names is None else self.names[chosen],
            mode="markers",
            marker={"line": {"width": 0}, **marker},
            selected={"marker": {"opacity": 1, "size": marker["size"] * 1.3}},
            unselected={"marker": {"opacity": 0.22}},
            hovertemplate=f"{name}{self.what} %{{customdata}}<extra></extra>",
        )

    def ring(self, point_id: int, size: float, colours: Colours) -> go.Scattergl:
        """Return a ring around one point, if it is there."""
        ring = {"color": colours.palette[1], "size": size, "symbol": "circle-open", "line": {"width": 2.5}}
        return self.drawn(self.ids == point_id, {**ring, "opacity": 1.0})


class Prepared(BaseFigure):  # type: ignore[misc]  # Plotly has no types
    """A figure that was checked and written as a dictionary before, with further traces: nothing is checked again."""

    def __init__(self, written: dict[str, Any]) -> None:
        self._written = written

    def to_dict(self) -> dict[str, Any]:
        """Return the figure as Plotly's JSON, which is not to be changed."""
        return self._written


def prepared(figure: go.Figure) -> Any:
    """Return a figure written as a dictionary once, so that neither a ring nor drawing it again writes it anew."""
    return Prepared(figure.to_dict())


def ringed(figure: go.Figure, rows: pa.Table, what: str, point_id: int | None, size: float, colours: Colours) -> Any:
    """Return a map with a ring around one of its points, if that is there; the map itself stays as it is."""
    if point_id is None:
        return figure
    ring = points_of(rows, what).ring(point_id, size, colours)
    written = figure.to_dict()
    return Prepared(written | {"data": [*written["data"], ring.to_plotly_json()]})


def points_of(rows: pa.Table, what: str, names: np.ndarray | None = None) -> Points:
    """Return the points of rows with x, y and feature_id or text_id (`what` is feature or text)."""
    x, y = (rows[name].to_numpy().astype(np.float32) for name in ("x", "y"))
    return Points(rows[f"{what}_id"].to_numpy().astype(np.int32), x, y, what, names)


def as_map(traces: Sequence[go.Scattergl], height: int, *, drag: str, name: str, **layout: Any) -> go.Figure:
    """Return a map: equal scales, no axes, room for the colour bar; `name` keeps its zoom between reruns."""
    x = {"visible": False, "fixedrange": False}
    y = x | {"scaleanchor": "x", "rangemode": "normal"}
    margin = {"l": 0, "r": 0, "t": 0, "b": 54}
    return go.Figure(list(traces), quiet(height, x=x, y=y, dragmode=drag, uirevision=name, margin=margin, **layout))


def kinds_marker(kinds: np.ndarray, colours: Colours) -> dict[str, Any]:
    """Return the marker of points that are coloured by kinds, whole numbers from 0; the palette is used in turn."""
    n_colours = len(colours.palette)
    return {
        "color": (kinds.astype(np.int32) % n_colours).astype(np.int32),
        "colorscale": colour_scale(colours.palette),
        "cmin": 0,
        "cmax": n_colours - 1,
        "showscale": False,
    }


def colour_scale(colours: Sequence[str]) -> list[tuple[float, str]]:
    """Return colours as a scale of Plotly's, at equal distances from 0 to 1."""
    last = max(len(colours) - 1, 1)
    return [(place / last, colour) for place, colour in enumerate(colours)]


def scale_ends(numbers: np.ndarray) -> dict[str, float]:
    """Return the ends of the colour scale: the middle 96 % of the numbers, so that outliers do not flatten the rest."""
    if not len(numbers):
        return {}
    low, high = np.quantile(numbers.astype(np.float64), [0.02, 0.98])
    return {"cmin": float(low), "cmax": float(high)}


def colour_bar(numbers: np.ndarray, name: str) -> dict[str, Any]:
    """Return the colour bar of numbers that are called `name`."""
    bar: dict[str, Any] = {
        "title": {"text": name, "side": "top"},
        "orientation": "h",
        "thickness": 8,
        "len": 0.3,
        "x": 0,
        "xanchor": "left",
        "y": 0,
        "yanchor": "top",
        "ypad": 4,
        "outlinewidth": 0,
        "ticks": "",
        "nticks": 4,
    }
    if name == SHARE_OF_TEXTS and len(numbers):
        marks = density_marks(*scale_ends(numbers).values())
        bar |= {"tickvals": marks, "ticktext": [share(10.0**mark) for mark in marks]}
    return bar

"""The map of the texts: those that have a place as points in WebGL, coloured by one property of each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import plotly.graph_objects as go
import pyarrow as pa

from featurelib.charts.points import as_map, colour_bar, colour_scale, kinds_marker, points_of, scale_ends
from featurelib.charts.style import GREY, Colours, escape

MARKED_UP_TO = 10_000
"""With more points none gets a ring, so that the figure stays the same after a click and is not sent again."""


@dataclass(frozen=True)
class Colouring:
    """The property by which points are coloured: one value for each, in the order of the rows."""

    values: pa.ChunkedArray
    """Numbers, or positions of kinds from 0; null is grey."""
    name: str
    """The title of the colour bar."""
    kinds: bool = False
    """Whether the values are kinds."""
    sparse: bool = False
    """Whether only few points are coloured, as where a feature fires, so that grey points are drawn fainter."""


def text_map(
    rows: pa.Table, colouring: Colouring, colours: Colours, *, drag: str = "pan", marked: int | None = None
) -> go.Figure:
    """Return every text of `rows` (text_id, x, y) as a point.

    Grey points are drawn first and high numbers last, so that these are seen. `marked` is a text that gets a ring where
    there are no more than 10,000; `drag` is pan or lasso.
    """
    points = points_of(rows, "text")
    numbers = colouring.values.cast(pa.float32()).to_numpy()
    coloured = np.flatnonzero(np.isfinite(numbers))
    if not colouring.kinds:
        coloured = coloured[np.argsort(numbers[coloured], kind="stable")]
    size = float(np.clip(260 / np.sqrt(max(len(points.ids), 1)), 2.4, 8.0))
    grey = {"color": GREY, "size": size, "opacity": 0.45 if colouring.sparse else 0.6}
    marker = _marker(numbers[coloured], colouring, colours)
    marker |= {"size": size * (1.5 if colouring.sparse else 1.2), "opacity": 0.9}
    traces = [points.drawn(~np.isfinite(numbers), grey), points.drawn(coloured, marker)]
    if marked is not None and len(points.ids) <= MARKED_UP_TO:
        traces.append(points.ring(marked, 15, colours))
    return as_map(traces, 600, drag=drag, name="text map")


def _marker(numbers: np.ndarray, colouring: Colouring, colours: Colours) -> dict[str, Any]:
    if colouring.kinds:
        return kinds_marker(numbers, colours)
    ends = scale_ends(numbers)
    if ends and ends["cmin"] == ends["cmax"]:
        ends["cmin"] -= 1.0  # a scale without length would leave the colour to chance
    return {
        "color": numbers,
        "colorscale": colour_scale(colours.scale),
        **ends,
        "colorbar": colour_bar(numbers, escape(colouring.name)),
        "showscale": len(np.unique(numbers)) > 1,
    }


def kind_colours(n_kinds: int, colours: Colours) -> Sequence[str]:
    """Return the colours of the first `n_kinds` kinds, in their order."""
    return [colours.palette[number % len(colours.palette)] for number in range(n_kinds)]

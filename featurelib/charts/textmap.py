"""The map of the texts: those that have a place as points in WebGL, coloured by one property of each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from featurelib.charts.map_layout import as_map
from featurelib.charts.points import Colouring, Look, points_of
from featurelib.charts.style import Colours

NUMBER = " · %{marker.color:.3f}"
"""The number by which a point is coloured, on hover."""


def text_map(
    rows: pa.Table,
    colouring: Colouring | None,
    colours: Colours,
    *,
    regions: pa.Table | None = None,
    name: str = "text map",
    painted: str | None = None,
) -> Any:
    """Return every text of `rows` (text_id, x, y) as a point; without a colouring all are grey, else as in `as_map`."""
    points = points_of(rows, "text")
    colouring = colouring or Colouring(pa.chunked_array([pa.nulls(rows.num_rows, pa.float32())]), "", sparse=True)
    traces = points.traces(colouring, _look(rows, colouring), colours)
    return as_map(traces, points, 560, name=name, colours=colours, regions=regions, painted=painted)


def paint_texts(rows: pa.Table, colouring: Colouring, colours: Colours) -> dict[str, Any]:
    """Return what the browser needs to give the map of `rows` these colours, see `Points.paint`."""
    return points_of(rows, "text").paint(colouring, _look(rows, colouring), colours)


def _look(rows: pa.Table, colouring: Colouring) -> Look:
    size = float(np.clip(260 / np.sqrt(max(rows.num_rows, 1)), 2.4, 8.0))
    about = "" if colouring.kinds else NUMBER
    return Look(size * (1.5 if colouring.sparse else 1.2), 0.9, size, 0.45 if colouring.sparse else 0.6, about)


def kind_colours(n_kinds: int, colours: Colours) -> Sequence[str]:
    """Return the colours of the first `n_kinds` kinds, in their order."""
    return [colours.palette[number % len(colours.palette)] for number in range(n_kinds)]

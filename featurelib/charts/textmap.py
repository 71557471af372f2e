"""The map of the texts: those that have a place as points in WebGL, coloured by one thing that is known of each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import plotly.graph_objects as go
import pyarrow as pa

from featurelib.charts.featuremap import _colour_bar, _ends, _escaped, _scale
from featurelib.charts.style import GREY, Colours, quiet

MARKED_UP_TO = 10_000
"""With more points none gets a ring: the figure stays as it is at a click, so that it is not sent again."""


@dataclass(frozen=True)
class Colouring:
    """What the points are coloured by: one value for each, in the order of the rows."""

    values: pa.ChunkedArray
    """Numbers from little to much, or positions of kinds from 0; null is grey."""
    name: str
    """What a number is, said beside the colour bar."""
    kinds: bool = False
    """Whether the values are kinds."""
    sparse: bool = False
    """Whether what is coloured is what matters, as where a feature fires, so that grey points step back."""


def text_map(
    rows: pa.Table, colouring: Colouring, colours: Colours, *, drag: str = "pan", marked: int | None = None
) -> go.Figure:
    """Every text of `rows` (text_id, x, y) as a point: float32 arrays and int ids only (customdata).

    Grey points lie below, numbers rise from below to above, so that the strongest are seen. `marked` is a text that
    gets a ring where there are no more than 10,000; `drag` is pan or lasso.
    """
    ids = rows["text_id"].to_numpy().astype(np.int32)
    x, y = (rows[name].to_numpy().astype(np.float32) for name in ("x", "y"))
    numbers = colouring.values.cast(pa.float32()).to_numpy()
    known = np.isfinite(numbers)
    order = np.argsort(numbers[known], kind="stable") if not colouring.kinds else np.arange(known.sum())
    size = float(np.clip(260 / np.sqrt(max(len(ids), 1)), 2.4, 8.0))
    figure = go.Figure()
    grey = {"color": GREY, "size": size, "opacity": 0.45 if colouring.sparse else 0.6}
    _draw(figure, ids[~known], x[~known], y[~known], grey)
    marker = _marker(numbers[known][order], colouring, colours) | {
        "size": size * (1.5 if colouring.sparse else 1.2),
        "opacity": 0.9,
    }
    _draw(figure, ids[known][order], x[known][order], y[known][order], marker)
    if marked is not None and len(ids) <= MARKED_UP_TO:
        here = ids == marked
        ring = {"color": colours.palette[1], "size": 15, "symbol": "circle-open", "line": {"width": 2.5}}
        _draw(figure, ids[here], x[here], y[here], ring)
    quiet(figure, 600)
    figure.update_xaxes(visible=False, fixedrange=False)
    figure.update_yaxes(visible=False, fixedrange=False, scaleanchor="x", rangemode="normal")
    figure.update_layout(dragmode=drag, uirevision="text map", margin={"l": 0, "r": 0, "t": 0, "b": 54})
    return figure


def _marker(numbers: np.ndarray, colouring: Colouring, colours: Colours) -> dict:
    if colouring.kinds:
        last = len(colours.palette) - 1
        shown = (numbers.astype(np.int32) % len(colours.palette)).astype(np.int32)
        return {"color": shown, "colorscale": _scale(colours.palette), "cmin": 0, "cmax": last, "showscale": False}
    ends = _ends(numbers)
    if ends and ends["cmin"] == ends["cmax"]:
        ends["cmin"] -= 1.0  # a scale without length would leave the colour to chance
    return {
        "color": numbers,
        "colorscale": _scale(colours.scale),
        **ends,
        "colorbar": _colour_bar(numbers, _escaped(colouring.name)),
        "showscale": len(np.unique(numbers)) > 1,
    }


def _draw(figure: go.Figure, ids: np.ndarray, x: np.ndarray, y: np.ndarray, marker: dict) -> None:
    figure.add_trace(
        go.Scattergl(
            x=x,
            y=y,
            customdata=ids,
            mode="markers",
            marker={"line": {"width": 0}, **marker},
            selected={"marker": {"opacity": 1, "size": marker["size"] * 1.3}},
            unselected={"marker": {"opacity": 0.22}},
            hovertemplate="text %{customdata}<extra></extra>",
        )
    )


def kind_colours(n_kinds: int, colours: Colours) -> Sequence[str]:
    """The colours of the first kinds, in their order."""
    return [colours.palette[number % len(colours.palette)] for number in range(n_kinds)]

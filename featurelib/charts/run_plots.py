"""What the weights say of every feature, each against each as points; densities here against those of the training."""

from __future__ import annotations

from itertools import product
from typing import Any, NamedTuple

import numpy as np
import plotly.graph_objects as go
import pyarrow as pa

from featurelib.charts.points import Points
from featurelib.charts.style import GREY, Colours, density_marks, quiet, share

HEIGHT, SQUARE = 560, 400
COLUMNS = {"encoder_bias": "encoder bias", "alignment": "alignment", "b_dec_projection": "along b_dec"}
"""What stands along the columns of the matrix."""
ROWS = {"log10_density": "density", "b_dec_projection": "along b_dec", "alignment": "alignment"}
"""And along its rows, from above; a pair is drawn once."""
GAP = 0.035
"""Between two panels, as a share of the figure."""
MARGIN = 0.04
"""How far an axis goes beyond its outermost point, as a share of its length."""

LEAST = -6.0
"""log10 of the least density of the training that is drawn."""


class Panel(NamedTuple):
    """One panel of the matrix."""

    column: str
    """What stands on the x axis."""
    row: str
    """What stands on the y axis."""
    number: int
    """From 1; Plotly's axes are called by it."""
    is_left: bool
    """Whether it stands at the left end of its row."""
    is_lowest: bool
    """Whether none stands below it."""


def run_plots(rows: pa.Table, n: int, colours: Colours) -> go.Figure:
    """Return a scatter matrix of rows of `queries.weight_rows`; dead features have another colour and lie on top.

    `n` is the number of texts or tokens: a dead feature stands at half of one. 100 bytes a feature.
    """
    values = {name: rows[name].to_numpy(zero_copy_only=False).astype(np.float32) for name in COLUMNS}
    dead = rows["dead"].to_numpy(zero_copy_only=False)
    values["log10_density"] = np.where(dead, _half_of_one(n), rows["log10_density"].to_numpy(zero_copy_only=False))
    values = {name: column.astype(np.float32) for name, column in values.items()}
    ids = rows["feature_id"].to_numpy().astype(np.int32)
    traces: list[go.Scattergl] = []
    axes: dict[str, Any] = {}
    for panel in _panels():
        points = Points(ids, values[panel.column], values[panel.row], "feature")
        for chosen, colour in ((~dead, colours.accent), (dead, colours.palette[1])):
            trace = points.drawn(chosen, {"color": colour, "size": _size(len(ids)), "opacity": 0.5})
            traces.append(trace.update(xaxis=f"x{panel.number}", yaxis=f"y{panel.number}"))
        axes |= _axes(panel, values)
    layout = quiet(HEIGHT, left=58, bottom=44, dragmode="pan")
    return go.Figure(traces, {name: each for name, each in layout.items() if name not in ("xaxis", "yaxis")} | axes)


def then_and_now(rows: pa.Table, n: int, colours: Colours) -> go.Figure:
    """Return the density of each feature here against that in its SAE's training, both on logarithmic axes.

    `rows` are those of `queries.densities_then_and_now`; a density of 0 stands at half a text, or half a token of `n`,
    and one below a millionth in the training at that.
    """
    dead = rows["dead"].to_numpy(zero_copy_only=False)
    now = np.where(dead, _half_of_one(n), rows["now"].to_numpy(zero_copy_only=False)).astype(np.float32)
    then = np.maximum(rows["then"].to_numpy(), LEAST).astype(np.float32)
    points = Points(rows["feature_id"].to_numpy().astype(np.int32), then, now, "feature")
    ends = _range(np.concatenate([then, now]))
    same = go.Scatter(x=ends, y=ends, mode="lines", line={"color": GREY, "width": 1, "dash": "dot"}, hoverinfo="skip")
    size = _size(rows.num_rows)
    traces = [
        points.drawn(chosen, {"color": colour, "size": size, "opacity": 0.6})
        for chosen, colour in ((~dead, colours.accent), (dead, colours.palette[1]))
    ]
    marks = _marks(ends)
    ticks = {"tickvals": marks, "ticktext": [share(10.0**mark) for mark in marks], "range": ends}
    x = {"title": {"text": "density in its training", "font": {"size": 12}}, **ticks}
    y = {"title": {"text": "density here", "font": {"size": 12}}, "visible": True, "rangemode": "normal", **ticks}
    return go.Figure([same, *traces], quiet(SQUARE, left=72, bottom=46, x=x, y=y, dragmode="pan"))


def _half_of_one(n: int) -> float:
    return float(np.log10(0.5 / max(n, 1)))


def _panels() -> list[Panel]:
    pairs = [(column, row) for row, column in product(ROWS, COLUMNS) if _is_new(column, row)]
    left = next(iter(COLUMNS))
    return [
        Panel(column, row, number, column == left, (column, row) == [pair for pair in pairs if pair[0] == column][-1])
        for number, (column, row) in enumerate(pairs, start=1)
    ]


def _is_new(column: str, row: str) -> bool:
    """Whether the pair is not the diagonal, and does not stand above with its axes exchanged."""
    order = list(COLUMNS)
    return row not in order or order.index(column) < order.index(row)


def _axes(panel: Panel, values: dict[str, np.ndarray]) -> dict[str, Any]:
    across, down = list(COLUMNS).index(panel.column), list(ROWS).index(panel.row)
    width, height = (1 - GAP * (len(COLUMNS) - 1)) / len(COLUMNS), (1 - GAP * (len(ROWS) - 1)) / len(ROWS)
    left, top = across * (width + GAP), 1 - down * (height + GAP)
    line = {"showgrid": False, "zeroline": False, "ticks": "", "fixedrange": True, "nticks": 4}
    line |= {"showline": True, "linewidth": 1, "linecolor": GREY}
    x, y = (
        {"range": _range(values[name]), "title": {"text": shown, "font": {"size": 12}, "standoff": 6}}
        for name, shown in ((panel.column, COLUMNS[panel.column]), (panel.row, ROWS[panel.row]))
    )
    if panel.row == "log10_density":
        marks = _marks(_range(values[panel.row]))
        y |= {"tickvals": marks, "ticktext": [share(10.0**mark) for mark in marks]}
    hidden: dict[str, Any] = {"showticklabels": False, "title": None}
    x |= {"domain": [left, left + width], "anchor": f"y{panel.number}"} | ({} if panel.is_lowest else hidden)
    y |= {"domain": [max(0.0, top - height), top], "anchor": f"x{panel.number}"} | ({} if panel.is_left else hidden)
    return {f"xaxis{panel.number}": line | x, f"yaxis{panel.number}": line | y}


def _range(values: np.ndarray) -> list[float]:
    """The ends of an axis that holds all values."""
    low, high = (float(values.min()), float(values.max())) if len(values) else (0.0, 1.0)
    beyond = MARGIN * (high - low) or 0.5
    return [low - beyond, high + beyond]


def _marks(ends: list[float]) -> list[float]:
    marks = density_marks(*ends)
    return marks[:: max(1, len(marks) // 4)]


def _size(n: int) -> float:
    """The size of a point, in pixels."""
    return float(np.clip(120 / np.sqrt(max(n, 1)), 2.0, 6.0))

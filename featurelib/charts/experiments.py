"""Scores of experiments: what a classifier sees against which it is, and against the number of features it sees."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import plotly.graph_objects as go

from featurelib.charts.points import colour_scale
from featurelib.charts.style import GREY, Colours, escape, quiet

ROW = 30
"""Pixels of a row."""
HEIGHT = 320


def score_heatmap(
    rows: Sequence[str], columns: Sequence[str], scores: Mapping[tuple[str, str], float], colours: Colours
) -> go.Figure:
    """Return a heat map of scores by (row, column); a pair without one stays empty."""
    values = np.array([[scores.get((row, column), np.nan) for column in columns] for row in rows], np.float64)
    words = [["" if np.isnan(value) else f"{value:.3f}" for value in line] for line in values]
    heat = go.Heatmap(
        z=values,
        x=[escape(column) for column in columns],
        y=[escape(row) for row in rows],
        text=words,
        texttemplate="%{text}",
        colorscale=colour_scale(colours.scale),
        showscale=False,
        xgap=2,
        ygap=2,
        hovertemplate="%{y}, %{x}: %{text}<extra></extra>",
    )
    y = {"visible": True, "autorange": "reversed", "automargin": True, "rangemode": "normal"}
    x = {"side": "top", "showline": False}
    layout = quiet(ROW * len(rows) + 40, bottom=0, x=x, y=y)
    layout["margin"] |= {"t": 30}
    return go.Figure(heat, layout)


@dataclass(frozen=True)
class ScoreLine:
    """Scores of one classifier that sees more and more features, chosen in one way."""

    name: str
    numbers: Sequence[int]
    """How many features it sees, ascending."""
    values: Sequence[float]
    lows: Sequence[float]
    """The lower ends of the 95 % intervals."""
    highs: Sequence[float]


def scores_by_number(lines: Sequence[ScoreLine], levels: Mapping[str, float], colours: Colours) -> go.Figure:
    """Return scores against the number of features, on a logarithmic axis, with bars for the intervals.

    `levels` are scores of what sees all features or none at all (an embedding), as level lines with their names.
    """
    drawn = [_line(line, colours.palette[place % len(colours.palette)]) for place, line in enumerate(lines)]
    numbers = sorted({number for line in lines for number in line.numbers})
    x = {
        "type": "log",
        "tickvals": numbers,
        "ticktext": [f"{number:,}" for number in numbers],
        "title": {"text": "features that it sees", "font": {"size": 12}},
    }
    layout = quiet(HEIGHT, left=44, bottom=46, x=x, y={"visible": True, "automargin": True, "rangemode": "normal"})
    layout |= {
        "showlegend": True,
        "legend": {"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0, "xanchor": "left"},
    }
    layout["margin"] |= {"t": 30, "r": 8}
    layout["shapes"] = [
        {"type": "line", "xref": "paper", "x0": 0, "x1": 1, "y0": value, "y1": value,
         "line": {"color": GREY, "width": 1, "dash": "dot"}}
        for value in levels.values()
    ]  # fmt: skip
    layout["annotations"] = [
        {"xref": "paper", "x": place % 2, "y": value, "text": f"{escape(name)} {value:.3f}", "showarrow": False,
         "font": {"size": 11}, "xanchor": ("left", "right")[place % 2], "yanchor": "bottom"}
        for place, (name, value) in enumerate(levels.items())
    ]  # fmt: skip
    return go.Figure(drawn, layout)


def _line(line: ScoreLine, colour: str) -> go.Scatter:
    values = np.array(line.values)
    bars = {"array": np.array(line.highs) - values, "arrayminus": values - np.array(line.lows), "symmetric": False}
    return go.Scatter(
        x=list(line.numbers),
        y=values,
        error_y={"type": "data", "thickness": 1, "width": 3, **bars},
        mode="lines+markers",
        name=escape(line.name),
        line={"color": colour, "width": 2},
        hovertemplate=f"{escape(line.name)}, %{{x}}: %{{y:.3f}}<extra></extra>",
    )

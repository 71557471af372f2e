"""Scores of experiments as a heat map: what a classifier sees against which classifier it is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import plotly.graph_objects as go

from featurelib.charts.points import colour_scale
from featurelib.charts.style import Colours, escape, quiet

ROW = 30
"""Pixels of a row."""


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

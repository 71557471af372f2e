"""The coactivation of some features as a heatmap."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go

from featurelib.charts.style import Colours, escape, quiet, share

MEASURES = {
    "jaccard": "texts on which both fire, of those on which either does",
    "geometric": "texts on which both fire, over the geometric mean of those on which each does",
}
"""How the number of common texts is scaled to 0–1; the second, Ochiai's coefficient, is the baseline's."""
MOST = 60
HEIGHT = 400
"""Pixels at the most, about what a column beside a list is wide."""
LONGEST = 34
"""Characters of a name that are shown at the left edge."""
AXIS = "features, in the order of the list"
NAMED = 26
"""Up to so many features have their names at the left edge; with more, names are shown on hover only."""


def coactivation_heatmap(
    names: Sequence[str], n_both: np.ndarray, colours: Colours, *, measure: str = "jaccard", named: bool = False
) -> go.Figure:
    """Return a heatmap of how often features fire together, without its diagonal.

    `n_both` int [n, n] has the number of texts on which two features fire, on its diagonal those of one; n is at most
    60. `measure` is one of MEASURES. On hover a cell shows both names, the measure and the numbers of texts. With
    `named` names stand at the left edge.
    """
    n_both = np.asarray(n_both, np.int64)[:MOST, :MOST]
    shown = [escape(name) for name in names[:MOST]]
    strength = relative(n_both, measure)
    np.fill_diagonal(strength, np.nan)
    heat = go.Heatmap(
        z=strength,
        x=list(range(len(shown))),
        y=list(range(len(shown))),
        text=_words(shown, n_both, strength),
        hovertemplate="%{text}<extra></extra>",
        colorscale=_scale(colours),
        zmin=0,
        zmax=_top(strength),
        xgap=1 if len(shown) <= NAMED else 0,
        ygap=1 if len(shown) <= NAMED else 0,
        colorbar={"thickness": 8, "len": 0.6, "outlinewidth": 0, "tickformat": ".0%", "nticks": 4, "x": 1.01},
        hoverongaps=False,
    )
    labelled = named and len(shown) <= NAMED
    bare: dict[str, Any] = {"showgrid": False, "zeroline": False, "ticks": "", "constrain": "domain"}
    title = {"text": AXIS, "font": {"size": 11}, "standoff": 4}
    y = {
        "title": None if labelled else title,
        "showticklabels": labelled,
        "scaleanchor": "x",
        "constraintoward": "top",
        "autorange": "reversed",
        "rangemode": "normal",
        "tickvals": list(range(len(shown))),
        "ticktext": [_cut(name) for name in names[:MOST]],
        "tickfont": {"size": 11},
    }
    height = int(np.clip(100 + 14 * len(shown), 240, HEIGHT))
    x = bare | {"title": title, "showticklabels": False}
    return go.Figure(heat, quiet(height, left=230 if labelled else 22, bottom=22, x=x, y=bare | y))


def relative(n_both: np.ndarray, measure: str) -> np.ndarray:
    """Return common texts scaled to 0–1 by a measure, float64 [n, n]; 0 where a feature never fires."""
    own = np.diag(n_both).astype(np.float64)
    if measure == "jaccard":
        most = own[:, None] + own[None, :] - n_both
    elif measure == "geometric":
        most = np.sqrt(np.outer(own, own))
    else:
        raise ValueError(f"'{measure}' is no measure; one of {', '.join(MEASURES)} is expected")
    scaled: np.ndarray = np.divide(n_both, most, out=np.zeros(n_both.shape), where=most > 0)
    return scaled


def _top(strength: np.ndarray) -> float:
    """Return the end of the colour scale: a quantile, so that one strong pair does not make all others pale."""
    known = strength[np.isfinite(strength)]
    return max(float(np.quantile(known, 0.98)), 0.02) if len(known) else 1.0


def _scale(colours: Colours) -> list[tuple[float, str]]:
    # The scale begins at the palest colour without opacity: black without opacity would make the first steps grey.
    palest = ",".join(str(int(colours.scale[0][place : place + 2], 16)) for place in (1, 3, 5))
    steps = [f"rgba({palest},0)", *colours.scale]
    return [(place / (len(steps) - 1), colour) for place, colour in enumerate(steps)]


def _words(names: list[str], n_both: np.ndarray, strength: np.ndarray) -> list[list[str]]:
    """What each cell shows on hover; nothing on the diagonal."""
    own, n = np.diag(n_both), range(len(names))
    return [
        [
            f"{names[row]}<br>{names[column]}<br>{share(strength[row, column])}: {n_both[row, column]:,} texts of "
            f"{own[row]:,} and {own[column]:,}"
            if row != column
            else ""
            for column in n
        ]
        for row in n
    ]


def _cut(name: str) -> str:
    return escape(name if len(name) <= LONGEST else name[: LONGEST - 1] + "…")

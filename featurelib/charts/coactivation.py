"""How much the features of a group fire together: a square of colours."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import plotly.graph_objects as go

from featurelib.charts.style import CLEAR, Colours, quiet, share

MEASURES = {
    "jaccard": "texts on which both fire, of those on which either does",
    "geometric": "texts on which both fire, over the geometric mean of those on which each does",
}
"""How the common texts of two features are brought to 0–1; the second is the seed's, which is Ochiai's coefficient."""
MOST = 60
HEIGHT = 400
"""Pixels at the most, about what a column beside a list is wide."""
LONGEST = 34
"""Characters of a name that stand at the edge of a large square."""
NAMED = 26
"""Up to so many features their names stand at the left edge; beyond that on hover only."""


def coactivation_heatmap(
    names: Sequence[str], n_both: np.ndarray, colours: Colours, *, measure: str = "jaccard", width: int = 0
) -> go.Figure:
    """A square of features, the colour of a cell saying how much two fire together; the diagonal is left out.

    `n_both` int [n, n] has the texts that two features share and on its diagonal each one's own; n is at most 60.
    `measure` is one of MEASURES. On hover a cell tells both names, the measure and the texts. With `width` 1 names
    stand at the left edge.
    """
    n_both = np.asarray(n_both, np.int64)[:MOST, :MOST]
    shown = [_escaped(name) for name in names[:MOST]]
    strength = relative(n_both, measure)
    np.fill_diagonal(strength, np.nan)
    figure = go.Figure(
        go.Heatmap(
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
    )
    labelled = bool(width) and len(shown) <= NAMED
    quiet(figure, int(np.clip(100 + 14 * len(shown), 240, HEIGHT)), left=230 if labelled else 0, bottom=4)
    figure.update_layout(plot_bgcolor=CLEAR)
    figure.update_xaxes(visible=False, constrain="domain")
    figure.update_yaxes(
        visible=labelled,
        scaleanchor="x",
        constrain="domain",
        constraintoward="top",
        autorange="reversed",
        rangemode="normal",
        tickvals=list(range(len(shown))),
        ticktext=[_cut(name) for name in names[:MOST]],
        showgrid=False,
        zeroline=False,
        ticks="",
        tickfont={"size": 11},
    )
    return figure


def relative(n_both: np.ndarray, measure: str) -> np.ndarray:
    """Common texts brought to 0–1, float64 [n, n]; 0 where a feature never fires."""
    own = np.diag(n_both).astype(np.float64)
    if measure == "jaccard":
        most = own[:, None] + own[None, :] - n_both
    elif measure == "geometric":
        most = np.sqrt(np.outer(own, own))
    else:
        raise ValueError(f"'{measure}' is no measure; one of {', '.join(MEASURES)} is expected")
    return np.divide(n_both, most, out=np.zeros(n_both.shape), where=most > 0)


def _top(strength: np.ndarray) -> float:
    """The end of the colours: a strong pair should not make all others pale."""
    known = strength[np.isfinite(strength)]
    return max(float(np.quantile(known, 0.98)), 0.02) if len(known) else 1.0


def _scale(colours: Colours) -> list[tuple[float, str]]:
    # From no colour to the palest: the same colour without opacity, because black without opacity would pass by grey.
    palest = ",".join(str(int(colours.scale[0][place : place + 2], 16)) for place in (1, 3, 5))
    steps = [f"rgba({palest},0)", *colours.scale]
    return [(place / (len(steps) - 1), colour) for place, colour in enumerate(steps)]


def _words(names: list[str], n_both: np.ndarray, strength: np.ndarray) -> list[list[str]]:
    own = np.diag(n_both)
    return [
        [
            f"{names[one]}<br>{names[other]}<br>{share(strength[one, other])}: {n_both[one, other]:,} texts of "
            f"{own[one]:,} and {own[other]:,}"
            if one != other
            else ""
            for other in range(len(names))
        ]
        for one in range(len(names))
    ]


def _cut(name: str) -> str:
    return _escaped(name if len(name) <= LONGEST else name[: LONGEST - 1] + "…")


def _escaped(name: str) -> str:
    """A name as Plotly shows it letter by letter: it reads some tags."""
    return name.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")

"""Two sets of texts: every feature as a point, its density in one against its density in the other."""

from __future__ import annotations

import numpy as np
import plotly.graph_objects as go
import pyarrow as pa

from featurelib.charts.style import GREY, Colours, density_marks, escape, quiet, share

HEIGHT = 460
MOST_NAMED = 5_000
"""With more points the browser gets no names."""


def density_scatter(rows: pa.Table, sizes: tuple[int, int], names: tuple[str, str], colours: Colours) -> go.Figure:
    """Return the densities in A and in B on logarithmic axes; features that do not differ are grey.

    `rows` are those of `queries.contrast_rows`. A density of 0 stands at half a text, `sizes` being the numbers of
    texts; `names` are those of A and B.
    """
    axes = [_heights(rows[name].to_numpy(), n) for name, n in zip(("density_a", "density_b"), sizes, strict=True)]
    differs, oftener = rows["differs"].to_numpy(), rows["difference"].to_numpy() > 0
    kinds = [(~differs, GREY), (differs & oftener, colours.palette[0]), (differs & ~oftener, colours.palette[1])]
    traces = [_points(rows, axes, kind, colour) for kind, colour in kinds]
    low, high = (float(end([end(axis) for axis in axes])) if rows.num_rows else -1.0 for end in (np.min, np.max))
    ends = [low - 0.1, high + 0.1]
    same = go.Scatter(x=ends, y=ends, mode="lines", line={"color": GREY, "width": 1, "dash": "dot"}, hoverinfo="skip")
    marks = density_marks(*ends)
    ticks = {"tickvals": marks, "ticktext": [share(10.0**mark) for mark in marks], "range": ends}
    x = {"title": {"text": f"density in {escape(names[0])}", "font": {"size": 12}}, **ticks}
    y = {"title": {"text": f"density in {escape(names[1])}", "font": {"size": 12}}, "visible": True, **ticks}
    return go.Figure([same, *traces], quiet(HEIGHT, left=64, bottom=46, x=x, y=y, dragmode="select"))


def _heights(densities: np.ndarray, n_texts: int) -> np.ndarray:
    heights: np.ndarray = np.log10(np.maximum(densities, 0.5 / max(n_texts, 1)))
    return heights


def _points(rows: pa.Table, axes: list[np.ndarray], chosen: np.ndarray, colour: str) -> go.Scattergl:
    labels = rows["label"].filter(pa.array(chosen)).to_pylist() if rows.num_rows <= MOST_NAMED else []
    return go.Scattergl(
        x=axes[0][chosen].astype(np.float32),
        y=axes[1][chosen].astype(np.float32),
        customdata=rows["feature_id"].to_numpy()[chosen],
        hovertext=[escape(label) for label in labels] or None,
        mode="markers",
        marker={"color": colour, "size": 6, "opacity": 0.8, "line": {"width": 0}},
        selected={"marker": {"opacity": 1}},
        unselected={"marker": {"opacity": 0.2}},
        hovertemplate=("%{hovertext}<br>" if labels else "") + "feature %{customdata}<extra></extra>",
    )

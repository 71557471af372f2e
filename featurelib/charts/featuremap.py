"""The map: all features as points in WebGL."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import plotly.graph_objects as go
import pyarrow as pa

from featurelib.charts.style import GREY, Colours, density_marks, quiet, share


def feature_map(
    rows: pa.Table,
    colour: str,
    colours: Colours,
    *,
    lit: Sequence[int] | None = None,
    drag: str = "pan",
    names: Sequence[str] | None = None,
    marked: int | None = None,
) -> go.Figure:
    """Every feature as a point at its x, y: float32 arrays and int ids only (customdata), so that 100,000 are 2.6 MB.

    `names`, one for each row, are said on hover (50 bytes a feature more); `marked` is a feature that gets a ring.
    `colour` is density (log10), activation or cluster; dead features and those of no cluster are grey. Features in
    `lit` stand out in the accent colour and the others step back. `drag` is pan or lasso.
    """
    ids = rows["feature_id"].to_numpy().astype(np.int32)
    places = rows["x"].to_numpy().astype(np.float32), rows["y"].to_numpy().astype(np.float32)
    size = float(np.clip(220 / np.sqrt(max(len(ids), 1)), 3.0, 9.0))
    opacity = 0.85 if lit is None else 0.2
    known, marker = _map_marker(rows, colour, colours)
    figure = go.Figure()
    points = _Points(ids, *places, None if names is None else np.array([_escaped(one) for one in names], dtype=object))
    _draw(figure, points, ~known, {"color": GREY, "size": size * 0.8, "opacity": opacity * 0.6})
    _draw(figure, points, known, {**marker, "size": size, "opacity": opacity})
    if lit is not None:
        here = np.isin(ids, np.asarray(lit, dtype=np.int64))
        _draw(figure, points, here, {"color": colours.accent, "size": size * 1.6, "opacity": 1.0})
    if marked is not None:
        ring = {
            "color": colours.palette[1],
            "size": size * 3,
            "symbol": "circle-open",
            "opacity": 1.0,
            "line": {"width": 2.5},
        }
        _draw(figure, points, ids == marked, ring)
    quiet(figure, 640)
    figure.update_xaxes(visible=False, fixedrange=False)
    figure.update_yaxes(visible=False, fixedrange=False, scaleanchor="x", rangemode="normal")
    figure.update_layout(dragmode=drag, uirevision="map", margin={"l": 0, "r": 0, "t": 0, "b": 54})
    return figure


def _map_marker(rows: pa.Table, colour: str, colours: Colours) -> tuple[np.ndarray, dict]:
    """Which features have a colour, and the marker of those."""
    if colour == "cluster":
        clusters = rows["cluster"].to_numpy()
        known = clusters >= 0
        kinds = (clusters[known] % len(colours.palette)).astype(np.int32)
        return known, {
            "color": kinds,
            "colorscale": _scale(colours.palette),
            "cmin": 0,
            "cmax": len(colours.palette) - 1,
        }
    column, name = (
        ("max_activation", "maximum activation") if colour == "activation" else ("log10_density", "share of texts")
    )
    numbers = rows[column].to_pandas().to_numpy(dtype=np.float32, na_value=np.nan)
    known = np.isfinite(numbers) & ~rows["dead"].to_numpy()
    return known, {
        "color": numbers[known],
        "colorscale": _scale(colours.scale),
        **_ends(numbers[known]),
        "colorbar": _colour_bar(numbers[known], name),
        "showscale": bool(known.any()),
    }


def _ends(numbers: np.ndarray) -> dict:
    """The ends of the colour scale: the middle 96 % of the numbers, lest one outlier make all else alike."""
    if not len(numbers):
        return {}
    low, high = np.quantile(numbers.astype(np.float64), [0.02, 0.98])
    return {"cmin": float(low), "cmax": float(high)}


@dataclass(frozen=True)
class _Points:
    ids: np.ndarray
    x: np.ndarray
    y: np.ndarray
    names: np.ndarray | None


def _escaped(name: str) -> str:
    """A name as Plotly shows it letter by letter: it reads some tags."""
    return name.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _draw(figure: go.Figure, points: _Points, here: np.ndarray, marker: dict) -> None:
    figure.add_trace(
        go.Scattergl(
            x=points.x[here],
            y=points.y[here],
            customdata=points.ids[here],
            hovertext=None if points.names is None else points.names[here],
            mode="markers",
            marker={"line": {"width": 0}, **marker},
            selected={"marker": {"opacity": 1, "size": marker["size"] * 1.3}},
            unselected={"marker": {"opacity": 0.22}},
            hovertemplate=f"{'' if points.names is None else '%{hovertext}<br>'}feature %{{customdata}}<extra></extra>",
        )
    )


def _scale(colours: Sequence[str]) -> list[tuple[float, str]]:
    last = max(len(colours) - 1, 1)
    return [(place / last, colour) for place, colour in enumerate(colours)]


def _colour_bar(numbers: np.ndarray, name: str) -> dict:
    bar = {
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
    if name == "share of texts" and len(numbers):
        marks = density_marks(*_ends(numbers).values())
        bar |= {"tickvals": marks, "ticktext": [share(10.0**mark) for mark in marks]}
    return bar


def chosen_ids(selection: dict) -> list[int]:
    """The feature ids of the points in a selection, each once, in the order given."""
    found = []
    for point in selection.get("points", []):
        held = point.get("customdata")
        found.append(int(held[0] if isinstance(held, list | tuple) else held))
    return list(dict.fromkeys(found))

"""What the two maps share: points in WebGL, coloured by numbers on a scale or by kinds.

Points carry float32 arrays and int ids only (customdata), so that 100,000 of them are 2.6 MB.
"""

from __future__ import annotations

import base64
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import plotly.graph_objects as go
import pyarrow as pa

from featurelib.charts.style import GREY, Colours, density_marks, escape, share

SHARE_OF_TEXTS = "share of texts"
"""The name of numbers that are log10 of a share, whose colour bar is marked in percent."""
MOST_MARKS = 4
"""Marks of a colour bar of times."""


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
    times: bool = False
    """Whether the values are log2 of how many times as much something is, so that the colour bar says ×2."""

    @property
    def numbers(self) -> np.ndarray:
        """The values, float32 [n]; NaN is grey."""
        numbers: np.ndarray = self.values.cast(pa.float32()).to_numpy()
        return numbers


@dataclass(frozen=True)
class Look:
    """How large and opaque the points of a map are; diameters in pixels."""

    size: float
    """Of a coloured point."""
    opacity: float
    grey_size: float
    grey_opacity: float
    about: str = ""
    """What is said of a coloured point on hover, in Plotly's template language."""

    @property
    def grey(self) -> dict[str, Any]:
        """The marker of grey points."""
        return {"color": GREY, "size": self.grey_size, "opacity": self.grey_opacity}

    def marker(self, numbers: np.ndarray, colouring: Colouring, colours: Colours) -> dict[str, Any]:
        """The marker of points that have these finite values."""
        return marker_of(numbers, colouring, colours) | {"size": self.size, "opacity": self.opacity}


@dataclass(frozen=True)
class Points:
    """Points of a map."""

    ids: np.ndarray
    """int32 [n]."""
    x: np.ndarray
    """float32 [n]."""
    y: np.ndarray
    """float32 [n]."""
    what: str
    """What a point is: feature or text."""

    def drawn(self, chosen: np.ndarray, marker: dict[str, Any], about: str = "") -> go.Scattergl:
        """Return some of the points (a mask or positions) as a trace; they can be selected.

        What stands out is drawn over them in the browser (ui/kit/js/map_picks.js), so that a selected point looks as it
        did. On hover come its name, where the browser knows it (js/map_names.js), the id, and `about` in Plotly's
        template language.
        """
        return go.Scattergl(
            x=self.x[chosen],
            y=self.y[chosen],
            customdata=self.ids[chosen],
            mode="markers",
            marker={"line": {"width": 0}, **marker},
            selected={"marker": {"opacity": marker["opacity"]}},
            unselected={"marker": {"opacity": marker["opacity"]}},
            hovertemplate=self.template(about),
        )

    def template(self, about: str = "") -> str:
        """Return what is said of a point on hover."""
        return f"{self.what} %{{customdata}}{about}<extra></extra>"

    def traces(self, colouring: Colouring, look: Look, colours: Colours) -> list[go.Scattergl]:
        """Return all points: grey ones first and high numbers last, so that these are seen."""
        numbers = colouring.numbers
        coloured = np.flatnonzero(np.isfinite(numbers))
        if not colouring.kinds:
            coloured = coloured[np.argsort(numbers[coloured], kind="stable")]
        marker = look.marker(numbers[coloured], colouring, colours)
        return [self.drawn(~np.isfinite(numbers), look.grey), self.drawn(coloured, marker, look.about)]

    def paint(self, colouring: Colouring, look: Look, colours: Colours) -> dict[str, Any]:
        """Return what the browser needs to give these points, ids ascending, other colours (js/map_colours.js).

        ids: those of the coloured points, or None where `values` has one for every point: a byte where they are kinds,
        255 being grey, else float32, NaN being grey. Arrays are base64.
        """
        numbers = colouring.numbers
        finite = np.isfinite(numbers)
        is_few = 3 * int(finite.sum()) < len(numbers)
        shown = numbers[finite] if is_few else numbers
        values = np.where(np.isnan(shown), 255, shown).astype(np.uint8) if colouring.kinds else shown
        marker = look.marker(numbers[finite], colouring, colours)
        del marker["color"]
        return {
            "ids": _base64(self.ids[finite]) if is_few else None,
            "values": _base64(values),
            "kinds": colouring.kinds,
            "marker": marker,
            "grey": look.grey,
            "templates": [self.template(), self.template(look.about)],
        }


def _base64(numbers: np.ndarray) -> str:
    return base64.b64encode(np.ascontiguousarray(numbers).tobytes()).decode()


def points_of(rows: pa.Table, what: str) -> Points:
    """Return the points of rows with x, y and feature_id or text_id (`what` is feature or text)."""
    x, y = (rows[name].to_numpy().astype(np.float32) for name in ("x", "y"))
    return Points(rows[f"{what}_id"].to_numpy().astype(np.int32), x, y, what)


def marker_of(numbers: np.ndarray, colouring: Colouring, colours: Colours) -> dict[str, Any]:
    """Return the marker of points that have these finite values of a colouring."""
    if colouring.kinds:
        return kinds_marker(numbers, colours)
    return {
        "color": numbers,
        "colorscale": colour_scale(colours.scale),
        **scale_ends(numbers),
        "colorbar": colour_bar(numbers, escape(colouring.name), times=colouring.times),
        "showscale": len(np.unique(numbers)) > 1,
    }


def kinds_marker(kinds: np.ndarray, colours: Colours) -> dict[str, Any]:
    """Return the marker of points that are coloured by kinds, whole numbers from 0; the palette is used in turn."""
    n_colours = len(colours.palette)
    return {
        "color": (kinds.astype(np.int32) % n_colours).astype(np.int32),
        "colorscale": colour_scale(colours.palette),
        "cmin": 0,
        "cmax": n_colours - 1,
        "showscale": False,
    }


def colour_scale(colours: Sequence[str]) -> list[tuple[float, str]]:
    """Return colours as a scale of Plotly's, at equal distances from 0 to 1."""
    last = max(len(colours) - 1, 1)
    return [(place / last, colour) for place, colour in enumerate(colours)]


def scale_ends(numbers: np.ndarray) -> dict[str, float]:
    """Return the ends of the colour scale: the middle 96 % of the numbers, so that outliers do not flatten the rest.

    A scale without length would leave the colour to chance.
    """
    if not len(numbers):
        return {}
    low, high = np.quantile(numbers.astype(np.float64), [0.02, 0.98])
    return {"cmin": float(low) - (low == high), "cmax": float(high)}


def colour_bar(numbers: np.ndarray, name: str, *, times: bool = False) -> dict[str, Any]:
    """Return the colour bar of numbers that are called `name`; `times` as in `Colouring`."""
    bar: dict[str, Any] = {
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
    if name == SHARE_OF_TEXTS and len(numbers):
        marks = density_marks(*scale_ends(numbers).values())
        bar |= {"tickvals": marks, "ticktext": [share(10.0**mark) for mark in marks]}
    if times and len(numbers):
        low, high = scale_ends(numbers).values()
        powers = range(math.ceil(low), math.floor(high) + 1)
        step = max(1, math.ceil(len(powers) / MOST_MARKS))
        shown = [power for power in powers if power % step == 0]
        bar |= {"tickvals": shown, "ticktext": [f"×{2.0**power:.3g}" for power in shown]}
    return bar

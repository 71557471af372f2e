"""A picture of a map for a paper: SVG, written here, so that equal rows give equal bytes."""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape

import numpy as np
import pyarrow as pa

from featurelib.charts.map_layout import two_parts
from featurelib.charts.points import Colouring, scale_ends
from featurelib.charts.style import Colours

GREY = "#8a9197"
FAINT = 0.28
"""How much of their opacity points keep where others are lit."""
MARGIN = 24
"""Pixels around the points."""
RADIUS = 170
"""The radius of a point at 1,000 pixels of width, times the root of the number of points."""
FONT = "font-family=\"'Source Sans 3','Source Sans Pro',Helvetica,Arial,sans-serif\""
LETTER = 0.56
"""The width of a letter, in sizes of the type; of an East Asian one it is 1."""
NOT_XML = re.compile(r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
LINES = (0.0, -1.2, 1.2, -2.4, 2.4)
"""Where a name is tried, in sizes of the type below its place."""


@dataclass(frozen=True)
class _Box:
    left: float
    top: float
    right: float
    bottom: float

    def overlaps(self, other: _Box) -> bool:
        return (
            self.left < other.right and other.left < self.right and self.top < other.bottom and other.top < self.bottom
        )


@dataclass(frozen=True)
class _Frame:
    """From places of the map to pixels: equal scales, up is up."""

    scale: float
    left: float
    top: float
    width: int
    height: int

    @classmethod
    def around(cls, x: np.ndarray, y: np.ndarray, width: int) -> _Frame:
        if not len(x):
            return cls(1.0, 0.0, 0.0, width, 2 * MARGIN)
        wide, high = float(np.ptp(x)), float(np.ptp(y))
        scale = (width - 2 * MARGIN) / (max(wide, high / 2) or 1.0)
        return cls(scale, float(x.min()), float(y.max()), width, math.ceil(high * scale) + 2 * MARGIN)

    def places(self, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return MARGIN + (x - self.left) * self.scale, MARGIN + (self.top - y) * self.scale


def map_svg(
    rows: pa.Table,
    colouring: Colouring,
    colours: Colours,
    *,
    lit: Sequence[int] = (),
    regions: pa.Table | None = None,
    width: int = 1200,
) -> str:
    """Return a map as SVG of `width` pixels: a circle for each row (x, y), and the names of the coarsest regions.

    Colours are those of the map in the same `colours`; points without a value are grey and lie below. Where some points
    are `lit` (ids), these have the accent colour and all others are faint. A name that would stand on another one is
    moved up or down, or left out; `regions` as on the map.
    """
    x, y = (rows[name].to_numpy().astype(np.float64) for name in ("x", "y"))
    frame = _Frame.around(x, y, width)
    fills = point_colours(colouring, colours)
    radius = float(np.clip(RADIUS / np.sqrt(max(len(x), 1)), 1.6, 6.0)) * width / 1000
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{frame.height}" '
        f'viewBox="0 0 {width} {frame.height}">',
        f'<rect width="{width}" height="{frame.height}" fill="#ffffff"/>',
        *_circles(*frame.places(x, y), fills, _is_lit(rows, lit), radius, colours.accent),
        *([] if regions is None else _names(regions, frame, colours)),
        "</svg>",
    ]
    return "\n".join(lines) + "\n"


def point_colours(colouring: Colouring, colours: Colours) -> list[str | None]:
    """Return the colour of each point as #rrggbb, None for those that are grey."""
    numbers = colouring.numbers
    if colouring.kinds:
        n_colours = len(colours.palette)
        return [None if np.isnan(kind) else colours.palette[int(kind) % n_colours] for kind in numbers.tolist()]
    ends = scale_ends(numbers[np.isfinite(numbers)])
    if not ends:
        return [None] * len(numbers)
    stops = np.array([[int(colour[place : place + 2], 16) for place in (1, 3, 5)] for colour in colours.scale], float)
    at = np.clip((numbers - ends["cmin"]) / (ends["cmax"] - ends["cmin"]), 0, 1) * (len(stops) - 1)
    low = np.minimum(np.nan_to_num(at).astype(int), max(len(stops) - 2, 0))
    mixed = stops[low] + (np.nan_to_num(at) - low)[:, None] * (stops[np.minimum(low + 1, len(stops) - 1)] - stops[low])
    mixed = np.round(mixed).astype(int)
    return [
        None if np.isnan(number) else "#" + "".join(f"{part:02x}" for part in parts)
        for number, parts in zip(numbers.tolist(), mixed.tolist(), strict=True)
    ]


def _is_lit(rows: pa.Table, lit: Sequence[int]) -> np.ndarray | None:
    """Which points are lit, None where none is to be."""
    if not lit:
        return None
    name = next(name for name in ("feature_id", "text_id") if name in rows.column_names)
    return np.isin(rows[name].to_numpy(), np.asarray(lit, np.int64))


def _circles(
    x: np.ndarray, y: np.ndarray, fills: Sequence[str | None], is_lit: np.ndarray | None, radius: float, accent: str
) -> Iterator[str]:
    """The circles in groups: grey ones, coloured ones, lit ones."""
    lit = np.zeros(len(x), bool) if is_lit is None else is_lit
    grey = np.array([fill is None for fill in fills], bool)
    faint = 1.0 if is_lit is None else FAINT
    groups = ((~lit & grey, GREY, 0.35 * faint), (~lit & ~grey, None, 0.85 * faint), (lit, accent, 1.0))
    for members, colour, opacity in groups:
        yield f'<g fill="{colour or GREY}" fill-opacity="{opacity:.3g}">'
        for at in np.flatnonzero(members).tolist():
            own = "" if colour else f' fill="{fills[at]}"'
            yield f'<circle cx="{x[at]:.2f}" cy="{y[at]:.2f}" r="{radius:.2f}"{own}/>'
        yield "</g>"


def _names(regions: pa.Table, frame: _Frame, colours: Colours) -> Iterator[str]:
    """The names of the coarsest regions, the largest first, none over another and all inside the picture."""
    size = max(11.0, frame.width / 62)
    yield (
        f'<g {FONT} font-size="{size:.1f}" text-anchor="middle" fill="{colours.text}" stroke="#ffffff" '
        f'stroke-width="{size / 4:.1f}" stroke-linejoin="round" paint-order="stroke">'
    )
    taken: list[_Box] = []
    for row in regions.to_pylist():
        if row["level"] != 0 or not row["label"]:
            continue
        words = printable(two_parts(row["label"]))
        x, y = (float(place[0]) for place in frame.places(np.array([row["x"]]), np.array([row["y"]])))
        box = _free(_width(words) * size, size, x, y, frame, taken)
        if box is not None:
            taken.append(box)
            middle = (box.left + box.right) / 2
            yield f'<text x="{middle:.1f}" y="{box.bottom - 0.3 * size:.1f}">{escape(words)}</text>'
    yield "</g>"


def _free(wide: float, size: float, x: float, y: float, frame: _Frame, taken: Sequence[_Box]) -> _Box | None:
    """The first place for a name at x, y, or above or below it, where no other one is; None where none is free."""
    middle = min(max(x, wide / 2 + 2), max(frame.width - wide / 2 - 2, wide / 2 + 2))
    for line in LINES:
        top = y + (line - 0.6) * size
        box = _Box(middle - wide / 2, top, middle + wide / 2, top + 1.2 * size)
        if box.top >= 0 and box.bottom <= frame.height and not any(box.overlaps(other) for other in taken):
            return box
    return None


def _width(words: str) -> float:
    """About how wide words are, in sizes of the type."""
    return sum(1.0 if unicodedata.east_asian_width(letter) in "WF" else LETTER for letter in words)


def printable(words: str) -> str:
    """Return words on one line, without the characters that no XML may hold."""
    return " ".join(NOT_XML.sub(" ", words).split())

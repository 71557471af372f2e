"""What all figures share: a transparent background, no frame, no legend; shares as percentages."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np
import plotly.graph_objects as go

ACCENT = "#3a7866"
CLEAR = "rgba(0,0,0,0)"
GREY = "rgba(128,138,145,0.55)"


class Colours(Protocol):
    """The colours of the reader's theme."""

    @property
    def accent(self) -> str:
        """The accent colour."""

    @property
    def scale(self) -> tuple[str, ...]:
        """For numbers, from low to high."""

    @property
    def palette(self) -> tuple[str, ...]:
        """For kinds, used in turn."""

    @property
    def text(self) -> str:
        """For words on a chart."""

    @property
    def veil(self) -> str:
        """Behind words on a chart."""


EMPTY = go.layout.Template()
"""No style of Plotly's own, some kilobytes in every figure."""


def quiet(
    height: int,
    *,
    left: int = 0,
    bottom: int = 26,
    x: Mapping[str, Any] | None = None,
    y: Mapping[str, Any] | None = None,
    **others: Any,
) -> dict[str, Any]:
    """Return a layout without frame, grid, legend and toolbar; `height`, `left` and `bottom` are pixels.

    `x` and `y` add to the axes, `others` to the layout. One dictionary for a new figure: changing a figure step by step
    takes Plotly ten times as long as checking it once.
    """
    layout = {
        "template": EMPTY,
        "height": height,
        "margin": {"l": left, "r": 0, "t": 4, "b": bottom, "pad": 0},
        "paper_bgcolor": CLEAR,
        "plot_bgcolor": CLEAR,
        "showlegend": False,
        "bargap": 0.06,
        "dragmode": False,
        "hoverlabel": {"align": "left"},
        "hovermode": "closest",
    }
    line = {"showline": True, "linewidth": 1, "linecolor": GREY}
    xaxis = {"showgrid": False, "zeroline": False, "ticks": "", "fixedrange": True, **line}
    yaxis = {"visible": False, "fixedrange": True, "rangemode": "tozero"}
    return layout | {"xaxis": xaxis | dict(x or {}), "yaxis": yaxis | dict(y or {})} | others


def prepare() -> None:
    """Draw an empty figure: with the first one Plotly loads its parts, and pandas, for half a second."""
    go.Figure(go.Bar(x=[], y=[]), quiet(100)).to_json()


def share(value: float) -> str:
    """Return a share from 0 to 1 as a percentage of two significant digits."""
    percentage = 100 * value
    return f"{percentage:.2g} %" if percentage < 9.95 else f"{percentage:.0f} %"


def density_marks(low: float, high: float) -> list[float]:
    """Return the marks of a log10 axis: 0.1 %, 1 %, 10 %, and between them when there would be less than three."""
    steps = (1,) if high - low > 2.5 else (1, 3) if high - low > 1 else (1, 2, 3, 5, 7)
    marks = [float(np.log10(step) + power) for power in range(-9, 1) for step in steps]
    return [mark for mark in marks if low <= mark <= high + 0.02]


def escape(name: str) -> str:
    """Return a name that Plotly shows as it is: Plotly interprets some HTML tags."""
    return name.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")

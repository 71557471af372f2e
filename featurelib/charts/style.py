"""What all figures share: a transparent background, no frame, no legend; shares as percentages."""

from __future__ import annotations

from typing import Protocol

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


def quiet(figure: go.Figure, height: int, *, left: int = 0, bottom: int = 26) -> go.Figure:
    """Remove frame, grid, legend and toolbar from a figure; `height`, `left` and `bottom` are pixels."""
    figure.update_layout(
        template=go.layout.Template(),
        height=height,
        margin={"l": left, "r": 0, "t": 4, "b": bottom, "pad": 0},
        paper_bgcolor=CLEAR,
        plot_bgcolor=CLEAR,
        showlegend=False,
        bargap=0.06,
        dragmode=False,
        hoverlabel={"align": "left"},
        hovermode="closest",
    )
    figure.update_xaxes(
        showgrid=False,
        zeroline=False,
        ticks="",
        title=None,
        fixedrange=True,
        showline=True,
        linewidth=1,
        linecolor=GREY,
    )
    figure.update_yaxes(visible=False, fixedrange=True, rangemode="tozero")
    return figure


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

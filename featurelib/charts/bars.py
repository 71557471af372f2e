"""Bars: the density histogram, in which a range can be selected, and small histograms of texts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import plotly.graph_objects as go
import pyarrow as pa

from featurelib.charts.style import ACCENT, GREY, density_marks, quiet, share

DEAD_AT = -2.0
"""The place of the bar of dead features, in bins from the first one."""
FAINT = 0.38


@dataclass(frozen=True)
class TextRange:
    """A range of features by the number of texts on which they fire; both ends are included."""

    least: int
    most: int

    def __contains__(self, other: object) -> bool:
        """Whether another range lies inside this one."""
        return isinstance(other, TextRange) and self.least <= other.least and other.most <= self.most


def text_counts(left: float, right: float, n_texts: int, *, last: bool) -> TextRange:
    """Return the numbers of texts whose log10 density lies in [left, right), or in [left, right] for the last bin."""
    # A density is a whole number over n_texts; 0.01 is far more than rounding errors and far less than one text.
    least = int(np.ceil(10**left * n_texts - 0.01))
    most = int(np.floor(10**right * n_texts + 0.01)) if last else int(np.ceil(10**right * n_texts - 0.01)) - 1
    return TextRange(max(least, 1), max(most, 0))


def bin_ranges(bins: pa.Table, n_texts: int) -> list[TextRange]:
    """Return the range of each bin of `density_bins`, in numbers of texts."""
    ends = list(zip(bins["left"].to_pylist(), bins["right"].to_pylist(), strict=True))
    return [text_counts(left, right, n_texts, last=place == len(ends) - 1) for place, (left, right) in enumerate(ends)]


def density_bars(
    bins: pa.Table, n_dead: int, n_texts: int, chosen: TextRange | None = None, *, accent: str = ACCENT,
    of: str = "texts",
) -> go.Figure:  # fmt: skip
    """Return the density histogram: a bar for each bin of log10 density and one for dead features, to be selected from.

    `bins` has left, right (log10 density) and n_features; a bar's customdata are the ends of its range in texts. Bars
    outside `chosen` are faint. `of` names what there are `n_texts` of.
    """
    left, right = bins["left"].to_numpy(), bins["right"].to_numpy()
    ranges = bin_ranges(bins, n_texts)
    width = float(right[0] - left[0]) if len(left) else 1.0
    first = float(left[0]) if len(left) else 0.0
    centres = [first + DEAD_AT * width, *((left + right) / 2)]
    ranges = [TextRange(0, 0), *ranges]
    names = [f"fire on no {of[:-1]} of this corpus", *(_range_words(texts, n_texts, of) for texts in ranges[1:])]
    bars = go.Bar(
        x=centres,
        y=[n_dead, *bins["n_features"].to_pylist()],
        width=width * 0.94,
        customdata=[[texts.least, texts.most] for texts in ranges],
        text=names,
        textposition="none",
        marker={
            "color": [GREY, *[accent] * (len(ranges) - 1)],
            "opacity": [1 if chosen is None or texts in chosen else FAINT for texts in ranges],
            "line": {"width": 0},
        },
        hovertemplate="%{y:,} features<br>%{text}<extra></extra>",
    )
    end = float(right[-1]) if len(right) else 0.0
    marks = density_marks(first, end)
    x = {
        "tickvals": [centres[0], *marks],
        "ticktext": ["dead", *(share(10.0**mark) for mark in marks)],
        "title": {"text": f"share of {of} on which a feature fires, on a logarithmic scale", "font": {"size": 12}},
        "range": [centres[0] - 1.6 * width, max(end, marks[-1] if marks else end) + width / 2],
    }
    y = {"visible": True, "showgrid": False, "ticks": "", "nticks": 5, "tickfont": {"size": 11}}
    brushed = {"dragmode": "select", "selectdirection": "h", "newselection": {"line": {"width": 1, "dash": "dot"}}}
    return go.Figure(bars, quiet(284, left=38, bottom=50, x=x, y=y, **brushed))


def _range_words(texts: TextRange, n_texts: int, of: str) -> str:
    least, most = texts.least, texts.most
    if least >= most:
        return f"fire on {least:,} of {n_texts:,} {of}"
    return f"fire on {least:,} to {most:,} {of} ({share(least / n_texts)} to {share(most / n_texts)})"


def density_choice(selection: Mapping[str, Any], bins: pa.Table, n_texts: int) -> TextRange | None:
    """Return the range of the bars that a selection in `density_bars` touches; None when it touches none."""
    if not selection.get("box") or not bins.num_rows:
        return None
    low, high = sorted(float(x) for x in selection["box"][0]["x"][:2])
    left, right = bins["left"].to_numpy(), bins["right"].to_numpy()
    ranges = bin_ranges(bins, n_texts)
    touched = [texts for texts, a, b in zip(ranges, left, right, strict=True) if a < high and b > low]
    if touched:
        return TextRange(min(texts.least for texts in touched), max(texts.most for texts in touched))
    return TextRange(0, 0) if high < left[0] else None


def count_bars(
    bins: pa.Table, what: str, *, accent: str = ACCENT, counted: str = "n_texts", height: int = 120, ticks: str = ""
) -> go.Figure:
    """Return a small histogram of rows with left, right and the column `counted`; `what` names the measured number."""
    left, right = bins["left"].to_numpy().astype(float), bins["right"].to_numpy().astype(float)
    whole = pa.types.is_integer(bins["left"].type)
    shown = [
        (f"{a:.0f}" if b - a == 1 else f"{a:.0f}–{b - 1:.0f}") if whole else f"{a:.3g} to {b:.3g}"
        for a, b in zip(left, right, strict=True)
    ]
    bars = go.Bar(
        x=left if whole and len(left) and right[0] - left[0] == 1 else (left + right) / 2,
        y=bins[counted].to_numpy(),
        width=(right - left) * 0.94,
        text=shown,
        textposition="none",
        marker={"color": accent, "opacity": 0.75, "line": {"width": 0}},
        hovertemplate=f"%{{y:,}} texts<br>{what} %{{text}}<extra></extra>",
    )
    return go.Figure(bars, quiet(height, bottom=22, x={"nticks": 6, "tickformat": ticks}))

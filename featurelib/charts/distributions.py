"""Distributions of one number over texts or features: small histograms, a second split as a line."""

from __future__ import annotations

import numpy as np
import plotly.graph_objects as go
import pyarrow as pa
import pyarrow.compute as pc

from featurelib.charts.style import ACCENT, GREY, quiet, share

HEIGHT = 150


def text_spread(
    bins: pa.Table, what: str, splits: dict[str, str], *, accent: str = ACCENT, height: int = HEIGHT
) -> go.Figure:
    """Return the histogram of the texts of one split as bars, and that of another as a grey line.

    `bins` has split, left, right and share (of the split's texts); `splits` gives the splits to draw, one or two, with
    their names in words; `what` is the name of the number.
    """
    traces = []
    for number, (split, name) in enumerate(splits.items()):
        rows = bins.filter(pc.equal(bins["split"], split))
        left, right = rows["left"].to_numpy(), rows["right"].to_numpy()
        centres, ranges = _centres(left, right, bins), _ranges(left, right, bins)
        shares = rows["share"].to_numpy()
        words = [f"{share(s)} of {name}<br>{what} {bounds}" for s, bounds in zip(shares, ranges, strict=True)]
        trace = _line(centres, shares, words) if number else _bars(centres, shares, words, right - left, accent)
        traces.append(trace)
    return go.Figure(traces, quiet(height, bottom=22, x={"nticks": 6}))


def _bars(x: np.ndarray, y: np.ndarray, words: list[str], widths: np.ndarray, accent: str) -> go.Bar:
    return go.Bar(
        x=x,
        y=y,
        width=widths * 0.94,
        text=words,
        textposition="none",
        marker={"color": accent, "opacity": 0.75, "line": {"width": 0}},
        hovertemplate="%{text}<extra></extra>",
    )


def _line(x: np.ndarray, y: np.ndarray, words: list[str]) -> go.Scatter:
    return go.Scatter(
        x=x,
        y=y,
        mode="lines",
        line={"color": GREY.replace("0.55", "1"), "width": 1.5, "shape": "hvh"},
        text=words,
        hovertemplate="%{text}<extra></extra>",
    )


def _whole(bins: pa.Table) -> bool:
    return bool(pa.types.is_integer(bins["left"].type))


def _centres(left: np.ndarray, right: np.ndarray, bins: pa.Table) -> np.ndarray:
    """Return where the bars stand: a bin of one whole number at that number."""
    centres: np.ndarray = (left + right - 1) / 2 if _whole(bins) else (left + right) / 2
    return centres


def _ranges(left: np.ndarray, right: np.ndarray, bins: pa.Table) -> list[str]:
    """Return the bins in words; the first and the last one are open."""
    last = len(left) - 1
    if last < 1:
        return ["of all texts"] * len(left)
    ends = right - 1 if _whole(bins) else right
    closed = [f"{a:.3g}" if a == b else f"{a:.3g} to {b:.3g}" for a, b in zip(left, ends, strict=True)]
    return [f"at most {ends[0]:.3g}", *closed[1:last], f"{left[last]:.3g} or more"]


def feature_spread(bins: pa.Table, what: str, *, accent: str = ACCENT, height: int = HEIGHT) -> go.Figure:
    """Return the histogram of a number over features: `bins` has left, right and n_features."""
    left, right = bins["left"].to_numpy(), bins["right"].to_numpy()
    counts = bins["n_features"].to_numpy()
    words = [
        f"{n:,} feature{'s' if n != 1 else ''}<br>{what} {a:.3g} to {b:.3g}"
        for n, a, b in zip(counts, left, right, strict=True)
    ]
    bars = _bars((left + right) / 2, counts, words, right - left, accent)
    return go.Figure(bars, quiet(height, bottom=22, x={"nticks": 6}))

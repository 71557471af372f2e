"""95 % intervals of means, of ratios of sums and of quantiles."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

NORMAL_95 = 1.959963984540054
QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
"""The quantiles that are reported of a distribution."""


class Estimate(NamedTuple):
    """A number and its 95 % interval."""

    value: float
    """What was measured."""
    low: float
    """The lower end."""
    high: float
    """The upper end."""


def mean_interval(values: np.ndarray) -> Estimate:
    """Return the mean and its 95 % interval by the normal approximation; the interval of one value is itself."""
    mean = float(values.mean())
    half = NORMAL_95 * float(values.std(ddof=1)) / len(values) ** 0.5 if len(values) > 1 else 0.0
    return Estimate(mean, mean - half, mean + half)


def ratio_interval(above: np.ndarray, below: np.ndarray) -> Estimate:
    """Return Σabove / Σbelow and its 95 % interval by the delta method; NaN where Σbelow is 0."""
    total = float(below.sum())
    if total == 0:
        return Estimate(float("nan"), float("nan"), float("nan"))
    ratio = float(above.sum()) / total
    rest = above - ratio * below
    n = len(rest)
    half = NORMAL_95 * float(np.sqrt((rest**2).sum() / max(1, n - 1) * n)) / total if n > 1 else 0.0
    return Estimate(ratio, ratio - half, ratio + half)


def quantile_interval(ordered: np.ndarray, share: float) -> Estimate:
    """Return a quantile of rising values, linear between neighbours, and its 95 % interval from order statistics.

    How many values lie below the quantile is binomial; with its normal approximation the interval reaches from the
    value at rank n·q − 1.96·√(n·q·(1−q)) to that at one above n·q + 1.96·√(n·q·(1−q)) (Conover, Practical
    Nonparametric Statistics, 3.2), the ends of the values at most.
    """
    n = len(ordered)
    half = NORMAL_95 * math.sqrt(n * share * (1 - share))
    low, high = math.floor(n * share - half), math.ceil(n * share + half) + 1
    value = float(np.quantile(ordered, share))
    return Estimate(value, float(ordered[max(low, 1) - 1]), float(ordered[min(high, n) - 1]))

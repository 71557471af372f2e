"""Numbers with their intervals: shares, means, ratios, quantiles. Two-sided and of 95 % unless `z` says otherwise."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

NORMAL_95 = 1.959963984540054
"""The normal distribution's value that leaves 2.5 % above it."""
DRAWN_AT_ONCE = 4_000_000
"""Numbers that the bootstrap draws at a time."""


class Estimate(NamedTuple):
    """A number and its 95 % interval."""

    value: float
    low: float
    """The lower end."""
    high: float
    """The upper end."""


# --- shares --------------------------------------------------------------------------------------------------------


def wilson(k: np.ndarray | float, n: np.ndarray | float, z: float = NORMAL_95) -> tuple[np.ndarray, np.ndarray]:
    """Return the interval (low, high) of a share, k of n, each float64; NaN where n is 0.

    Wilson, Probable inference, the law of succession, and statistical inference, JASA 22, 1927, 209.
    """
    k, n = np.asarray(k, np.float64), np.asarray(n, np.float64)
    n = np.where(n > 0, n, np.nan)
    share = k / n
    centre = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z * np.sqrt(share * (1 - share) / n + z * z / (4 * n * n)) / (1 + z * z / n)
    return np.where(k == 0, n * 0, centre - half), np.where(k == n, n / n, centre + half)


def mean_of_shares(first: tuple[int, int], second: tuple[int, int]) -> Estimate:
    """Return the mean of two independent shares, each (k, n) with n > 0, and its interval.

    The distances to the ends of the two Wilson intervals are squared and added (Newcombe, Statistics in Medicine 17,
    1998, 873, method 10; MOVER of Zou and Donner, Statistics in Medicine 27, 2008, 1693), for a mean instead of a
    difference.
    """
    shares = [k / n for k, n in (first, second)]
    lows, highs = zip(*(map(float, wilson(k, n)) for k, n in (first, second)), strict=True)
    below = math.hypot(*(share - low for share, low in zip(shares, lows, strict=True))) / 2
    above = math.hypot(*(high - share for share, high in zip(shares, highs, strict=True))) / 2
    mean = sum(shares) / 2
    return Estimate(mean, mean - below, mean + above)


def difference_of_shares(
    k: np.ndarray, n: np.ndarray | float, k_other: np.ndarray, n_other: np.ndarray | float
) -> tuple[np.ndarray, np.ndarray]:
    """Return the interval (low, high) of k / n − k_other / n_other, each float64; NaN where an n is 0.

    Newcombe, Statistics in Medicine 17, 1998, 873, method 10: the distances to the ends of the two Wilson intervals.
    """
    (low, high), (other_low, other_high) = wilson(k, n), wilson(k_other, n_other)
    with np.errstate(invalid="ignore", divide="ignore"):
        share, other = np.asarray(k, np.float64) / n, np.asarray(k_other, np.float64) / n_other
    difference = share - other
    below, above = np.hypot(share - low, other_high - other), np.hypot(high - share, other - other_low)
    return difference - below, difference + above


# --- means, ratios, quantiles --------------------------------------------------------------------------------------


def mean_interval(values: np.ndarray) -> Estimate:
    """Return the mean and its interval by the normal approximation; the interval of one value is that value."""
    mean = float(values.mean())
    half = NORMAL_95 * float(values.std(ddof=1)) / len(values) ** 0.5 if len(values) > 1 else 0.0
    return Estimate(mean, mean - half, mean + half)


def ratio_interval(above: np.ndarray, below: np.ndarray) -> Estimate:
    """Return Σabove / Σbelow and its interval by the delta method; NaN where Σbelow is 0.

    Cochran, Sampling Techniques, 1977, section 6.4.
    """
    total = float(below.sum())
    if total == 0:
        return Estimate(float("nan"), float("nan"), float("nan"))
    ratio = float(above.sum()) / total
    residuals = above - ratio * below
    n = len(residuals)
    half = NORMAL_95 * float(np.sqrt((residuals**2).sum() / max(1, n - 1) * n)) / total if n > 1 else 0.0
    return Estimate(ratio, ratio - half, ratio + half)


def quantile_interval(ordered: np.ndarray, share: float) -> Estimate:
    """Return a quantile of ascending values, linear between neighbours, and its interval from order statistics.

    How many values lie below the quantile is binomial; with its normal approximation the interval reaches from the
    value at rank n·q − 1.96·√(n·q·(1−q)) to that at one above n·q + 1.96·√(n·q·(1−q)) (Conover, Practical
    Nonparametric Statistics, 3.2), the ends of the values at most.
    """
    n = len(ordered)
    half = NORMAL_95 * math.sqrt(n * share * (1 - share))
    low, high = math.floor(n * share - half), math.ceil(n * share + half) + 1
    value = float(np.quantile(ordered, share))
    return Estimate(value, float(ordered[max(low, 1) - 1]), float(ordered[min(high, n) - 1]))


def bootstrap(values: np.ndarray, *, median: bool = False, seed: int = 0, draws: int = 1000) -> Estimate | None:
    """Return the mean (or median) of the values that are not NaN, with its interval; None without such values.

    Percentile bootstrap (Efron, The Annals of Statistics 7, 1979, 1): the values are drawn again, with replacement.
    """
    known = np.asarray(values, np.float64)
    known = known[~np.isnan(known)]
    if not len(known):
        return None
    middle = np.median if median else np.mean
    generator = np.random.default_rng([seed, len(known)])
    at_once = max(1, DRAWN_AT_ONCE // len(known))
    drawn = [
        middle(known[generator.integers(len(known), size=(min(at_once, draws - start), len(known)))], axis=1)
        for start in range(0, draws, at_once)
    ]
    low, high = np.quantile(np.concatenate(drawn), [0.025, 0.975])
    return Estimate(float(middle(known)), float(low), float(high))

"""Intervals of shares and of AUROC that hold at the ends of the scale too, for many features at once."""

from __future__ import annotations

from statistics import NormalDist

import numpy as np

BISECTIONS = 60
"""Halvings of [0, 1]: float64 holds no more."""


def normal_quantile(level: float = 0.95, n_tests: int = 1) -> float:
    """Return z of a two-sided interval that holds with `level` in all of `n_tests` tests together (Bonferroni)."""
    return NormalDist().inv_cdf(1 - (1 - level) / (2 * max(n_tests, 1)))


def wilson(k: np.ndarray, n: np.ndarray, z: float) -> tuple[np.ndarray, np.ndarray]:
    """Return the interval of a share, k of n, each float64; NaN where n is 0 (Wilson, JASA 22, 1927, 209)."""
    k, n = np.asarray(k, np.float64), np.asarray(n, np.float64)
    n = np.where(n > 0, n, np.nan)
    share = k / n
    centre = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z * np.sqrt(share * (1 - share) / n + z * z / (4 * n * n)) / (1 + z * z / n)
    return np.where(k == 0, n * 0, centre - half), np.where(k == n, n / n, centre + half)


def midranks(values: np.ndarray) -> np.ndarray:
    """Return the rank of each value from 1, equal ones sharing their mean rank, float64 [n]."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    return (last - (counts - 1) / 2)[inverse]


def auroc(rank_sum: np.ndarray, n_in: np.ndarray, n_out: np.ndarray) -> np.ndarray:
    """Return P(a text inside is ranked above one outside) + ½ P(equal), from the midranks' sum inside; NaN if empty."""
    pairs = np.asarray(n_in, np.float64) * n_out
    above = rank_sum - np.asarray(n_in, np.float64) * (n_in + 1) / 2
    return np.divide(above, pairs, out=np.full(pairs.shape, np.nan), where=pairs > 0)


def auroc_interval(value: np.ndarray, n_in: np.ndarray, n_out: np.ndarray, z: float) -> tuple[np.ndarray, np.ndarray]:
    """Return the interval of an AUROC: Newcombe's method 5 (Statistics in Medicine 25, 2006, 559).

    Its ends are those A at which |value − A| = z·√V(A), where V is Hanley and McNeil's variance with both sizes put
    at their mean: V(A) = A(1−A)·(1 + (m−1)·((1−A)/(2−A) + A/(1+A))) / (n_in·n_out), m = (n_in + n_out)/2.
    """
    value = np.asarray(value, np.float64)
    n_in, n_out = np.asarray(n_in, np.float64), np.asarray(n_out, np.float64)
    return _end(value, n_in, n_out, z, np.zeros_like(value)), _end(value, n_in, n_out, z, np.ones_like(value))


def _end(value: np.ndarray, n_in: np.ndarray, n_out: np.ndarray, z: float, outer: np.ndarray) -> np.ndarray:
    """Return where, between the value and the end of the scale `outer`, the distance first reaches z·√V."""
    inner, mean = value.copy(), (n_in + n_out) / 2
    pairs = np.maximum(n_in * n_out, 1)
    for _ in range(BISECTIONS):
        at = (inner + outer) / 2
        variance = at * (1 - at) * (1 + (mean - 1) * ((1 - at) / (2 - at) + at / (1 + at))) / pairs
        beyond = np.abs(value - at) > z * np.sqrt(variance)
        inner, outer = np.where(beyond, inner, at), np.where(beyond, at, outer)
    return np.where(np.isnan(value), np.nan, inner)

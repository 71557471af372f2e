"""Sets of texts held against each other and against numbers: beside scipy on dense arrays, and under permutation."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import fisher_exact, mannwhitneyu, pearsonr, rankdata, spearmanr

from featurelib.slices.contrast import Contrast, Sets, contrasts
from featurelib.slices.trend import LEAST, trend
from featurelib.slices.units import Units
from featurelib.storage.fired import FeatureBlock

N, N_FEATURES = 400, 30


def activations_of(draw: np.random.Generator, n: int = N) -> np.ndarray:
    """Sparse activations with ties, some features rare, one dead, one that fires on every text."""
    density = np.concatenate([[0.0, 1.0], draw.uniform(0.005, 0.4, N_FEATURES - 2)])
    values = np.round(draw.gamma(2, 0.5, (n, N_FEATURES)) + 0.05, 1).astype(np.float32)
    dense: np.ndarray = values * (draw.random((n, N_FEATURES)) < density)
    return dense


def blocks_of(dense: np.ndarray, size: int = 7) -> list[FeatureBlock]:
    """The same as a store gives them: by feature, the strongest first, so many features at a time."""
    blocks = []
    for first in range(0, dense.shape[1], size):
        own = dense[:, first : first + size]
        texts = [np.flatnonzero(column) for column in own.T]
        texts = [ids[np.argsort(-column[ids], kind="stable")] for ids, column in zip(texts, own.T, strict=True)]
        offsets = np.concatenate([[0], np.cumsum([len(ids) for ids in texts])])
        values = [column[ids] for ids, column in zip(texts, own.T, strict=True)]
        blocks.append(FeatureBlock(first, offsets, np.concatenate(texts), np.concatenate(values)))
    return blocks


def units_of(n: int, lengths: np.ndarray | None = None) -> Units:
    """Texts that are all different, and of one length unless it is given."""
    return Units(np.arange(n), np.full(n, 100) if lengths is None else lengths)


def firsts(keys: np.ndarray, looked_at: np.ndarray) -> np.ndarray:
    """Which of the texts looked at have a key that none before them has."""
    seen: set[int] = set()
    first = np.zeros(len(keys), bool)
    for place in np.flatnonzero(looked_at).tolist():
        first[place] = keys[place] not in seen
        seen.add(keys[place])
    return first


def contrast_of(dense: np.ndarray, a: np.ndarray, counted: np.ndarray, units: Units) -> Contrast:
    return contrasts(blocks_of(dense), Sets.of([np.flatnonzero(a)], counted, units), len(dense))[0]


def test_densities_and_auroc_are_scipys_on_the_texts_that_count() -> None:
    draw = np.random.default_rng(0)
    dense, a, b = activations_of(draw), draw.random(N) < 0.2, draw.random(N) < 0.5
    b &= ~a
    units = Units(np.where(draw.random(N) < 0.9, np.arange(N), draw.integers(0, N, N)), draw.integers(20, 900, N))
    contrast = contrast_of(dense, a, a | b, units)
    first = firsts(units.keys, a | b)
    assert first.sum() < (a | b).sum()
    of_a, of_b = dense[a & first], dense[b & first]
    assert (contrast.n_a, contrast.n_b) == (len(of_a), len(of_b))
    assert np.array_equal(contrast.active_a, (of_a > 0).sum(axis=0))
    assert np.array_equal(contrast.active_b, (of_b > 0).sum(axis=0))
    expected = mannwhitneyu(of_a.astype(float), of_b.astype(float), axis=0).statistic / (len(of_a) * len(of_b))
    assert contrast.auroc == pytest.approx(expected, abs=1e-12)


def test_without_lengths_a_chance_is_never_below_fishers_and_close_to_it_for_rare_features() -> None:
    draw = np.random.default_rng(1)
    dense, a = activations_of(draw), draw.random(N) < 0.15
    dense[:, 5] = draw.random(N) < np.where(a, 0.5, 0.05)
    contrast = contrast_of(dense, a, np.ones(N, bool), units_of(N))
    for feature_id in range(2, N_FEATURES):
        fires = dense[:, feature_id] > 0
        table = [[(fires & a).sum(), (fires & ~a).sum()], [(~fires & a).sum(), (~fires & ~a).sum()]]
        tails = [fisher_exact(table, alternative=side)[1] for side in ("less", "greater")]
        exact = min(1.0, 2 * min(tails))
        seen, expected = table[0][0], fires.sum() * a.mean()
        if abs(seen - expected) >= 1:
            assert contrast.chance[feature_id] >= exact * (1 - 1e-9)
        if fires.mean() < 0.05:
            assert contrast.chance[feature_id] <= max(3 * exact, exact + 0.1)
    assert contrast.chance[0] == contrast.rate[0] == 1 and contrast.chance[1] == 1
    assert contrast.differs.tolist() == [feature_id == 5 for feature_id in range(N_FEATURES)]


def test_what_only_follows_length_is_said_to_do_so() -> None:
    draw = np.random.default_rng(2)
    n = 6_000
    lengths = draw.integers(10, 1_000, n)
    long, dense = lengths > 500, np.zeros((n, N_FEATURES), np.float32)
    for feature_id in range(N_FEATURES):
        dense[:, feature_id] = draw.random(n) < np.where(long, 0.07, 0.01)
    a = draw.random(n) < np.where(long, 0.4, 0.1)
    dense[:, 4] = draw.random(n) < np.where(a, 0.1, 0.02)
    contrast = contrast_of(dense, a, np.ones(n, bool), units_of(n, lengths))
    others = np.arange(N_FEATURES) != 4
    assert contrast.differs[4] and not contrast.follows_length[4]
    assert not contrast.differs[others].any() and contrast.follows_length[others].mean() > 0.9
    numbers = np.where(long, 5.0, 1.0) + draw.normal(0, 1, n)
    followed = trend(blocks_of(dense), numbers, units_of(n, lengths))
    assert followed.follows_length[others].mean() > 0.9 and not followed.differs[others].any()


@pytest.mark.parametrize("size", [0.01, 0.1, 0.5])
def test_a_label_at_random_has_a_finding_in_at_most_five_of_a_hundred(size: float) -> None:
    draw = np.random.default_rng(3)
    dense = activations_of(draw, 1_000)
    lengths = draw.integers(10, 1_000, 1_000)
    sets = [np.flatnonzero(draw.permutation(1_000) < 1_000 * size) for _ in range(200)]
    found = contrasts(blocks_of(dense), Sets.of(sets, np.ones(1_000, bool), units_of(1_000, lengths)), 1_000)
    assert np.mean([contrast.differs.any() for contrast in found]) <= 0.05 + 0.03


def test_a_number_at_random_has_a_finding_in_about_five_of_a_hundred() -> None:
    draw = np.random.default_rng(4)
    dense = activations_of(draw, 1_000)
    units = units_of(1_000, draw.integers(10, 1_000, 1_000))
    blocks = blocks_of(dense)
    shares = [trend(blocks, draw.permutation(1_000).astype(float), units).differs.any() for _ in range(200)]
    assert np.mean(shares) <= 0.05 + 0.035


def test_a_trend_is_scipys_rank_correlation() -> None:
    draw = np.random.default_rng(5)
    dense = activations_of(draw)
    numbers = np.where(draw.random(N) < 0.2, np.nan, draw.integers(1990, 2020, N).astype(float))
    units = Units(np.where(draw.random(N) < 0.9, np.arange(N), draw.integers(0, N, N)), draw.integers(20, 900, N))
    found = trend(blocks_of(dense), numbers, units)
    counted = firsts(units.keys, np.isfinite(numbers))
    assert found.n == counted.sum()
    for feature_id in range(N_FEATURES):
        own = dense[counted, feature_id]
        assert found.n_active[feature_id] == (own > 0).sum()
        if (own > 0).sum() < LEAST or len(np.unique(own)) == 1:
            assert np.isnan(found.rho[feature_id])
            continue
        assert found.rho[feature_id] == pytest.approx(spearmanr(own, numbers[counted]).statistic, abs=1e-12)
        groups = units.strata(counted)[counted][:, None] == np.arange(10)
        residuals = [
            ranks - groups @ np.linalg.lstsq(groups.astype(float), ranks)[0]
            for ranks in (rankdata(own), rankdata(numbers[counted]))
        ]
        assert found.adjusted[feature_id] == pytest.approx(pearsonr(*residuals).statistic, abs=1e-9)


def test_of_equal_texts_the_first_that_is_looked_at_counts() -> None:
    units = Units(np.array([5, 9, 5, 7, 9]), np.array([1, 2, 1, 3, 2]))
    assert units.different(np.ones(5, bool)).tolist() == [True, True, False, True, False]
    looked_at = np.array([False, True, True, False, True])
    assert units.different(looked_at).tolist() == [False, True, True, False, False]


def test_a_set_of_copies_of_texts_that_are_not_looked_at_is_compared() -> None:
    draw = np.random.default_rng(8)
    dense, keys = activations_of(draw), np.arange(N)
    keys[100:140] = keys[0:40]
    a, counted = np.zeros(N, bool), np.ones(N, bool)
    a[100:140], counted[:40] = True, False
    contrast = contrast_of(dense, a, counted, Units(keys, np.full(N, 10)))
    assert (contrast.n_a, contrast.n_b) == (40, N - 80)

"""Every interval and test, against scipy, scikit-learn, printed tables and simulation."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats as scipy_stats
from scipy.optimize import brentq
from scipy.stats import binom, binomtest, norm, rankdata
from sklearn.metrics import average_precision_score, roc_auc_score

from featurelib import stats

# --- shares --------------------------------------------------------------------------------------------------------


def test_wilson_is_scipys_at_every_count() -> None:
    for n in (1, 3, 5, 10, 40, 1100, 4500):
        k = np.unique(np.linspace(0, n, 41).astype(int))
        low, high = stats.wilson(k, np.full(len(k), n))
        for place, count in enumerate(k):
            expected = binomtest(int(count), n).proportion_ci(0.95, "wilson")
            assert (low[place], high[place]) == (pytest.approx(expected.low, abs=1e-12), pytest.approx(expected.high))
    assert np.isnan(stats.wilson(np.array([0]), np.array([0]), 2.0)).all()


def test_wilson_is_what_the_books_print() -> None:
    # Newcombe 1998, table I: 81/263 gives 0.2553 to 0.3662, 15/148 gives 0.0624 to 0.1605, 0/20 gives 0 to 0.1611
    assert stats.wilson(81, 263) == pytest.approx((0.2553, 0.3662), abs=5e-5)
    assert stats.wilson(15, 148) == pytest.approx((0.0624, 0.1605), abs=5e-5)
    assert stats.wilson(0, 20) == pytest.approx((0, 0.1611), abs=5e-5) and stats.wilson(0, 20)[0] == 0


@pytest.mark.parametrize("first, second", [((8, 10), (3, 12)), ((20, 20), (0, 7))])
def test_the_mean_of_two_shares_lies_in_an_interval_that_their_own_make(
    first: tuple[int, int], second: tuple[int, int]
) -> None:
    estimate = stats.mean_of_shares(first, second)
    shares = [k / n for k, n in (first, second)]
    ends = [binomtest(k, n).proportion_ci(0.95, "wilson") for k, n in (first, second)]
    assert estimate.value == pytest.approx(np.mean(shares))
    below = sum((share - end.low) ** 2 for share, end in zip(shares, ends, strict=True)) ** 0.5 / 2
    above = sum((end.high - share) ** 2 for share, end in zip(shares, ends, strict=True)) ** 0.5 / 2
    assert (estimate.low, estimate.high) == pytest.approx((np.mean(shares) - below, np.mean(shares) + above))


# --- means, ratios, quantiles --------------------------------------------------------------------------------------


def test_intervals_of_means_and_ratios_cover_the_truth_about_95_times_in_100() -> None:
    draw = np.random.default_rng(0)
    covered = np.zeros(2)
    for _ in range(400):
        below = draw.gamma(4, size=200)
        above = below * draw.gamma(2, 0.15, size=200)
        _, low, high = stats.ratio_interval(above, below)
        covered[0] += low < 0.3 < high
        _, low, high = stats.mean_interval(above)
        covered[1] += low < 1.2 < high
    assert (covered / 400 > 0.91).all() and (covered / 400 < 0.985).all()


@pytest.mark.parametrize(("n", "share"), [(40, 0.5), (200, 0.25), (500, 0.05), (500, 0.95), (1000, 0.75)])
def test_a_quantile_lies_between_its_order_statistics_about_as_often_as_said(n: int, share: float) -> None:
    _, low, high = stats.quantile_interval(np.arange(1.0, n + 1), share)
    below = binom(n, share)  # the number of texts below the true quantile
    assert 0.94 < below.cdf(high - 1) - below.cdf(low - 1) < 0.99


def test_the_bootstrap_of_a_mean_is_the_interval_of_the_normal_distribution() -> None:
    values = np.random.default_rng(3).normal(0.7, 0.1, 500)
    estimate = stats.bootstrap(np.append(values, np.nan), seed=1)
    assert estimate is not None and estimate.value == pytest.approx(values.mean())
    half = 1.96 * values.std() / 500**0.5
    assert (estimate.low, estimate.high) == pytest.approx((values.mean() - half, values.mean() + half), abs=half / 5)
    median = stats.bootstrap(np.array([0.2, 0.3, 0.9]), median=True)
    assert median is not None and median.value == 0.3
    assert stats.bootstrap(np.array([np.nan])) is None
    assert stats.bootstrap(values, seed=1) == stats.bootstrap(values, seed=1)


# --- ranking -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("decimals", [0, 1, 8])
def test_auroc_and_average_precision_are_scikit_learns_ties_or_not(decimals: int) -> None:
    draw = np.random.default_rng(decimals)
    for n, share in ((12, 0.5), (300, 0.05), (900, 0.4)):
        scores = draw.standard_normal((6, n)).round(decimals).astype(np.float32)
        fires = draw.random(n) < share
        agreement = stats.auroc_and_ap(scores, fires)
        np.testing.assert_allclose(agreement.auroc, [roc_auc_score(fires, row) for row in scores], atol=1e-12)
        np.testing.assert_allclose(agreement.ap, [average_precision_score(fires, row) for row in scores], atol=1e-12)


def test_auroc_of_rank_sums_is_sklearns() -> None:
    draw = np.random.default_rng(0)
    lengths, fires = draw.integers(3, 40, 500), draw.random((500, 12)) < np.linspace(0.01, 0.9, 12)
    fires[:, 0] = lengths == lengths.max()
    ranks = stats.midranks(lengths)
    assert (ranks == rankdata(lengths)).all()
    sums = np.array([ranks[column].sum() for column in fires.T])
    auroc = stats.auroc_of_rank_sum(sums, fires.sum(0), (~fires).sum(0))
    assert auroc == pytest.approx([roc_auc_score(column, lengths) for column in fires.T]) and auroc[0] == 1
    assert np.isnan(stats.auroc_of_rank_sum(np.zeros(1), np.zeros(1), np.array([500]))).all()


def agreement_of_counts(counts: np.ndarray, positive: np.ndarray) -> stats.Agreement:
    """Of small whole numbers [n, n_cases], by how many cases have each."""
    values = range(int(counts.max()) + 1)
    hits, others = (
        np.stack([(of_kind == value).sum(axis=1) for value in values], 1)
        for of_kind in (counts[:, positive], counts[:, ~positive])
    )
    return stats.agreement_of_tallies(hits, others)


def test_counts_agree_as_scores_do() -> None:
    draw = np.random.default_rng(1)
    counts, fires = draw.integers(0, 4, (5, 200)).astype(np.float32), draw.random(200) < 0.1
    agreement = agreement_of_counts(counts, fires)
    np.testing.assert_allclose(agreement.auroc, [roc_auc_score(fires, row) for row in counts])
    np.testing.assert_allclose(agreement.ap, [average_precision_score(fires, row) for row in counts])
    np.testing.assert_allclose(agreement, stats.auroc_and_ap(counts, fires))
    always = agreement_of_counts(counts, np.ones(200, bool))
    assert np.isnan(always.auroc).all() and (always.ap == 1).all()


def test_tallies_of_scores_agree_as_the_scores_do() -> None:
    draw = np.random.default_rng(2)
    counts, fires = draw.integers(0, 4, (5, 300)), draw.random(300) < 0.2
    tallies = [
        np.stack([(kind == value).sum(axis=1) for value in range(5)], 1)
        for kind in (counts[:, fires], counts[:, ~fires])
    ]
    agreement = stats.agreement_of_tallies(*tallies)
    np.testing.assert_allclose(agreement.auroc, [roc_auc_score(fires, row) for row in counts])
    np.testing.assert_allclose(agreement.ap, [average_precision_score(fires, row) for row in counts])


SCALES = {"plain": 1, "tiny": 1e-42, "huge": 1e36, "equal": 0}


@pytest.mark.parametrize("scale", SCALES.values(), ids=SCALES)
@pytest.mark.parametrize("decimals", [0, 3, 9])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("n_others", [1, 100, 20_000])
def test_counts_below_are_those_of_a_sort(n_others: int, dtype: type, decimals: int, scale: float) -> None:
    draw = np.random.default_rng(decimals)
    others = (draw.standard_t(3, n_others).round(decimals) * scale).astype(dtype)
    own = np.concatenate([draw.choice(others, 30), (draw.standard_normal(40).round(decimals) * scale).astype(dtype)])
    below, no_more = stats.counts_below(own, others)
    ordered = np.sort(others)
    assert (below == np.searchsorted(ordered, own, "left")).all()
    assert (no_more == np.searchsorted(ordered, own, "right")).all()


@pytest.mark.parametrize("decimals", [1, 8])
def test_auroc_over_several_sets_is_that_of_all_their_cases(decimals: int) -> None:
    draw = np.random.default_rng(decimals)
    scores, fires = draw.standard_normal((4, 500)).round(decimals).astype(np.float32), draw.random(500) < 0.1
    sets = [stats.Scores.of(scores[:, part], fires[part]) for part in (slice(0, 120), slice(120, 500))]
    expected = [roc_auc_score(fires, row) for row in scores]
    np.testing.assert_allclose(stats.auroc_over_sets(sets), expected, atol=1e-12)
    nothing = stats.Scores.of(scores[:, ~fires][:, :9], np.zeros(9, bool))
    assert np.isnan(stats.auroc_over_sets([nothing])).all()
    np.testing.assert_allclose(
        stats.auroc_over_sets([sets[0], stats.Scores.of(scores[:, 120:], fires[120:])]), expected, atol=1e-12
    )


def test_what_fires_never_or_always_has_no_measure_and_no_zero() -> None:
    scores = np.arange(6, dtype=np.float32)[None]
    never, always = stats.auroc_and_ap(scores, np.zeros(6, bool)), stats.auroc_and_ap(scores, np.ones(6, bool))
    assert np.isnan(never.auroc).all() and np.isnan(never.ap).all() and np.isnan(always.auroc).all()
    assert np.isnan(agreement_of_counts(scores, np.zeros(6, bool))).all()
    for ends in (stats.auroc_interval(never.auroc, 0, 6), stats.ap_interval(never.ap, 0)):
        assert np.isnan(ends).all()


@pytest.mark.parametrize("z", [1.959964, 4.2])
@pytest.mark.parametrize(
    ("auroc", "m", "n"),
    [(0.8, 20, 300), (0.93, 21, 1964), (0.5, 5, 5), (0.3, 40, 12), (0.8, 50, 50), (1.0, 6, 900), (0.02, 9, 40)],
)
def test_the_ends_of_an_auroc_interval_are_z_standard_errors_away(auroc: float, m: int, n: int, z: float) -> None:
    def distance(at: float) -> float:
        middle = (m + n) / 2
        variance = at * (1 - at) * (2 * middle - 1 - (3 * middle - 3) / ((2 - at) * (1 + at))) / (m * n)
        return (at - auroc) ** 2 - z * z * variance

    low, high = stats.auroc_interval(np.array([auroc]), np.array([m]), np.array([n]), z)
    assert low[0] == pytest.approx(brentq(distance, 1e-15, auroc - 1e-12), abs=1e-9)
    expected = 1 if auroc == 1 else brentq(distance, auroc + 1e-12, 1 - 1e-15)
    assert high[0] == pytest.approx(expected, abs=1e-9)


def test_an_interval_at_the_end_of_the_scale_does_not_collapse() -> None:
    low, high = stats.auroc_interval(np.array([1.0, 0.0]), np.array([5, 5]), np.array([200, 200]))
    assert low[0] < 0.85 and high[0] == 1 and low[1] == 0 and high[1] > 0.15


@pytest.mark.parametrize(("n_fires", "n_others", "truth"), [(10, 400, 0.8023), (15, 200, norm.cdf(1.2 / 2**0.5))])
def test_the_interval_of_an_auroc_holds_the_truth_as_often_as_it_says(
    n_fires: int, n_others: int, truth: float
) -> None:
    draw, n_inside = np.random.default_rng(3), 0  # AUROC of two normal distributions 1.2 apart: Φ(1.2/√2) = 0.8019
    for _ in range(400):
        scores = np.concatenate([draw.normal(1.2, 1, n_fires), draw.normal(0, 1, n_others)])
        auroc = stats.auroc_and_ap(scores[None], np.arange(len(scores)) < n_fires).auroc
        low, high = stats.auroc_interval(auroc, n_fires, n_others)
        n_inside += bool(low[0] <= truth <= high[0])
    assert 0.92 < n_inside / 400 < 0.985


@pytest.mark.parametrize(("k", "n"), [(0, 5), (3, 10), (18, 20), (5, 5)])
def test_the_interval_of_average_precision_is_wilsons(k: int, n: int) -> None:
    expected = binomtest(k, n).proportion_ci(method="wilson")
    low, high = stats.ap_interval(np.array([k / n]), np.array([n]))
    assert (low[0], high[0]) == (pytest.approx(expected.low), pytest.approx(expected.high))


# --- correlation ---------------------------------------------------------------------------------------------------


def test_correlations_are_scipys() -> None:
    draw = np.random.default_rng(0)
    for n in (3, 5, 40):
        a, b = draw.integers(0, 6, n).astype(float), draw.standard_normal(n)
        assert stats.correlation(a, b) == pytest.approx(scipy_stats.pearsonr(a, b).statistic, nan_ok=True)
        assert stats.rank_correlation(a, b) == pytest.approx(scipy_stats.spearmanr(a, b).statistic, nan_ok=True)
    assert stats.rank_correlation(np.ones(5), np.arange(5)) is None
    assert stats.rank_correlation(np.arange(2), np.arange(2)) is None


def test_nesting_is_zero_when_independent_one_when_inside_and_nothing_for_an_always_on_parent() -> None:
    n_both, n_inner, n_outer = ([20, 100, 0, 100], [100, 100, 100, 100], [200, 200, 200, 1000])
    h = stats.nesting(np.array(n_both), np.array(n_inner), np.array(n_outer), 1000)
    np.testing.assert_allclose(h, [0, 1, -0.25, np.nan])


# --- many tests ----------------------------------------------------------------------------------------------------


def test_bonferroni_divides_the_level() -> None:
    assert stats.normal_quantile() == pytest.approx(stats.NORMAL_95)
    assert stats.normal_quantile(0.95, 20) == pytest.approx(norm.isf(0.05 / 40))


@pytest.mark.parametrize("n_more", [0, 30])
def test_benjamini_and_hochberg_is_scipys_with_the_unlisted_tests_failed(n_more: int) -> None:
    draw = np.random.default_rng(n_more)
    for _ in range(20):
        chances = draw.random(60) ** 4
        expected = scipy_stats.false_discovery_control(np.append(chances, np.ones(n_more)))[:60] <= 0.1
        assert (stats.benjamini_hochberg(chances, 60 + n_more, 0.1) == expected).all()
    assert not stats.benjamini_hochberg(np.ones(5), 5, 0.1).any()
    assert stats.benjamini_hochberg(np.empty(0), 0, 0.1).shape == (0,)


def test_the_chance_of_an_overlap_is_that_of_fishers_exact_test() -> None:
    for both, first, second, n_texts in ((5, 10, 20, 200), (3, 40, 8, 90), (1, 1, 1, 30)):
        table = [[both, first - both], [second - both, n_texts - first - second + both]]
        expected = scipy_stats.fisher_exact(table, alternative="greater").pvalue
        assert stats.overlap_chance(np.array([both]), first, second, n_texts)[0] == pytest.approx(expected)


# --- two sets of texts -----------------------------------------------------------------------------------------------


def test_the_difference_of_shares_is_what_newcombe_prints() -> None:
    # Newcombe, Statistics in Medicine 17, 1998, 873, table II, method 10
    for given, printed in (((56, 70, 48, 80), (0.0524, 0.3339)), ((9, 10, 3, 10), (0.1705, 0.8090))):
        assert stats.difference_of_shares(*map(np.array, given)) == pytest.approx(printed, abs=5e-5)
    for given, printed in (((10, 10, 0, 20), (0.6791, 1.0)), ((5, 56, 0, 29), (-0.0381, 0.1926))):
        assert stats.difference_of_shares(*map(np.array, given)) == pytest.approx(printed, abs=5e-5)


def test_discovery_rates_are_scipys_and_agree_with_the_step_up_rule() -> None:
    draw = np.random.default_rng(0)
    chances = np.concatenate([draw.random(60), draw.random(10) * 1e-3, [0.5, 0.5, 1.0]])
    rates = stats.discovery_rates(chances)
    assert rates == pytest.approx(scipy_stats.false_discovery_control(chances))
    for rate in (0.01, 0.05, 0.3):
        assert ((rates <= rate) == stats.benjamini_hochberg(chances, len(chances), rate)).all()
    assert len(stats.discovery_rates(np.empty(0))) == 0


def test_the_chance_and_interval_of_a_rank_correlation() -> None:
    draw = np.random.default_rng(1)
    held = 0
    for _ in range(300):
        x = draw.standard_normal(60)
        y = 0.5 * x + np.sqrt(0.75) * draw.standard_normal(60)
        rho, chance = scipy_stats.spearmanr(x, y)
        assert stats.correlation_chance(np.array([rho]), 60)[0] == pytest.approx(chance)
        low, high = stats.correlation_interval(np.array([rho]), 60)
        held += low[0] < 6 / np.pi * np.arcsin(0.25) < high[0]
    assert 0.91 < held / 300 < 0.98
    assert stats.correlation_chance(np.array([np.nan, 0.0]), 60).tolist() == [1.0, 1.0]


def test_an_excess_is_never_called_rarer_than_it_is() -> None:
    draw = np.random.default_rng(2)
    for _ in range(200):
        n, n_a, fires = 400, int(draw.integers(5, 300)), int(draw.integers(1, 300))
        expected, most = fires * n_a / n, min(fires, n_a)
        law = scipy_stats.hypergeom(n, fires, n_a)
        seen = np.arange(max(0, fires + n_a - n), most + 1)
        exact = np.minimum(1.0, 2 * np.minimum(law.sf(seen - 1), law.cdf(seen)))
        chances = stats.excess_chance(seen, np.full(len(seen), expected), np.full(len(seen), most))
        assert (chances >= exact * (1 - 1e-9))[np.abs(seen - expected) >= 1].all()
    far = stats.excess_chance(np.array([0]), np.array([300.0]), np.array([1_000]))
    assert 0 < far[0] < 1e-100, "a small lower tail is not lost"


def test_the_corrected_resampled_t_keeps_its_level_where_the_plain_one_does_not() -> None:
    """Two models that are equally good, over ten divisions that share their texts."""
    from scipy import stats as scipy_stats

    draw = np.random.default_rng(0)
    corrected, plain = 0, 0
    for _ in range(400):
        gaps = draw.choice([-1.0, 0.0, 1.0], size=200, p=[0.15, 0.7, 0.15])
        gaps -= gaps.mean() - draw.normal(0, np.sqrt(0.3 / 200))
        means = np.array([gaps[draw.permutation(200)[:40]].mean() for _ in range(10)])
        estimate, chance = stats.corrected_resampled_t(means, 160, 40)
        corrected += chance < 0.05
        plain += scipy_stats.ttest_1samp(means, 0).pvalue < 0.05
        assert (estimate.low > 0 or estimate.high < 0) == (chance < 0.05)
    assert corrected / 400 < 0.09 and plain / 400 > 0.2
    gaps = np.array([0.01, 0.03, -0.01, 0.02])
    error = np.sqrt((1 / 4 + 0.25) * gaps.var(ddof=1))
    by_hand = 2 * scipy_stats.t.sf(gaps.mean() / error, 3)
    assert stats.corrected_resampled_t(gaps, 80, 20)[1] == pytest.approx(by_hand)
    assert stats.corrected_resampled_t(np.zeros(3), 80, 20) == (stats.Estimate(0, 0, 0), 1.0)
    assert np.isnan(stats.corrected_resampled_t(np.full(3, 0.1), 80, 20)[1])

"""What may be chance: many tests at once, overlaps, excesses, and two classifiers on the same texts."""

from __future__ import annotations

from statistics import NormalDist

import numpy as np

from featurelib.stats.estimates import Estimate


def normal_quantile(level: float = 0.95, n_tests: int = 1) -> float:
    """Return z of a two-sided interval that holds with `level` in all of `n_tests` tests together (Bonferroni)."""
    return NormalDist().inv_cdf(1 - (1 - level) / (2 * max(n_tests, 1)))


def benjamini_hochberg(chances: np.ndarray, n_tests: float, rate: float) -> np.ndarray:
    """Return which of the p-values `chances` pass at a false discovery rate of `rate`, bool [n].

    The step-up rule of Benjamini and Hochberg (Journal of the Royal Statistical Society B 57, 1995, 289). `n_tests` may
    be more than len(chances): the tests that are not listed count as failed, which can only make the rule stricter.
    """
    ordered = np.sort(chances)
    passed = np.flatnonzero(ordered * n_tests <= rate * np.arange(1, len(ordered) + 1))
    return chances <= ordered[passed[-1]] if len(passed) else np.zeros(len(chances), bool)


def discovery_rates(chances: np.ndarray) -> np.ndarray:
    """Return for each p-value the least rate at which `benjamini_hochberg` lets it pass, float64 [n]."""
    order = np.argsort(chances, kind="stable")
    scaled = chances[order] * len(chances) / np.arange(1, len(chances) + 1)
    rates = np.empty(len(chances))
    rates[order] = np.minimum(np.minimum.accumulate(scaled[::-1])[::-1], 1.0)
    return rates


def excess_chance(n_seen: np.ndarray, expected: np.ndarray, most: np.ndarray) -> np.ndarray:
    """Return P(a count as far from what is expected as n_seen, or farther, by chance), float64 [n], to two sides.

    The count is a sum of numbers of hits in draws without replacement from several strata, of which it can be `most` at
    the highest. Such a sum is one of `most` independent trials of unequal chances, so that its tails a hit or more
    beyond the mean are at most those of a binomial distribution with the same mean (Hoeffding, Annals of Mathematical
    Statistics 27, 1956, 713), however rare the hits. Twice the smaller tail, 1 at most.
    """
    from scipy.special import betainc, betaincc

    n_seen, most = np.asarray(n_seen, np.float64), np.asarray(most, np.float64)
    share = np.clip(np.divide(expected, most, out=np.zeros(most.shape), where=most > 0), 0, 1)
    above = np.where(n_seen > 0, betainc(np.maximum(n_seen, 1), np.maximum(most - n_seen, 0) + 1, share), 1.0)
    below = np.where(n_seen < most, betaincc(n_seen + 1, np.maximum(most - n_seen, 1), share), 1.0)
    chances: np.ndarray = np.minimum(2 * np.minimum(above, below), 1.0)
    return chances


def overlap_chance(n_both: np.ndarray, n_first: np.ndarray, n_second: np.ndarray, n_texts: int) -> np.ndarray:
    """Return P(n_both common texts or more) when the second set's texts are drawn at random, float64 [n].

    The upper tail of the hypergeometric distribution, which is Fisher's exact test to one side.
    """
    from scipy.stats import hypergeom

    chances: np.ndarray = hypergeom.sf(n_both - 1, n_texts, n_first, n_second)
    return chances


def corrected_resampled_t(differences: np.ndarray, n_train: float, n_test: float) -> tuple[Estimate, float]:
    """Return the mean difference of two scores over divisions of the same texts, its 95 % interval, and its chance.

    Divisions share texts, so that their differences are not independent: the variance of the mean is
    (1/J + n_test/n_train)·s² over J of them (Nadeau and Bengio, Machine Learning 52, 2003, 239), and the mean over its
    root is compared with Student's t of J − 1 degrees of freedom, to two sides. Differences that
    are all the same and not 0 tell nothing of how they vary: their chance is NaN.
    """
    from scipy.stats import t

    n, mean = len(differences), float(np.mean(differences))
    error = float(np.sqrt((1 / n + n_test / n_train) * np.var(differences, ddof=1)))
    if error <= 1e-9 * abs(mean):
        return Estimate(mean, mean, mean), 1.0 if mean == 0 else float("nan")
    half = float(t.ppf(0.975, n - 1)) * error
    return Estimate(mean, mean - half, mean + half), float(2 * t.sf(abs(mean) / error, n - 1))


def mcnemar(only_first: int, only_second: int) -> float:
    """Return P(two classifiers differ so by chance), from how many texts only the one or the other had right.

    The exact test of McNemar (Psychometrika 12, 1947, 153): each is the first's with chance ½; two sides.
    """
    from scipy.special import bdtr

    n = only_first + only_second
    return min(1.0, 2 * float(bdtr(min(only_first, only_second), n, 0.5))) if n else 1.0

"""The checks of a feature: what is measured, against what, and when it is flagged.

A flag needs three things: at least MIN_TEXTS texts, an effect of the size that the check names, and an interval that
does not contain the expected value and holds for all features of a check together (Bonferroni over the features with
enough texts). The intervals that are stored are the plain ones of 95 %. All arrays are over features.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from featurelib.audit.boilerplate import SEGMENT_TEXTS, Segment
from featurelib.stats import auroc_interval, auroc_of_rank_sum, normal_quantile, wilson

MIN_TEXTS = 5
"""A feature with fewer texts is measured and never flagged."""
FAR_AUROC = 0.85
"""Length: flagged where the AUROC is this or more, or 1 minus this or less."""
MOST_SHARE, MOST_EXCESS = 0.5, 0.4
"""Truncation, language, script, copies: flagged where a share is this large and so much above the corpus's."""
SEGMENT_SHARE, SEGMENT_EXCESS = 0.3, 0.2
"""Boilerplate: the same for the share of its texts that have a passage in common."""


@dataclass(frozen=True)
class Check:
    """One check of all features; arrays [n_features]."""

    name: str
    """length, truncation, language, script, boilerplate or copies."""
    value: np.ndarray
    """What was measured, float64; NaN for a feature without texts."""
    low: np.ndarray
    """The lower end of its 95 % interval."""
    high: np.ndarray
    """The upper end."""
    expected: np.ndarray
    """The value of a feature that is independent of it."""
    n_texts: np.ndarray
    """The texts of the feature that were measured, int64."""
    flagged: np.ndarray
    """bool."""
    detail: list[str]
    """More about each feature, in words; may be empty."""


def check_length(rank_sum: np.ndarray, n_active: np.ndarray, n_texts: int, detail: list[str]) -> Check:
    """Check whether longer (or shorter) texts are those on which a feature fires: AUROC of length against firing.

    Expected 0.5. Flagged where it is FAR_AUROC or more, or 1 − FAR_AUROC or less; `rank_sum` is that of the midranks of
    the lengths of its texts.
    """
    n_out = n_texts - n_active
    value = auroc_of_rank_sum(rank_sum, n_active, n_out)
    low, high = auroc_interval(value, n_active, n_out)
    n_tests = int((n_active >= MIN_TEXTS).sum())
    sure_low, sure_high = auroc_interval(value, n_active, n_out, normal_quantile(n_tests=n_tests))
    far = np.abs(value - 0.5) >= FAR_AUROC - 0.5
    flagged = (n_active >= MIN_TEXTS) & far & ((sure_low > 0.5) | (sure_high < 0.5))
    return Check("length", value, low, high, np.full(len(value), 0.5), n_active, flagged, detail)


def check_share(
    name: str,
    k: np.ndarray,
    n: np.ndarray,
    expected: np.ndarray | float,
    detail: list[str],
    *,
    least: float = MOST_SHARE,
    excess: float = MOST_EXCESS,
) -> Check:
    """Check whether a share of a feature's texts, k of n, is far above the corpus's, `expected`.

    Flagged where the share is `least` or more and `excess` or more above what is expected.
    """
    k, n = np.asarray(k, np.float64), np.asarray(n, np.int64)
    expected = np.broadcast_to(np.asarray(expected, np.float64), n.shape)
    low, high = wilson(k, n)
    sure_low, _ = wilson(k, n, normal_quantile(n_tests=int((n >= MIN_TEXTS).sum())))
    value = np.divide(k, n, out=np.full(n.shape, np.nan), where=n > 0)
    with np.errstate(invalid="ignore"):
        large = (value >= least) & (value - expected >= excess) & (sure_low > expected)
    return Check(name, value, low, high, expected, n, (n >= MIN_TEXTS) & large, detail)


def check_boilerplate(segments: Sequence[Segment]) -> Check:
    """Check whether a passage is common to many different texts of a feature and rare in the corpus.

    A passage is a run of 8 words or a whole sentence of 3 to 7, in at least SEGMENT_TEXTS different texts; it is chosen
    as the one furthest above the corpus, so that the interval is narrower than it should be: the effect decides.
    """
    k, n = (np.array([getattr(segment, name) for segment in segments], np.int64) for name in ("k", "n"))
    expected = np.array([segment.expected for segment in segments], np.float64)
    detail = [segment.passage for segment in segments]
    return check_share("boilerplate", k, n, expected, detail, least=SEGMENT_SHARE, excess=SEGMENT_EXCESS)


THRESHOLDS = {
    "min_texts": MIN_TEXTS,
    "auroc": FAR_AUROC,
    "share": MOST_SHARE,
    "excess": MOST_EXCESS,
    "segment_share": SEGMENT_SHARE,
    "segment_excess": SEGMENT_EXCESS,
    "segment_texts": SEGMENT_TEXTS,
}
"""The conditions of the flags, as the stage stores them."""

"""What is counted over all activations: each feature's lengths, languages and copies, and the texts to look at."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from featurelib.schema import BY_FEATURE, TOP_TEXTS
from featurelib.stats import midranks
from featurelib.storage.activation_rows import read_rows
from featurelib.storage.runs import Generation
from precompute.build.job import Job
from precompute.stages.audit.traits import Traits

SAMPLED = 200
"""Texts drawn of each feature, in which a common passage is searched."""


@dataclass(frozen=True)
class Counted:
    """What was counted over all activations: arrays [n_features]."""

    n_active: np.ndarray
    """int64."""
    rank_sum: np.ndarray
    """The sum of the midranks of its texts' lengths, float64."""
    median: np.ndarray
    """The median length of its texts, float64; NaN when dead."""
    n_truncated: np.ndarray
    """int64."""
    by_value: np.ndarray
    """Its texts of each language or script, int64 [n_features, n_names]."""
    n_different: np.ndarray
    """How many of its texts are different, int64."""
    top: list[np.ndarray]
    """The ids of its TOP_TEXTS strongest texts."""
    drawn: list[np.ndarray]
    """The ids of SAMPLED texts drawn from all on which it fires, ascending."""


def count(job: Job, traits: Traits, n_features: int) -> Counted:
    """Count over the texts of each feature."""
    n_active, n_truncated, n_different = (np.zeros(n_features, np.int64) for _ in range(3))
    rank_sum, median = np.zeros(n_features), np.full(n_features, np.nan)
    by_value = np.zeros((n_features, len(traits.names)), np.int64)
    top = [np.empty(0, np.int64)] * n_features
    drawn = list(top)
    ranks = midranks(traits.lengths)
    place = np.empty(len(ranks), np.int32)  # of the last text of each group of copies: a mark for each different text
    with job.progress(n_features, "features counted") as bar:
        for feature_id, ids in _texts_of_features(job.generation):
            n_active[feature_id] = len(ids)
            rank_sum[feature_id] = ranks[ids].sum()
            median[feature_id] = np.median(traits.lengths[ids])
            if traits.truncated is not None:
                n_truncated[feature_id] = np.count_nonzero(traits.truncated[ids])
            values = traits.values[ids]
            by_value[feature_id] = np.bincount(values[values >= 0], minlength=len(traits.names))
            exact = traits.exact[ids]
            place[exact] = np.arange(len(ids), dtype=np.int32)
            n_different[feature_id] = np.count_nonzero(place[exact] == np.arange(len(ids), dtype=np.int32))
            top[feature_id] = ids[:TOP_TEXTS].copy()
            drawn[feature_id] = draw(ids, SAMPLED, job.config.seed, feature_id)
            bar.advance()
    return Counted(n_active, rank_sum, median, n_truncated, by_value, n_different, top, drawn)


def _texts_of_features(generation: Generation) -> Iterator[tuple[int, np.ndarray]]:
    """Yield each live feature and the ids of its texts, the strongest first."""
    for part in generation.parts(BY_FEATURE):
        rows = read_rows(part)
        feature_ids, starts = np.unique(rows.feature_ids, return_index=True)
        yield from zip(feature_ids.tolist(), np.split(rows.text_ids, starts[1:]), strict=False)


def draw(ids: np.ndarray, most: int, *seed: int) -> np.ndarray:
    """Return `most` of the ids, drawn at random, or all where there are fewer; ascending."""
    if len(ids) <= most:
        return np.sort(ids)
    return np.sort(np.random.default_rng(seed).choice(ids, most, replace=False))

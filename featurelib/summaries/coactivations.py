"""The features that fire with each feature far more often than by chance, from how many texts they share.

lift = n_both·N / (n_feature·n_other). Both products are whole numbers below 2^53, so that the one division rounds
equal lifts equally.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from featurelib import schema


@dataclass(frozen=True)
class _Best:
    """The others of one feature, the best first."""

    other_ids: np.ndarray
    n_both: np.ndarray
    lift: np.ndarray


def rank_coactivations(counts: np.ndarray, first: int, n_active: np.ndarray, n_texts: int) -> pa.Table:
    """Return the rows of the table coactivations for some features: up to 50 each, by lift among n_both ≥ 5.

    counts [n, n_features]: on how many texts both fire, for the features from `first` on (storage.coactivation).
    n_active int64 [n_features]: on how many each fires. Of equal lifts the larger n_both comes first, then the smaller
    id.
    """
    best = [_best_of(row, first + place, n_active, n_texts) for place, row in enumerate(counts)]
    lengths = np.array([len(each.other_ids) for each in best], np.int64)
    features = np.repeat(np.arange(first, first + len(best)), lengths)
    ranks = np.concatenate([np.empty(0, np.int64), *(np.arange(1, length + 1) for length in lengths)])
    others = np.concatenate([np.empty(0, np.int64), *(each.other_ids for each in best)])
    n_both = np.concatenate([np.empty(0, np.int64), *(each.n_both for each in best)])
    lift = np.concatenate([np.empty(0, np.float64), *(each.lift for each in best)])
    own = n_active[features]
    jaccard, conditional = n_both / (own + n_active[others] - n_both), n_both / own
    return schema.COACTIVATION_ROWS.from_columns([features, ranks, others, n_both, jaccard, conditional, lift])


def _best_of(shared: np.ndarray, feature_id: int, n_active: np.ndarray, n_texts: int) -> _Best:
    others = np.flatnonzero(shared >= schema.MIN_BOTH)
    others = others[others != feature_id]
    n_both = shared[others].astype(np.int64)
    lift = (n_both * n_texts) / (n_active[feature_id] * n_active[others])
    if len(others) > schema.COACTIVATIONS:
        # those beside the last place stay, so that ties are told apart by what comes next
        least = np.partition(lift, len(lift) - schema.COACTIVATIONS)[len(lift) - schema.COACTIVATIONS]
        kept = np.flatnonzero(lift >= least)
        others, n_both, lift = others[kept], n_both[kept], lift[kept]
    order = np.lexsort((others, -n_both, -lift))[: schema.COACTIVATIONS]
    return _Best(others[order], n_both[order], lift[order])

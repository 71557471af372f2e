"""How many texts two features share: C = BᵀB of the incidence matrix B (featurelib.storage.activation_rows)."""

from __future__ import annotations

from typing import Any

import numpy as np

FEATURES_AT_A_TIME = 1024
"""Rows of C that are made at a time: 1,024 × 16,384 features are 200 MB at the most."""


def coactivation_counts(fires: Any, first: int = 0, last: int | None = None) -> Any:
    """Return rows [first, last) of C = BᵀB, CSR int32 [last - first, n_features]: texts on which both features fire.

    The diagonal holds each feature's own number of texts.
    """
    return (fires[:, first:last].T @ fires).tocsr()


def shuffled(fires: Any, seed: int) -> Any:
    """Return B with as many texts of each feature as before, drawn at random, so that no two features are related.

    The expected number of common texts of features i and j is n_i·n_j / n_texts.
    """
    from scipy.sparse import csc_array

    draw = np.random.default_rng(seed)
    counts = np.diff(fires.indptr)
    drawn = [np.sort(draw.choice(fires.shape[0], size=int(count), replace=False)) for count in counts]
    texts = np.concatenate([np.empty(0, np.int64), *drawn]).astype(fires.indices.dtype)
    return csc_array((np.ones_like(fires.data), texts, fires.indptr), shape=fires.shape)

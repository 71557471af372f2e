"""Which features would fire on which texts by chance (featurelib.storage.activation_rows makes the real matrix)."""

from __future__ import annotations

from typing import Any

import numpy as np


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

"""Which features fire on which texts, as a sparse matrix B, and how many texts two of them share: C = BᵀB."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from featurelib.schema import Refusal

FEATURES_AT_A_TIME = 1024
"""Rows of C that are made at a time: 1,024 × 16,384 features are 200 MB at the most."""


def incidence(chunks: Iterable[tuple[np.ndarray, np.ndarray]], n_texts: int, n_features: int) -> Any:
    """Return B, a scipy CSC array of int32 ones [n_texts, n_features], 8 bytes an activation.

    `chunks` gives (text_ids, feature_ids), one part file after the other; two rows of one text and feature are a
    Refusal, because they would count as two texts.
    """
    from scipy.sparse import csr_array

    parts = [(np.asarray(texts, np.int32), np.asarray(features, np.int32)) for texts, features in chunks]
    texts, features = (
        np.concatenate([np.empty(0, np.int32), *column]) for column in (zip(*parts, strict=True) if parts else ((), ()))
    )
    fires = csr_array((np.ones(len(texts), np.int32), (texts, features)), shape=(n_texts, n_features)).tocsc()
    if fires.nnz and fires.data.max() > 1:
        raise Refusal("a text has two activations of one feature; one row each is expected: build the run again.")
    return fires


def coactivation_counts(fires: Any, first: int = 0, last: int | None = None) -> Any:
    """Return rows [first, last) of C = BᵀB, CSR int32 [last - first, n_features]: texts on which both features fire.

    The diagonal holds each feature's own number of texts.
    """
    return (fires[:, first:last].T @ fires).tocsr()


def shuffled(fires: Any, seed: int) -> Any:
    """Return B with each feature's texts drawn anew, without repetition and as many as before: no two belong together.

    Expected common texts of features i and j: n_i·n_j / n_texts.
    """
    from scipy.sparse import csc_array

    draw = np.random.default_rng(seed)
    counts = np.diff(fires.indptr)
    drawn = [np.sort(draw.choice(fires.shape[0], size=int(count), replace=False)) for count in counts]
    texts = np.concatenate([np.empty(0, np.int64), *drawn]).astype(fires.indices.dtype)
    return csc_array((np.ones_like(fires.data), texts, fires.indptr), shape=fires.shape)

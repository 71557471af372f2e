"""What fires a feature as a vector: the mean embedding of the texts on which it fires, weighted by its activations."""

from __future__ import annotations

import numpy as np


class FiringMeans:
    """Adds up embeddings of texts, block by block: Σ a(f, t)·u(t) / Σ a(f, t) − mean of all u.

    u(t) is the embedding of text t at length 1, a(f, t) the activation of feature f. The mean of all texts is taken off
    because it is in every feature's mean and says nothing.
    """

    def __init__(self, n_features: int, dimension: int) -> None:
        """Begin without any text."""
        self._sums = np.zeros((n_features, dimension))
        self._weights = np.zeros(n_features)
        self._all = np.zeros(dimension)
        self._n_texts = 0

    def add(self, embeddings: np.ndarray, rows: np.ndarray, feature_ids: np.ndarray, activations: np.ndarray) -> None:
        """Add texts: `embeddings` are float32 [n, d], the others say which feature fires how much on which row."""
        from scipy.sparse import csr_array

        lengths = np.linalg.norm(embeddings, axis=1, keepdims=True)
        units = embeddings / np.where(lengths == 0, 1, lengths)
        shape = (len(self._weights), len(embeddings))
        self._sums += csr_array((activations.astype(np.float64), (feature_ids, rows)), shape=shape) @ units
        self._weights += np.bincount(feature_ids, activations, len(self._weights))
        self._all += units.sum(axis=0, dtype=np.float64)
        self._n_texts += len(units)

    def of_live(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the ids of the features that fire, int32 ascending, and their vectors, float32 [n, d]."""
        live = np.flatnonzero(self._weights > 0)
        means = self._sums[live] / self._weights[live, None]
        return live.astype(np.int32), (means - self._all / max(self._n_texts, 1)).astype(np.float32)

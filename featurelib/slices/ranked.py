"""The activations of features as midranks among the texts that count."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

    from featurelib.storage.fired import FeatureBlock


@dataclass(frozen=True)
class Ranked:
    """Some features on n texts that count; a feature ranks all of them, the texts on which it is silent alike."""

    offsets: np.ndarray
    """int64 [n_features + 1]."""
    places: np.ndarray
    """The texts on which each feature fires, as places among those that count, int64."""
    ranks: np.ndarray
    """Their midranks from 1, the strongest highest, float64."""
    n: int
    """How many texts count."""

    @property
    def n_active(self) -> np.ndarray:
        """Texts on which each feature fires, int64 [n_features]."""
        return np.diff(self.offsets)

    @property
    def silent_rank(self) -> np.ndarray:
        """The midrank of the texts on which a feature is silent, float64 [n_features]."""
        return (self.n - self.n_active + 1) / 2

    def fires(self) -> csr_matrix:
        """Return 1 where a feature fires, [n_features, n]."""
        return self._matrix(np.ones(len(self.places), np.float64))

    def above_silence(self) -> csr_matrix:
        """Return by how much the rank of each text is above that of silence, [n_features, n]."""
        return self._matrix(self.ranks - np.repeat(self.silent_rank, self.n_active))

    def _matrix(self, values: np.ndarray) -> csr_matrix:
        from scipy.sparse import csr_matrix

        return csr_matrix((values, self.places, self.offsets), shape=(len(self.offsets) - 1, self.n))


def rank(block: FeatureBlock, place: np.ndarray, n: int) -> Ranked:
    """Rank the activations of a block of features; `place` [n_texts] is each text's place among the n, −1 for none."""
    places = place[block.text_ids]
    counts = places >= 0
    before = np.concatenate([[0], np.cumsum(counts)])
    offsets = before[block.offsets]
    places, activations = places[counts], block.activations[counts]
    owner = np.repeat(np.arange(block.n_features), np.diff(offsets))
    # the activations of a feature fall: its k-th text, from 0, has the rank n - k, and equal ones share their mean
    descending = n - (np.arange(len(places)) - offsets[owner])
    begins = np.ones(len(places), bool)
    begins[1:] = (activations[1:] != activations[:-1]) | (owner[1:] != owner[:-1])
    tie = np.cumsum(begins) - 1
    sizes = np.bincount(tie)
    ranks = descending[begins][tie] - (sizes[tie] - 1) / 2 if len(places) else np.empty(0)
    return Ranked(offsets, places, ranks, n)

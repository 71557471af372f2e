"""Which texts count when sets of texts are compared, and how long they are."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

STRATA = 10
"""Groups of texts of about the same length."""


@dataclass(frozen=True)
class Units:
    """The texts of a corpus as they are counted: a text that stands in it several times counts once."""

    keys: np.ndarray
    """A number for each text that equal texts share, [n_texts]."""
    lengths: np.ndarray
    """Characters, int64 [n_texts]."""

    def different(self, looked_at: np.ndarray) -> np.ndarray:
        """Return which of the texts looked at count, both bool [n_texts]: of equal ones the first."""
        rows = np.flatnonzero(looked_at)
        counted = np.zeros(len(self.keys), bool)
        counted[rows[np.unique(self.keys[rows], return_index=True)[1]]] = True
        return counted

    def strata(self, counted: np.ndarray) -> np.ndarray:
        """Return each text's group of length, int8 [n_texts], 0 to 9: tenths of the texts in `counted`, bool."""
        ends = np.quantile(self.lengths[counted], np.arange(1, STRATA) / STRATA) if counted.any() else []
        return np.searchsorted(ends, self.lengths, "left").astype(np.int8)

"""Which texts count when sets of texts are compared, and how long they are."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

STRATA = 10
"""Groups of texts of about the same length."""


@dataclass(frozen=True)
class Units:
    """The texts of a corpus as they are counted: a text that stands in it several times counts once."""

    different: np.ndarray
    """Whether a text is the first of those with the same words, bool [n_texts]."""
    lengths: np.ndarray
    """Characters, int64 [n_texts]."""

    @classmethod
    def of(cls, keys: np.ndarray, lengths: np.ndarray) -> Units:
        """Find the texts that are the first with their key, a number that equal texts share [n_texts]."""
        different = np.zeros(len(keys), bool)
        different[np.unique(keys, return_index=True)[1]] = True
        return cls(different, lengths)

    def strata(self, counted: np.ndarray) -> np.ndarray:
        """Return each text's group of length, int8 [n_texts], 0 to 9: tenths of the texts in `counted`, bool."""
        ends = np.quantile(self.lengths[counted], np.arange(1, STRATA) / STRATA) if counted.any() else []
        return np.searchsorted(ends, self.lengths, "left").astype(np.int8)

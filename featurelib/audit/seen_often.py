"""Codes that may have been seen some times, counted in a table of fixed size."""

from __future__ import annotations

import numpy as np

from featurelib.audit.shingles import FACTOR

BITS = 27
"""The table has 2^27 counts of one byte, 134 MB."""


class SeenOften:
    """Counts codes up to a number; two codes that share a place are counted together, so none is counted too low."""

    def __init__(self, often: int, bits: int = BITS) -> None:
        self._often, self._shift = often, np.uint64(64 - bits)
        self._counts = np.zeros(1 << bits, np.uint8)

    def add(self, codes: np.ndarray) -> None:
        """Count codes, uint64 [n]."""
        places, counts = np.unique(self._places(codes), return_counts=True)
        total = self._counts[places] + np.minimum(counts, self._often).astype(np.uint8)
        self._counts[places] = np.minimum(total, self._often)

    def has(self, codes: np.ndarray) -> np.ndarray:
        """Return for each code whether it may have been counted `often` times or more, bool [n]."""
        return np.asarray(self._counts[self._places(codes)] >= self._often)

    def _places(self, codes: np.ndarray) -> np.ndarray:
        # the last word of a run does not reach the upper bits of its code
        return np.asarray((codes * FACTOR) >> self._shift)

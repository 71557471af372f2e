"""Candidates for the nearest embeddings of a large corpus, from an index of Faiss (Johnson et al., IEEE Big Data 2019).

Vectors of length 1 are divided among some lists (k-means); a search looks at the lists nearest to the query. In a list
a vector is 64 codes of 4 bits, of its 256 principal axes (PCA, PQ), so a million vectors take 40 MB. Its candidates
are ordered by exact cosines afterwards. Other libraries and settings were compared: docs/speed.md.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from featurelib.schema import Refusal

FILE = "nearest.faiss"
FROM = 100_000
"""Texts from which on there is such an index; with fewer all are compared, which takes some 100 ms at most."""
MOST_LISTS, PROBES = 1_000, 64
"""Lists that the vectors are divided among, and those that a search looks at: adding a vector compares it with each."""
AXES, CODES = 256, 64
"""Principal axes that are kept, and codes of four bits that they become."""
TRAINED_ON = 64
"""Vectors for each list that the lists and codes are learned from."""
BATCH = 50_000


def _faiss() -> Any:
    try:
        import faiss
    except ImportError as missing:
        raise Refusal(
            "faiss is not installed, so a search by meaning compares every text: pip install faiss-cpu"
        ) from missing
    return faiss


def units(embeddings: np.ndarray, places: slice | np.ndarray) -> np.ndarray:
    """Some embeddings with length 1, float32 [n, d]; one of zeros stays zeros."""
    rows = np.asarray(embeddings[places], np.float32)
    lengths: np.ndarray = np.linalg.norm(rows, axis=1, keepdims=True)
    long: np.ndarray = rows / np.maximum(lengths, 1e-12)
    return long


def write_nearest(embeddings: np.ndarray, path: Path, seed: int = 0) -> None:
    """Make the index of embeddings [n, d], perhaps mapped from a file; Refusal where Faiss is not installed."""
    faiss = _faiss()
    n, d = embeddings.shape
    n_lists = min(int(np.sqrt(n)), MOST_LISTS)
    n_axes = min(AXES, d)
    n_codes = next(number for number in range(min(CODES, n_axes), 0, -1) if n_axes % number == 0)
    index = faiss.index_factory(d, f"PCAR{n_axes},IVF{n_lists},PQ{n_codes}x4fs", faiss.METRIC_INNER_PRODUCT)
    index.train(units(embeddings, np.sort(np.random.default_rng(seed).permutation(n)[: TRAINED_ON * n_lists])))
    for places in _portions(n):
        index.add(units(embeddings, places))
    try:
        faiss.write_index(index, str(path))
    except RuntimeError as full:
        raise OSError(str(full)) from full


def _portions(n: int) -> Iterator[slice]:
    for first in range(0, n, BATCH):
        yield slice(first, min(first + BATCH, n))


class NearestPlaces:
    """An index that is read."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @cached_property
    def _index(self) -> Any:
        faiss = _faiss()
        index = faiss.read_index(str(self.path), faiss.IO_FLAG_MMAP | faiss.IO_FLAG_READ_ONLY)
        faiss.extract_index_ivf(index).nprobe = PROBES
        faiss.omp_set_num_threads(1)  # a search takes a millisecond; threads would only be in each other's way
        return index

    def near(self, query: np.ndarray, n: int) -> np.ndarray:
        """Return the places of some `n` embeddings that are probably the nearest to a query [d], ascending."""
        wanted = np.asarray(query, np.float32)[None] / np.float32(np.linalg.norm(query))
        places: np.ndarray = self._index.search(wanted, n)[1][0]
        return np.sort(places[places >= 0])

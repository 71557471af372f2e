"""Texts and embeddings of a run that are needed again and again, fetched together and kept up to a number."""

from __future__ import annotations

import numpy as np
import pyarrow.parquet as pq

from featurelib.audit.boilerplate import Worded, visible, worded
from featurelib.schema import EMBEDDINGS
from featurelib.storage.embeddings import read_embeddings
from featurelib.storage.runs import Generation
from featurelib.storage.texts import read_texts

KEPT = 40_000
"""Texts that are kept, about a quarter of a gigabyte."""


class Shelf:
    """What the embedder read of some texts, cut into words, and their embeddings."""

    def __init__(self, generation: Generation, cut: np.ndarray) -> None:
        self._generation = generation
        self._cut = cut
        self._held: dict[int, tuple[Worded, np.ndarray]] = {}

    def fetch(self, text_ids: np.ndarray) -> None:
        """Have the texts with these ids, which rise, at hand."""
        missing = np.array([one for one in text_ids.tolist() if one not in self._held], np.int64)
        if len(self._held) + len(missing) > KEPT:
            self._held = {one: self._held[one] for one in text_ids.tolist() if one in self._held}
        if not len(missing):
            return
        texts = read_texts(self._generation, missing)
        for text_id, text, embedding in zip(missing.tolist(), texts, self._embeddings(missing), strict=True):
            cut = self._cut[text_id]
            self._held[text_id] = worded(visible(text if cut < 0 else text[:cut])), embedding

    def worded(self, text_id: int) -> Worded:
        """One of the texts that were fetched."""
        return self._held[text_id][0]

    def embeddings(self, text_ids: np.ndarray) -> np.ndarray:
        """The embeddings of texts that were fetched, of length 1 (0 where a text has none), float32 [n, d]."""
        if not len(text_ids):
            return np.empty((0, 1), np.float32)
        rows = np.stack([self._held[one][1] for one in text_ids.tolist()])
        length = np.linalg.norm(rows, axis=1, keepdims=True)
        return np.divide(rows, length, out=np.zeros_like(rows), where=length > 0)

    def _embeddings(self, text_ids: np.ndarray) -> np.ndarray:
        found, start = [], 0
        for part in self._generation.parts(EMBEDDINGS):
            n = pq.read_metadata(part).num_rows
            inside = text_ids[(text_ids >= start) & (text_ids < start + n)] - start
            if len(inside):
                found.append(read_embeddings(part)[inside])
            start += n
        return np.concatenate(found)

"""Texts and embeddings that the audit needs again and again, read together and kept up to a number."""

from __future__ import annotations

import numpy as np

from featurelib.audit.shingles import SplitText, split_text, visible
from featurelib.storage.embeddings import read_embeddings_of
from featurelib.storage.runs import Generation
from featurelib.storage.texts import read_texts

MOST_TEXTS = 40_000
"""Texts that are kept, about a quarter of a gigabyte."""


class TextCache:
    """What the embedder read of some texts, cut into words, and the embeddings of these texts."""

    def __init__(self, generation: Generation, cut: np.ndarray) -> None:
        self._generation = generation
        self._cut = cut
        self._words: dict[int, SplitText] = {}
        self._embeddings: dict[int, np.ndarray] = {}

    def fetch(self, text_ids: np.ndarray) -> None:
        """Read the texts with these ids, which ascend, unless they are here already."""
        missing = np.array([text_id for text_id in text_ids.tolist() if text_id not in self._words], np.int64)
        if len(self._words) + len(missing) > MOST_TEXTS:
            needed = self._words.keys() & set(text_ids.tolist())
            self._words = {text_id: self._words[text_id] for text_id in needed}
            self._embeddings = {text_id: self._embeddings[text_id] for text_id in needed}
        if not len(missing):
            return
        ids, texts = missing.tolist(), read_texts(self._generation, missing)
        self._embeddings |= zip(ids, read_embeddings_of(self._generation, missing), strict=True)
        for text_id, text in zip(ids, texts, strict=True):
            cut = self._cut[text_id]
            self._words[text_id] = split_text(visible(text if cut < 0 else text[:cut]))

    def words(self, text_id: int) -> SplitText:
        """The words of a text that was fetched."""
        return self._words[text_id]

    def embeddings(self, text_ids: np.ndarray) -> np.ndarray:
        """The embeddings of texts that were fetched, at length 1 (0 where a text has none), float32 [n, d]."""
        if not len(text_ids):
            return np.empty((0, 1), np.float32)
        rows = np.stack([self._embeddings[text_id] for text_id in text_ids.tolist()])
        length = np.linalg.norm(rows, axis=1, keepdims=True)
        unit: np.ndarray = np.divide(rows, length, out=np.zeros_like(rows), where=length > 0)
        return unit

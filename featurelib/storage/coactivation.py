"""How many texts two features share: C = BᵀB of B [n_texts, n_features], which says what fires on which text.

Row i of C counts the features on the texts of feature i. With the entries of a piece of B by feature and by text side
by side, that is one gather and one count per feature: half the time of scipy's product of the same matrices, which
first counts how many entries it will have, measured at 26 million activations of 16,384 features. Memory does not grow
with the corpus: the rows of C that are made at a time are dense, and B comes in pieces.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from featurelib.storage.activation_rows import read_rows
from featurelib.storage.parts.part_files import Part, count_rows

_Columns = tuple[np.ndarray, np.ndarray]
"""Text ids and feature ids, int32 [n]."""
CELL_BYTES = 4
ENTRY_BYTES = 30
"""What an activation of a piece takes at the most, while the piece is put in order."""
TEXTS_AT_ONCE = 65_536
"""Of a feature that fires on more texts, so many are looked at together."""
BLOCK_BYTES = 64_000_000
"""Rows of C that are made at a time where that costs no further reading: 976 of 16,384 features."""


@dataclass(frozen=True)
class Incidence:
    """What fires on some texts, in both orders: the entries of a piece of B [n_texts, n_features]."""

    text_offsets: np.ndarray
    """Where the features of each text begin, and at the end where the last one's end, int64 [n_texts + 1]."""
    features: np.ndarray
    """The features of one text after the other, int32 [n]."""
    feature_offsets: np.ndarray
    """Where the texts of each feature begin, and at the end where the last one's end, int64 [n_features + 1]."""
    texts: np.ndarray
    """The texts of one feature after the other, as places among these texts, int32 [n]."""

    @classmethod
    def of(cls, fires: Any) -> Incidence:
        """Put a scipy array [n_texts, n_features] in both orders; only where it has entries counts."""
        by_text, by_feature = fires.tocsr(), fires.tocsc()
        return cls(by_text.indptr.astype(np.int64), by_text.indices, by_feature.indptr, by_feature.indices)

    def add_counts(self, feature_id: int, counts: np.ndarray) -> None:
        """Add to counts [n_features] how often each feature fires on the texts of one, itself included."""
        own = self.texts[self.feature_offsets[feature_id] : self.feature_offsets[feature_id + 1]]
        for start in range(0, len(own), TEXTS_AT_ONCE):
            beside = self._features_of(own[start : start + TEXTS_AT_ONCE])
            counts += np.bincount(beside, minlength=len(counts))

    def _features_of(self, texts: np.ndarray) -> np.ndarray:
        starts = self.text_offsets[texts]
        lengths = self.text_offsets[texts + 1] - starts
        ends = np.cumsum(lengths)
        places = np.repeat(starts - (ends - lengths), lengths)
        places += np.arange(len(places))
        features: np.ndarray = self.features[places]
        return features


def coactivation_counts(pieces: Iterable[Incidence], n_features: int, first: int, last: int) -> np.ndarray:
    """Return rows [first, last) of C, int32 [last - first, n_features]: texts on which both features fire.

    The diagonal holds each feature's own number of texts. `pieces` are of different texts.
    """
    counts = np.zeros((last - first, n_features), np.int32)
    for piece in pieces:
        for row in range(last - first):
            piece.add_counts(first + row, counts[row])
    return counts


def count_coactivations(parts: Sequence[Part], n_features: int, n_bytes: int) -> Iterator[tuple[int, np.ndarray]]:
    """Yield the number of the first row, and successive rows of C, of the part files of activations by text.

    About `n_bytes` are taken, or what one part and one row take. Where all activations fit into half of them the files
    are read once, else once for each range of rows.
    """
    n_rows = sum(count_rows(part) for part in parts)
    fits = n_rows * ENTRY_BYTES <= n_bytes // 2
    pieces = list(_read_pieces(parts, n_features, n_bytes)) if fits else []
    for first, last in row_ranges(n_features, min(n_bytes // 4, BLOCK_BYTES) if fits else n_bytes // 2):
        read = pieces if fits else _read_pieces(parts, n_features, n_bytes // 4)
        yield first, coactivation_counts(read, n_features, first, last)


def row_ranges(n_features: int, n_bytes: int = BLOCK_BYTES) -> list[tuple[int, int]]:
    """Cut the rows of C into ranges [first, last) that take `n_bytes` at the most, or one row."""
    size = max(1, n_bytes // (CELL_BYTES * max(n_features, 1)))
    return [(first, min(first + size, n_features)) for first in range(0, n_features, size)]


def _read_pieces(parts: Sequence[Part], n_features: int, n_bytes: int) -> Iterator[Incidence]:
    """Yield what fires on the texts of some part files, so many together as `n_bytes` hold, or one.

    A text whose rows go on in the next part is left for the next piece.
    """
    waiting: list[_Columns] = []
    n_rows = 0
    for part in parts:
        rows = read_rows(part)
        if waiting and (n_rows + len(rows)) * ENTRY_BYTES > n_bytes:
            texts, features = _joined(waiting)
            whole = int(np.searchsorted(texts, texts[-1]))
            waiting, n_rows = [(texts[whole:].copy(), features[whole:].copy())], len(texts) - whole
            piece = _piece(texts[:whole], features[:whole], n_features)
            del texts, features
            yield piece
        if len(rows):
            waiting.append((rows.text_ids.astype(np.int32), rows.feature_ids))
            n_rows += len(rows)
    if waiting:
        yield _piece(*_joined(waiting), n_features)


def _joined(columns: list[_Columns]) -> _Columns:
    texts, features = (np.concatenate(arrays) for arrays in zip(*columns, strict=True))
    columns.clear()
    return texts, features


def _piece(texts: np.ndarray, features: np.ndarray, n_features: int) -> Incidence:
    """One piece of rows that are ordered by text; its first text has place 0."""
    from scipy.sparse import csr_array

    counts = np.bincount(texts - texts[0]) if len(texts) else np.empty(0, np.int64)
    offsets = np.concatenate([[0], np.cumsum(counts)])
    return Incidence.of(csr_array((np.ones(len(texts), bool), features, offsets), shape=(len(counts), n_features)))

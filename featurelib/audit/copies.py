"""Copies of a text: exact ones, and near ones that share both meaning and words."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from typing import NamedTuple

import numpy as np

from featurelib.audit.shingles import jaccard, visible

SAME_COSINE = 0.98
"""The cosine of embeddings from which two texts may be near copies."""
SAME_WORDS = 0.7
"""The share of their runs of 3 words (Jaccard) that near copies have in common."""
MOST_PAIRS = 5_000
"""Pairs of one feature's texts whose words are compared."""


class Copies(NamedTuple):
    """The texts that have a copy, in the order of text_id: arrays of one length."""

    text_ids: np.ndarray
    """int64."""
    copy_of: np.ndarray
    """The smallest text_id of the group, int64."""
    n_copies: np.ndarray
    """The number of other texts in the group, int32."""
    exact: np.ndarray
    """Whether another text of the corpus has the same words exactly, bool."""


def same_text(text: str) -> int:
    """Return a 64-bit code that copies of a text share; case, white space and characters without width are ignored."""
    words = " ".join(visible(text).casefold().split()).encode("utf-8", "surrogatepass")
    return int.from_bytes(hashlib.blake2b(words, digest_size=8).digest(), "little")


def exact_groups(codes: np.ndarray) -> np.ndarray:
    """Return the smallest text_id that has the code of each text, int64 [n_texts]."""
    _, first, inverse = np.unique(codes, return_index=True, return_inverse=True)
    return first[inverse].astype(np.int64)


def close_pairs(embeddings: np.ndarray, exact: np.ndarray) -> np.ndarray:
    """Return the pairs of texts whose embeddings are close and which are not exact copies: places, int64 [n, 2].

    The smaller place comes first. `embeddings` are float32 [m, d] of length 1 (0 for a text without one), `exact` is
    each text's group of exact copies.
    """
    m = len(embeddings)
    rows, columns = np.divmod(np.flatnonzero(embeddings @ embeddings.T >= SAME_COSINE), max(m, 1))
    kept = (rows < columns) & (exact[rows] != exact[columns])
    return np.stack([rows[kept], columns[kept]], axis=1)


def near_pairs(
    ids: np.ndarray, close: np.ndarray, shingles: Mapping[int, np.ndarray], exact: np.ndarray
) -> tuple[list[tuple[int, int]], np.ndarray]:
    """Find near copies among some texts, which come in the order of text_id.

    Returns pairs of ids that join them, and the smallest id of each text's group among these texts, int64 [m]. `close`
    is what `close_pairs` found of them, `shingles` are those of the texts in it by their ids.
    """
    joined = Groups(exact_groups(exact))
    pairs, compared = [], 0
    for a, b in close.tolist():
        if compared >= MOST_PAIRS or joined.root(a) == joined.root(b):
            continue
        compared += 1
        first, second = int(ids[a]), int(ids[b])
        if jaccard(shingles[first], shingles[second]) >= SAME_WORDS:
            joined.join(a, b)
            pairs.append((first, second))
    return pairs, ids[joined.roots()]


class Groups:
    """Numbers 0 to n − 1 in groups that can be joined (union-find); a group is named by its smallest number."""

    def __init__(self, smallest: np.ndarray) -> None:
        """Begin with groups: for each number the smallest one of its group, int64 [n]."""
        self._above = smallest.copy()

    def root(self, number: int) -> int:
        """Return the smallest number of the group of `number`."""
        above = self._above
        while above[number] != number:
            above[number] = above[above[number]]
            number = above[number]
        return int(number)

    def join(self, first: int, second: int) -> None:
        """Join the groups of two numbers."""
        low, high = sorted((self.root(first), self.root(second)))
        self._above[high] = low

    def roots(self) -> np.ndarray:
        """Return the smallest number of each number's group, int64 [n]."""
        above = self._above
        while True:
            higher = above[above]
            if (higher == above).all():
                return above
            self._above = above = higher


def all_copies(exact: np.ndarray, pairs: Iterable[tuple[int, int]]) -> Copies:
    """Join exact groups [n_texts] by pairs of near copies, and return the texts that have a copy."""
    groups = Groups(exact)
    for first, second in pairs:
        groups.join(first, second)
    copy_of = groups.roots()
    size = np.bincount(copy_of, minlength=len(copy_of))[copy_of]
    text_ids = np.flatnonzero(size > 1)
    same = np.bincount(exact, minlength=len(exact))[exact] > 1
    return Copies(text_ids, copy_of[text_ids], (size[text_ids] - 1).astype(np.int32), same[text_ids])

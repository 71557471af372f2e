"""Marked words: those that made a feature fire on a text, or others of the same text."""

from __future__ import annotations

import random
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

SHARE = 0.3
"""A word is marked where its part is at least this share of the largest part of its text (delphi's threshold)."""
MOST = 6
"""Words marked in one text, in short texts no more than a third of them, so that others are left to be marked."""
LETTERS = 4
"""Wrong marks lie on words of so many characters where there are enough: 'the' and 'of' would give them away."""
OWN = str.maketrans("«»", '""')


class Words(NamedTuple):
    """The words of one text and what each brings to a feature's pre-activation."""

    starts: np.ndarray
    """int32 [n]: the first character of each."""
    ends: np.ndarray
    """int32 [n]: the character after its last."""
    parts: np.ndarray
    """float32 [n]."""


def right_words(words: Words) -> list[int]:
    """The places of the words that carry the feature: parts of 0.3 of the largest or more, at most MOST, in order."""
    n = len(words.parts)
    if not n or words.parts.max() <= 0:
        return []
    strongest = np.lexsort((np.arange(n), -words.parts))[: min(MOST, max(n // 3, 1))]
    return sorted(int(place) for place in strongest if words.parts[place] >= SHARE * words.parts.max())


def wrong_words(words: Words, n: int, draw: random.Random) -> list[int]:
    """The places of `n` words that carry nothing, at random: of parts of 0 or less, else of the smallest parts."""
    order = np.lexsort((np.arange(len(words.parts)), words.parts))
    right = set(right_words(words))
    left = [int(place) for place in order if int(place) not in right]
    long = [place for place in left if words.ends[place] - words.starts[place] >= LETTERS]
    admitted = long if len(long) >= n else left
    n_idle = sum(bool(words.parts[place] <= 0) for place in admitted)
    return sorted(draw.sample(admitted[: max(n, n_idle)], min(n, len(admitted))))


def marked(text: str, words: Words, places: Iterable[int]) -> str:
    """The text with «these» words marked; its own marks of this kind become plain quotes."""
    plain, pieces, last = text.translate(OWN), [], 0
    for place in places:
        start, end = int(words.starts[place]), int(words.ends[place])
        pieces += [plain[last:start], "«", plain[start:end], "»"]
        last = end
    return "".join([*pieces, plain[last:]])

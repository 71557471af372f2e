"""Marked words: those that made a feature fire on a text, or others of the same text."""

from __future__ import annotations

import random
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from featurelib.llm.shown_texts import ShownText

SHARE = 0.3
"""A word is marked where its attribution is at least this share of the largest of its text (delphi's threshold)."""
MOST = 6
"""Words marked in one text; in short texts no more than a third of them, so that others are left to be marked."""
LETTERS = 4
"""Wrong marks lie on words of so many characters where there are enough: 'the' and 'of' would give them away."""
PLAIN_QUOTES = str.maketrans("«»", '""')


class AttributedWords(NamedTuple):
    """The words of one text and what each adds to a feature's pre-activation, or how much it fires on their tokens."""

    starts: np.ndarray
    """int32 [n]: the first character of each."""
    ends: np.ndarray
    """int32 [n]: the character after its last."""
    attributions: np.ndarray
    """float32 [n]; in a token run the largest activation of a word's tokens."""


def right_words(words: AttributedWords) -> list[int]:
    """Return the places of the words that made the feature fire, in order.

    Their attributions are 0.3 of the largest or more; there are at most MOST of them.
    """
    attributions = words.attributions
    n = len(attributions)
    if not n or attributions.max() <= 0:
        return []
    strongest = np.lexsort((np.arange(n), -attributions))[: min(MOST, max(n // 3, 1))]
    return sorted(int(place) for place in strongest if attributions[place] >= SHARE * attributions.max())


def wrong_words(words: AttributedWords, n: int, draw: random.Random) -> list[int]:
    """Return the places of `n` words drawn from those that did not make the feature fire, in order.

    They are drawn from the words with attributions of 0 or less where there are `n`, else from the smallest ones.
    """
    order = np.lexsort((np.arange(len(words.attributions)), words.attributions))
    right = set(right_words(words))
    others = [int(place) for place in order if int(place) not in right]
    long = [place for place in others if words.ends[place] - words.starts[place] >= LETTERS]
    candidates = long if len(long) >= n else others
    n_idle = sum(bool(words.attributions[place] <= 0) for place in candidates)
    return sorted(draw.sample(candidates[: max(n, n_idle)], min(n, len(candidates))))


def mark_words(text: str, words: AttributedWords, places: Iterable[int]) -> ShownText:
    """Return the text with «these» words marked, in order; «» of the text itself become plain quotes.

    Its focus is the marked word with the largest attribution; without marks, the beginning.
    """
    plain, pieces, last = text.translate(PLAIN_QUOTES), [], 0
    focus, strongest = 0, -np.inf
    for n_before, place in enumerate(places):
        start, end = int(words.starts[place]), int(words.ends[place])
        pieces += [plain[last:start], "«", plain[start:end], "»"]
        last = end
        if words.attributions[place] > strongest:
            focus, strongest = start + 2 * n_before + 1, words.attributions[place]
    return ShownText("".join([*pieces, plain[last:]]), focus)

"""Words of keywords and labels: which texts contain a keyword, and when two labels say the same."""

from __future__ import annotations

import functools
import itertools
import re
from collections.abc import Iterable, Sequence

import numpy as np

from featurelib.language.characters import HAS_UNSPACED
from featurelib.language.segmentation import words

NO_ROWS = np.empty(0, np.int64)


def whole_words(text: str) -> set[str]:
    """Return the words of a text, case folded; a word with hyphens counts as a whole and piece by piece."""
    folded = set(words(text.casefold()))
    return folded | {piece for word in folded if "-" in word for piece in word.split("-")}


class TextsContaining:
    """Tells which of some texts contain a keyword: all its words, in any order, as whole words of any case.

    A plural counts as its singular: "crystals" stands in a text that speaks of a crystal. A keyword with a hyphen at an
    end is a form of words: "bi-" stands in a text with a longer word that begins with bi, "-木-" in one with a word of
    which that character is a part (featurelib.labels.form).
    """

    def __init__(self, texts: Iterable[str], keywords: Iterable[str]) -> None:
        """Look for the words of `keywords` in the texts, once."""
        keywords = set(keywords)
        forms = set(filter(is_form, keywords))
        lengths = {len(form) - 1 for form in forms}
        vocabulary = set().union(*map(label_stems, keywords))
        rows: dict[str, list[int]] = {}
        self.n_texts = 0
        for row, text in enumerate(texts):
            in_text = set(map(stem, whole_words(text)))
            held = in_text & vocabulary
            if forms:
                held |= forms.intersection(form for word in in_text for form in _forms(word, lengths))
            for known in held:
                rows.setdefault(known, []).append(row)
            self.n_texts += 1
        self._rows = {word: np.array(own, np.int64) for word, own in rows.items()}

    def __call__(self, keyword: str) -> np.ndarray:
        """Return which texts contain the keyword, bool [n_texts]."""
        needed = [keyword] if is_form(keyword) else label_stems(keyword)
        rows = [self._rows.get(word, NO_ROWS) for word in needed]
        contains = np.zeros(self.n_texts, bool)
        if rows:
            contains[functools.reduce(np.intersect1d, rows)] = True
        return contains


_BRACKETS = re.compile(r"\([^()]*\)")


def is_form(keyword: str) -> bool:
    """Whether a keyword is a beginning, an ending or a character of words, such as bi-, -oid or -木-."""
    return len(keyword) > 1 and (keyword.startswith("-") or keyword.endswith("-"))


BEYOND_FORM = 2
"""Letters that a word has beside its form, at least."""


def _forms(word: str, lengths: Iterable[int]) -> Iterable[str]:
    """The beginnings and endings of a word that have one of these lengths, and its characters without spaces."""
    yield from (f"-{character}-" for character in HAS_UNSPACED.findall(word))
    for length in lengths:
        if length + BEYOND_FORM <= len(word):
            yield f"{word[:length]}-"
            yield f"-{word[-length:]}"


def label_words(label: str) -> frozenset[str]:
    """Return the words of a label, case folded: two labels with the same words are the same, whatever their order.

    What stands in brackets is no word: SU(N) has the word su.
    """
    return frozenset(words(_BRACKETS.sub("", label.casefold())))


NO_PLURALS = {"news", "lens", "bias", "always", "perhaps", "gps", "aids", "mars", "texas", "thus"}
"""Words that end as plurals do and have another meaning without the s, or none."""


@functools.lru_cache(maxsize=65_536)
def stem(word: str) -> str:
    """Return a word without the ending of the plural (English)."""
    if word in NO_PLURALS:
        return word
    if len(word) > 4 and word.endswith("ies"):
        return word[:-3] + "y"
    return word[:-1] if len(word) > 3 and word.endswith("s") and not word.endswith(("ss", "us", "is")) else word


ENDINGS = ("ing", "ed", "er", "ers", "let", "lets", "al", "ly", "es", "en", "y")
"""Endings with which a word of four letters has other forms: pump and pumping, drop and droplets."""


def alike(first: str, second: str) -> bool:
    """Whether two words are forms of one: equal but for a plural or ending, or with the same first five letters.

    Words of scripts without spaces have no such forms: they must be equal.
    """
    if HAS_UNSPACED.search(first + second):
        return first == second
    first, second = stem(first), stem(second)
    longest = max(len(first), len(second))
    differing = (at for at, (a, b) in enumerate(zip(first, second, strict=False)) if a != b)
    shared = next(differing, min(len(first), len(second)))
    short, long = sorted((first, second), key=len)
    is_form = len(short) >= 4 and long.startswith(short) and long[len(short) :] in ENDINGS
    return first == second or is_form or shared >= max(5, 0.55 * longest)


def adds(keyword: str, label: Sequence[str]) -> bool:
    """Whether a keyword says something beside each of a label's: "galaxies" does not beside "galaxy clusters"."""
    pieces = _pieces(keyword)
    for other in label:
        others = _pieces(other)
        if all(any(alike(a, b) for b in others) for a in pieces):
            return False
        if all(any(alike(a, b) for b in pieces) for a in others):
            return False
    return bool(pieces)


def repeats(keyword: str) -> bool:
    """Whether a phrase says a word twice, such as "lidar lidars"."""
    return any(alike(first, second) for first, second in itertools.combinations(words(keyword.casefold()), 2))


@functools.lru_cache(maxsize=65_536)
def _pieces(keyword: str) -> tuple[str, ...]:
    """Its words, case folded, split at hyphens; what stands in brackets is no word."""
    return tuple(piece for word in words(_BRACKETS.sub("", keyword.casefold())) for piece in word.split("-"))


def label_stems(label: str) -> frozenset[str]:
    """Return the stems of a label's words: labels with the same stems differ in order, case or plural only."""
    return frozenset(stem(word) for word in label_words(label))

"""Words of keywords and labels: which texts contain a keyword, and when two labels say the same."""

from __future__ import annotations

import functools
import itertools
import re
from array import array
from collections import defaultdict
from collections.abc import Iterable, Sequence

import numpy as np

from featurelib.language.characters import HAS_UNSPACED
from featurelib.language.segmentation import words

NO_ROWS = np.empty(0, np.int32)


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

    def __init__(self, texts: Iterable[str], keywords: Iterable[str] | None = None) -> None:
        """Look for all words in the texts, once; of given keywords for theirs alone, which takes less memory."""
        known = None if keywords is None else set(keywords)
        # what words a form has is not known before they are seen
        every = known is None or any(map(is_form, known))
        vocabulary = frozenset() if every or known is None else frozenset().union(*map(label_stems, known))
        rows: defaultdict[str, array[int]] = defaultdict(lambda: array("i"))
        self.n_texts = 0
        for row, text in enumerate(texts):
            in_text = set(map(stem, whole_words(text)))
            for word in in_text if every else in_text & vocabulary:
                rows[word].append(row)
            self.n_texts += 1
        self._rows = {word: np.frombuffer(own, np.int32) for word, own in rows.items()}
        self._of_form = functools.cache(self._find_form)

    def __call__(self, keyword: str) -> np.ndarray:
        """Return which texts contain the keyword, bool [n_texts]."""
        if is_form(keyword):
            return self._mark(self._of_form(keyword))
        needed = [self._rows.get(word, NO_ROWS) for word in label_stems(keyword)]
        return functools.reduce(np.logical_and, map(self._mark, needed)) if needed else self._mark(NO_ROWS)

    def _mark(self, rows: np.ndarray) -> np.ndarray:
        marked = np.zeros(self.n_texts, bool)
        marked[rows] = True
        return marked

    def _find_form(self, form: str) -> np.ndarray:
        """The texts with a word of a form."""
        rows = [own for word, own in self._rows.items() if _has_form(word, form)]
        return np.unique(np.concatenate([NO_ROWS, *rows]))


_BRACKETS = re.compile(r"\([^()]*\)")


def is_form(keyword: str) -> bool:
    """Whether a keyword is a beginning, an ending or a character of words, such as bi-, -oid or -木-."""
    return len(keyword) > 1 and (keyword.startswith("-") or keyword.endswith("-"))


BEYOND_FORM = 2
"""Letters that a word has beside its form, at least."""


def _has_form(word: str, form: str) -> bool:
    """Whether a word begins or ends with a form and goes on, or has it as a character without spaces."""
    if form.startswith("-") and form.endswith("-"):
        return form[1:-1] in word and form[1:-1] in HAS_UNSPACED.findall(word)
    letters = form.strip("-")
    fits = word.startswith(letters) if form.endswith("-") else word.endswith(letters)
    return fits and len(letters) + BEYOND_FORM <= len(word)


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

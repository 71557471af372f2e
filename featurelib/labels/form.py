"""Features that fire by the form of words: bi- in bipartite, bismuth and bipedal, -oid in spheroid and groupoid.

Such a feature is recognised by what the words of its strongest texts add to its pre-activation. Of each text the three
words that add most are looked at. Words with a common beginning or ending are among them in nearly all of the texts,
far more often than chance explains; what follows the beginning (or precedes the ending) differs from text to text; and
the texts are less alike than those of the median feature. It names the feature where it tells more of the strongest
texts than a phrase does. What the formula of chance is: with a share q of all
words having the form, three words hold one with p = 1 − (1 − q)³, and the number of texts that do is binomial.
"""

from __future__ import annotations

import functools
import math
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

from featurelib.labels.words import BEYOND_FORM, stem
from featurelib.language.characters import HAS_UNSPACED
from featurelib.language.segmentation import words

LOOKED_AT = 3
"""Words of a text, those that add most."""
LEAST_TEXTS = 6
"""With fewer texts no form is looked for."""
SHARE = 0.8
"""Of the texts at least this share has a word of the form among the words looked at."""
KINDS = 4
"""So many different continuations (by their two letters next to the form) are needed."""
MOST_OF_ONE = 0.5
"""No continuation is that of more than this share of the texts."""
GRAMMAR = frozenset("aioye")
"""One-letter words of grammar in European languages."""
BEGINNINGS, ENDINGS = range(2, 7), range(3, 7)
"""Letters of a beginning and of an ending; one letter says little, and short endings, such as -al, are grammar."""
CHANCE = 0.05
"""The probability of this many texts by chance, times the forms and features tried, is no more than this."""
INFLECTIONS = frozenset(
    ["ed", "er", "ing", "ings", "al", "ally", "able", "ably", "ation", "ational", "ations", "ion", "ions", "ional"]
    + ["ive", "ively", "ity", "ities", "ical", "ics", "ized", "ised", "izing", "ising", "ization", "isation", "ment"]
    + ["ments", "ness", "ly", "ous", "ary", "ory", "ism", "ist", "ists"]
)
"""Endings that make another form of a word and not another word: orientation and orientable."""
LEAST_HELD, LIFT, GAIN = 0.5, 1.25, 0.1
"""Of the strongest texts so many hold a form, so many times as many as of all texts, and so many more than a phrase."""


class Form(NamedTuple):
    """What the words have in common that make a feature fire."""

    keyword: str
    """The form with hyphens where words go on, such as bi- or -oid; a letter by itself has none."""
    n_texts: int
    """The strongest texts in which such a word is among those that add most."""
    n_of: int
    """The strongest texts that were looked at."""
    words: tuple[str, ...]
    """Such words, the commonest first."""


@functools.lru_cache(maxsize=262_144)
def letters_of(word: str) -> tuple[str, ...]:
    """Return a word's pieces between hyphens that are letters alone, case folded, a plural as its singular.

    A letter that is a word of grammar, as a and I are, is left out.
    """
    pieces = [stem(piece) for whole in words(word.casefold()) for piece in whole.split("-")]
    return tuple(piece for piece in pieces if _is_lettered(piece) and piece not in GRAMMAR)


def _is_lettered(piece: str) -> bool:
    """Whether it has letters, and beside these marks alone."""
    return any(map(str.isalpha, piece)) and not any(map(str.isdigit, piece)) and not set(piece) & {"'", "’", "."}


def forms_of(word: str) -> list[str]:
    """Return every form that a word has: its beginnings, its endings, and itself where it is one letter.

    A character of a script without spaces is a part of words: "-木-".
    """
    if len(word) == 1:
        return [f"-{word}-" if HAS_UNSPACED.match(word) else word]
    begins = [f"{word[:n]}-" for n in BEGINNINGS if n + BEYOND_FORM <= len(word)]
    return begins + [f"-{word[-n:]}" for n in ENDINGS if n + BEYOND_FORM <= len(word)]


def form_label(keyword: str) -> str:
    """Return the label of a form as it is shown."""
    if len(keyword) == 1:
        return f'the letter "{keyword.upper()}"'
    return f'the character "{keyword[1:-1]}"' if _is_inside(keyword) else f'words with "{keyword}"'


def _is_inside(form: str) -> bool:
    return len(form) > 2 and form.startswith("-") and form.endswith("-")


def tells_more(of_form: np.ndarray, of_phrase: np.ndarray, everywhere: float) -> bool:
    """Whether a form tells more of a feature's strongest texts than a phrase: which hold each, bool [n].

    `everywhere` is the share of all texts that hold the form: one that most texts hold tells nothing.
    """
    if not len(of_form):
        return False
    held = float(of_form.mean())
    return held >= max(LEAST_HELD, LIFT * everywhere, float(of_phrase.mean()) + GAIN)


class Forms:
    """Finds what the words of a feature's texts have in common, by how common each form is in `vocabulary`."""

    def __init__(self, vocabulary: Iterable[tuple[str, int]], n_features: int) -> None:
        """Count the forms of all words, each with the number of its occurrences."""
        self._counts: Counter[str] = Counter()
        self._n_words = 0
        self._n_features = n_features
        for word, n in vocabulary:
            self._n_words += n
            for form in forms_of(word):
                self._counts[form] += n

    def find(self, texts: Sequence[Sequence[str]]) -> Form | None:
        """Return the form of the words of a feature's strongest texts, each as its words that add most, else None."""
        texts = list(dict.fromkeys(map(tuple, texts)))  # copies of a text say no more than one
        if len(texts) < LEAST_TEXTS:
            return None
        holding: dict[str, list[str]] = {}
        for of_one in texts:
            of_text: dict[str, str] = {}
            for word in of_one[:LOOKED_AT]:
                for form in forms_of(word):
                    of_text.setdefault(form, word)
            for form, word in of_text.items():
                holding.setdefault(form, []).append(word)
        fitting = [form for form, own in holding.items() if self._fits(form, own, len(texts), len(holding))]
        if not fitting:
            return None
        best = max(fitting, key=lambda form: (len(form) > 2, len(holding[form]), len(form), form))
        commonest = tuple(word for word, _ in Counter(holding[best]).most_common())
        return Form(best, len(holding[best]), len(texts), commonest)

    def _fits(self, form: str, own: Sequence[str], n_texts: int, n_tried: int) -> bool:
        if len(own) < SHARE * n_texts or not _are_different(form, own, n_texts):
            return False
        share = self._counts[form] / max(self._n_words, 1)
        by_chance = _at_least(len(own), n_texts, 1 - (1 - share) ** LOOKED_AT)
        return by_chance * n_tried * self._n_features <= CHANCE


def _at_least(n: int, n_texts: int, p: float) -> float:
    """The probability that n or more of some texts have what each has with probability p (binomial)."""
    return sum(math.comb(n_texts, k) * p**k * (1 - p) ** (n_texts - k) for k in range(n, n_texts + 1))


def _are_different(form: str, own: Sequence[str], n_texts: int) -> bool:
    """Whether the words go on in different ways; a letter or a character by itself need not."""
    if len(form) == 1 or _is_inside(form):
        return True
    n = len(form) - 1
    begins = form.endswith("-")
    rests = [word[n:] if begins else word[:-n] for word in own]
    kinds = Counter(rest[:2] if begins else rest[-2:] for rest in rests if rest not in INFLECTIONS)
    return len(kinds) >= KINDS and max(kinds.values()) <= MOST_OF_ONE * n_texts

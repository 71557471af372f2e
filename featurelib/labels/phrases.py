"""Texts on which a feature fires → words and phrases that may become its label.

A phrase is one to four words that follow each other with nothing but white space between them, such as "dark matter";
in scripts without spaces, with nothing between them. A phrase that nearly always stands in one longer phrase, such as
"role of dark" in "role of dark matter", is a fragment of that and no candidate.
A candidate's contrast is p·ln(p/q): p is the share of the feature's activation that lies on texts that contain it, q
the share of all texts that contain it. It is 0 for a phrase that is no more frequent there than elsewhere.
"""

from __future__ import annotations

import functools
from array import array
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from featurelib.labels.keywords import LONGEST_LABEL
from featurelib.labels.stop_words import stop_words
from featurelib.labels.words import repeats
from featurelib.language.guess import Languages
from featurelib.language.segmentation import joined, says_something, word_spans, words

LONGEST_PHRASE = 4
LONGEST_WORD = 40
"""Longer unbroken strings, such as hashes, are no words of a label."""
COMMON = 0.5
"""A word of more than half of the texts begins and ends no phrase."""
FRAGMENT = 0.8
"""A phrase is a fragment of a longer one that stands in so many of its texts."""
LEAST_BITS, MOST_BITS = 24, 27
"""There are 2^24 to 2^27 counters (64 to 512 MB) of how many texts contain a phrase, some eight for each word of the
texts; phrases share one where their hashes agree."""
TEXTS_AT_ONCE = 512


class Candidate(NamedTuple):
    """A word or phrase of the texts on which a feature fires."""

    phrase: str
    contrast: float
    """p·ln(p/q), see above."""
    n_texts: int
    """How many of the texts on which the feature fires contain it."""


@dataclass(frozen=True)
class TextWords:
    """The words of some texts as numbers, text after text; -1 stands for punctuation between two words."""

    words: list[str]
    """The words by their numbers, lower-cased; a word that is a stop word in one language only has two numbers."""
    is_stop_word: np.ndarray
    """Whether each of `words` is a stop word in the language of its texts, bool [n_words]."""
    numbers: np.ndarray
    """int32 [n_words_in_all]."""
    starts: np.ndarray
    """Where each text begins in `numbers`, int64 [n_texts + 1]."""

    @classmethod
    def read(cls, texts: Iterable[str], languages: Languages) -> TextWords:
        """Split texts into words; each text has the stop words of its own language."""
        known: dict[tuple[str, bool], int] = {}
        numbers, starts = array("i"), [0]
        for text in texts:
            stop = stop_words(languages.of(text))
            numbers.extend(
                -1 if word is None else known.setdefault((word, word in stop), len(known)) for word in _words(text)
            )
            starts.append(len(numbers))
        is_stop_word = np.array([is_stop for _, is_stop in known], bool)
        of_texts = np.frombuffer(numbers, np.int32) if len(numbers) else np.empty(0, np.int32)
        return cls([word for word, _ in known], is_stop_word, of_texts, np.array(starts, np.int64))

    @property
    def n_texts(self) -> int:
        """The number of texts."""
        return len(self.starts) - 1

    def take(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the numbers of some texts, text after text, and for each number the place of its text in `rows`.

        Each text is followed by a -1, so that no phrase runs from one into the next.
        """
        lengths = self.starts[rows + 1] - self.starts[rows]
        ends = np.cumsum(lengths + 1)
        numbers = np.full(int(ends[-1]) if len(rows) else 0, -1, np.int32)
        inside = np.ones(len(numbers), bool)
        inside[ends - 1] = False
        of_texts = [self.numbers[self.starts[row] : self.starts[row + 1]] for row in rows]
        numbers[inside] = np.concatenate([np.empty(0, np.int32), *of_texts])
        return numbers, np.repeat(np.arange(len(rows)), lengths + 1)


def _words(text: str) -> Iterable[str | None]:
    """The words of a text; None where anything but white space lies between two."""
    text, last = text.lower(), 0
    for start, end in word_spans(text):
        if last and text[last:start].strip():
            yield None
        yield text[start:end]
        last = end


class Phrases:
    """Finds candidates in the texts of `words`; how many texts contain each phrase is counted once."""

    def __init__(self, words: TextWords) -> None:
        self._words = words
        self._usable = np.array([_usable(word) for word in words.words] or [False])
        self._edge = self._usable & ~(words.is_stop_word if len(words.words) else np.array([False]))
        self._edge &= self._shares() <= COMMON
        bits = min(max(LEAST_BITS, (8 * len(words.numbers)).bit_length()), MOST_BITS)
        self._shift = np.uint64(64 - bits)
        self._texts_with = np.zeros(1 << bits, np.int32)
        for start in range(0, words.n_texts, TEXTS_AT_ONCE):
            rows = np.arange(start, min(start + TEXTS_AT_ONCE, words.n_texts))
            keys, texts, _ = self._phrases(rows)
            _, once = np.unique(_mixed(keys ^ texts.astype(np.uint64)), return_index=True)
            np.add.at(self._texts_with, self._cell(keys[once]), 1)

    def _shares(self) -> np.ndarray:
        """The share of the texts that contain each word."""
        n_texts = np.zeros(max(len(self._words.words), 1))
        for start in range(0, self._words.n_texts, TEXTS_AT_ONCE):
            numbers, texts = self._words.take(np.arange(start, min(start + TEXTS_AT_ONCE, self._words.n_texts)))
            pairs = np.unique(numbers.astype(np.int64) * TEXTS_AT_ONCE + texts)
            n_texts += np.bincount(pairs[pairs >= 0] // TEXTS_AT_ONCE, minlength=len(n_texts))
        return n_texts / max(self._words.n_texts, 1)

    def _phrases(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Every phrase of some texts: its hash (uint64), the place of its text in `rows`, and place·4 + its length."""
        numbers, texts = self._words.take(rows)
        known = numbers >= 0
        edge = known & self._edge[numbers]
        inner = known & self._usable[numbers]
        columns = []
        for length in range(1, LONGEST_PHRASE + 1):
            n = len(numbers) - length + 1
            if n <= 0:
                break
            fits = edge[:n] & edge[length - 1 :]
            hashes = np.full(n, length, np.uint64)
            for place in range(length):
                fits &= inner[place : place + n]
                hashes = _mixed(hashes ^ numbers[place : place + n].astype(np.uint64))
            at = np.flatnonzero(fits)
            columns.append((hashes[at], texts[at], at * (LONGEST_PHRASE + 1) + length))
        if not columns:
            return np.empty(0, np.uint64), np.empty(0, np.int64), np.empty(0, np.int64)
        hashes, texts, places = (np.concatenate(column) for column in zip(*columns, strict=True))
        return hashes, texts, places

    def candidates(self, rows: np.ndarray, weights: np.ndarray, most: int) -> list[Candidate]:
        """Return up to `most` phrases of the texts `rows`, int64 [n], the greatest contrast first.

        None says a word twice. `weights` are the feature's activations there, [n]. Of three texts or more, two must
        contain a phrase. Equal contrasts are in the order of the phrases.
        """
        return self.lists(rows, weights, (most,))[0]

    def lists(self, rows: np.ndarray, weights: np.ndarray, sizes: Sequence[int]) -> list[list[Candidate]]:
        """Return the same for several numbers of phrases, ascending; the texts are looked through once."""
        keys, texts, places = self._phrases(rows)
        if not len(keys):
            return [[] for _ in sizes]
        order = np.lexsort((places, texts, keys))
        keys, texts, places = keys[order], texts[order], places[order]
        new_text = np.ones(len(keys), bool)
        new_text[1:] = (keys[1:] != keys[:-1]) | (texts[1:] != texts[:-1])
        keys, texts, places = keys[new_text], texts[new_text], places[new_text]
        begins = np.flatnonzero(np.r_[True, keys[1:] != keys[:-1]])
        share = np.add.reduceat(weights[texts].astype(np.float64), begins) / weights.sum(dtype=np.float64)
        n_here = np.diff(np.r_[begins, len(keys)])
        elsewhere = np.maximum(self._texts_with[self._cell(keys[begins])], n_here) + 0.5
        contrast = share * np.log(share * (self._words.n_texts + 1) / elsewhere)
        best = np.flatnonzero((contrast > 0) & (n_here >= min(2, (len(rows) + 1) // 2)))
        best = best[np.argsort(-contrast[best], kind="stable")]
        numbers, _ = self._words.take(rows)
        phrases: dict[str, Candidate] = {}
        lists, done = [], 0
        for most in sizes:
            for place in best[done : 4 * most]:
                phrase = self._read(numbers, places[begins[place]])
                if phrase:
                    phrases.setdefault(phrase, Candidate(phrase, float(contrast[place]), int(n_here[place])))
            done = 4 * most
            # fragments only of phrases that are returned: otherwise neither would be a candidate
            first = sorted(phrases.values(), key=lambda candidate: (-candidate.contrast, candidate.phrase))[:most]
            lists.append(without_fragments(first))
        return lists

    def _cell(self, keys: np.ndarray) -> np.ndarray:
        return (keys >> self._shift).astype(np.int64)

    def _read(self, numbers: np.ndarray, place: int) -> str | None:
        """The phrase at a place, or None; see `_phrase_of`."""
        at, length = divmod(int(place), LONGEST_PHRASE + 1)
        return _phrase_of(tuple(self._words.words[number] for number in numbers[at : at + length]))


@functools.lru_cache(maxsize=262_144)
def _phrase_of(of_phrase: tuple[str, ...]) -> str | None:
    """Words as a phrase; None where it is too long, would be divided into other words by itself, or repeats one."""
    phrase = joined(list(of_phrase))
    fits = len(phrase) <= LONGEST_LABEL and words(phrase) == list(of_phrase)
    return phrase if fits and not repeats(phrase) else None


def without_fragments(phrases: list[Candidate]) -> list[Candidate]:
    """Return the phrases that do not nearly always stand in one longer phrase of the list."""
    split = {phrase.phrase: tuple(words(phrase.phrase)) for phrase in phrases}
    longest: dict[tuple[str, ...], int] = {}
    for phrase in phrases:
        of_phrase = split[phrase.phrase]
        for length in range(1, len(of_phrase)):
            for start in range(len(of_phrase) - length + 1):
                piece = of_phrase[start : start + length]
                longest[piece] = max(longest.get(piece, 0), phrase.n_texts)
    return [phrase for phrase in phrases if longest.get(split[phrase.phrase], 0) < FRAGMENT * phrase.n_texts]


def _usable(word: str) -> bool:
    """Whether it can be a word of a label: long enough, not too long, with a letter."""
    return says_something(word) and len(word) <= LONGEST_WORD and any(character.isalpha() for character in word)


def _mixed(keys: np.ndarray) -> np.ndarray:
    """Mix the bits of uint64 numbers (Steele's splitmix64)."""
    keys = (keys + np.uint64(0x9E3779B97F4A7C15)) * np.uint64(0xBF58476D1CE4E5B9)
    return (keys ^ (keys >> np.uint64(31))) * np.uint64(0x94D049BB133111EB)

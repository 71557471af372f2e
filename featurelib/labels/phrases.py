"""Texts on which a feature fires → words and phrases that may name it; when two names say the same.

A phrase is one to three words that follow each other without a mark between them, such as "dark matter". A candidate's
contrast is p·ln(p/q): p is the share of the feature's activation that lies on texts holding it, q the share of all
texts that hold it. It is 0 where a phrase is no more frequent than elsewhere.
"""

from __future__ import annotations

import functools
import itertools
import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

WORD = re.compile(r"[^\W_]+(?:[-'’][^\W_]+)*")
LONGEST_PHRASE = 3
LONGEST_WORD = 40
"""Longer unbroken strings (hashes, unspaced scripts) name nothing."""
SHOWN_AT_MOST = 48
"""Characters of a phrase: a name wants to be read at a glance."""
COMMON = 0.5
"""A word of more than half of the texts begins and ends no phrase."""
CELLS = 1 << 24
"""Counters of how many texts hold a phrase; phrases share one where their hashes agree."""
TEXTS_AT_ONCE = 512
NO_ROWS = np.empty(0, np.int64)


class Candidate(NamedTuple):
    """A word or phrase of the texts on which a feature fires."""

    phrase: str
    contrast: float
    """p·ln(p/q), see above."""


@dataclass(frozen=True)
class TextWords:
    """The words of some texts as numbers, text after text; -1 stands where a mark separates two words."""

    words: list[str]
    """The words by their numbers, lower-cased."""
    numbers: np.ndarray
    """int32 [n_words_in_all]."""
    starts: np.ndarray
    """Where each text begins in `numbers`, int64 [n_texts + 1]."""

    @classmethod
    def read(cls, texts: Iterable[str]) -> TextWords:
        """Split texts into words."""
        known: dict[str, int] = {}
        numbers, starts = [np.empty(0, np.int32)], [0]
        for text in texts:
            own = [-1 if word is None else known.setdefault(word, len(known)) for word in _words(text)]
            numbers.append(np.array(own, np.int32))
            starts.append(starts[-1] + len(own))
        return cls(list(known), np.concatenate(numbers), np.array(starts, np.int64))

    @property
    def n_texts(self) -> int:
        """The number of texts."""
        return len(self.starts) - 1

    def take(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the numbers of some texts, one after the other, and for each number the place of its text in `rows`.

        Each text is followed by a -1, so that no phrase runs from one into the next.
        """
        lengths = self.starts[rows + 1] - self.starts[rows]
        ends = np.cumsum(lengths + 1)
        numbers = np.full(int(ends[-1]) if len(rows) else 0, -1, np.int32)
        inside = np.ones(len(numbers), bool)
        inside[ends - 1] = False
        numbers[inside] = np.concatenate(
            [self.numbers[self.starts[row] : self.starts[row + 1]] for row in rows] or [[]]
        )
        return numbers, np.repeat(np.arange(len(rows)), lengths + 1)


def _words(text: str) -> Iterable[str | None]:
    """The words of a text; None where something else than white space lies between two."""
    end = 0
    for match in WORD.finditer(text.lower()):
        if end and text[end : match.start()].strip():
            yield None
        yield match.group()
        end = match.end()


class Phrases:
    """Finds candidates in the texts of `words`, counting once how many texts hold each phrase."""

    def __init__(self, words: TextWords, stop_words: Collection[str]) -> None:
        self._words = words
        self._spoken = np.array([_spoken(word) for word in words.words] or [False])
        stop_words = set(stop_words)
        self._edge = self._spoken & ~np.array([word in stop_words for word in words.words] or [False])
        self._edge &= self._shares() <= COMMON
        self._texts_with = np.zeros(CELLS, np.int32)
        for start in range(0, words.n_texts, TEXTS_AT_ONCE):
            rows = np.arange(start, min(start + TEXTS_AT_ONCE, words.n_texts))
            keys, texts, _ = self._phrases(rows)
            _, once = np.unique(_mixed(keys ^ texts.astype(np.uint64)), return_index=True)
            np.add.at(self._texts_with, _cell(keys[once]), 1)

    def _shares(self) -> np.ndarray:
        """The share of the texts that hold each word."""
        held = np.zeros(max(len(self._words.words), 1))
        for start in range(0, self._words.n_texts, TEXTS_AT_ONCE):
            numbers, texts = self._words.take(np.arange(start, min(start + TEXTS_AT_ONCE, self._words.n_texts)))
            pairs = np.unique(numbers.astype(np.int64) * TEXTS_AT_ONCE + texts)
            held += np.bincount(pairs[pairs >= 0] // TEXTS_AT_ONCE, minlength=len(held))
        return held / max(self._words.n_texts, 1)

    def _phrases(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Every phrase of some texts: its hash (uint64), the place of its text in `rows`, and place·4 + its length."""
        numbers, texts = self._words.take(rows)
        known = numbers >= 0
        edge = known & self._edge[numbers]
        inner = known & self._spoken[numbers]
        found = []
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
            found.append((hashes[at], texts[at], at * (LONGEST_PHRASE + 1) + length))
        if not found:
            return np.empty(0, np.uint64), np.empty(0, np.int64), np.empty(0, np.int64)
        return tuple(np.concatenate(column) for column in zip(*found, strict=True))

    def candidates(self, rows: np.ndarray, weights: np.ndarray, most: int) -> list[Candidate]:
        """Return up to `most` phrases of the texts `rows`, int64 [n], the greatest contrast first.

        `weights` are the feature's activations there, [n]. Of three texts or more a phrase must be in two. Equal
        contrasts are in the order of the phrases.
        """
        keys, texts, places = self._phrases(rows)
        if not len(keys):
            return []
        order = np.lexsort((places, texts, keys))
        keys, texts, places = keys[order], texts[order], places[order]
        new_text = np.ones(len(keys), bool)
        new_text[1:] = (keys[1:] != keys[:-1]) | (texts[1:] != texts[:-1])
        keys, texts, places = keys[new_text], texts[new_text], places[new_text]
        begins = np.flatnonzero(np.r_[True, keys[1:] != keys[:-1]])
        share = np.add.reduceat(weights[texts].astype(np.float64), begins) / weights.sum(dtype=np.float64)
        n_here = np.diff(np.r_[begins, len(keys)])
        elsewhere = np.maximum(self._texts_with[_cell(keys[begins])], n_here) + 0.5
        contrast = share * np.log(share * (self._words.n_texts + 1) / elsewhere)
        kept = np.flatnonzero((contrast > 0) & (n_here >= min(2, (len(rows) + 1) // 2)))
        kept = kept[np.argsort(-contrast[kept], kind="stable")][: 4 * most]
        numbers, _ = self._words.take(rows)
        found = [Candidate(self._read(numbers, places[begins[one]]), float(contrast[one])) for one in kept]
        found = sorted((one for one in found if len(one.phrase) <= SHOWN_AT_MOST), key=lambda one: (-one[1], one[0]))
        return found[:most]

    def _read(self, numbers: np.ndarray, place: int) -> str:
        at, length = divmod(int(place), LONGEST_PHRASE + 1)
        return " ".join(self._words.words[number] for number in numbers[at : at + length])


def _spoken(word: str) -> bool:
    """Whether it can be part of a name: two characters or more, not too long, some letter."""
    return 2 <= len(word) <= LONGEST_WORD and any(one.isalpha() for one in word)


def _mixed(keys: np.ndarray) -> np.ndarray:
    """Mix the bits of uint64 numbers (Steele's splitmix64)."""
    keys = (keys + np.uint64(0x9E3779B97F4A7C15)) * np.uint64(0xBF58476D1CE4E5B9)
    return (keys ^ (keys >> np.uint64(31))) * np.uint64(0x94D049BB133111EB)


def _cell(keys: np.ndarray) -> np.ndarray:
    return (keys >> np.uint64(40)).astype(np.int64)


def whole_words(text: str) -> set[str]:
    """The words of a text, case folded; a word with a hyphen counts as itself and as its parts."""
    folded = {word for word in WORD.findall(text.casefold())}
    return folded | {part for word in folded if "-" in word for part in word.split("-")}


class Holders:
    """Which of some texts hold a keyword: all its words, as whole words of any case, wherever they stand."""

    def __init__(self, texts: Iterable[str], wanted: Iterable[str]) -> None:
        words = set().union(*(WORD.findall(keyword.casefold()) for keyword in wanted))
        rows: dict[str, list[int]] = {}
        self.n_texts = 0
        for row, text in enumerate(texts):
            for word in whole_words(text) & words:
                rows.setdefault(word, []).append(row)
            self.n_texts += 1
        self._rows = {word: np.array(own, np.int64) for word, own in rows.items()}

    def __call__(self, keyword: str) -> np.ndarray:
        """Return bool [n_texts]: which texts hold the keyword."""
        rows = [self._rows.get(word, NO_ROWS) for word in set(WORD.findall(keyword.casefold()))]
        held = np.zeros(self.n_texts, bool)
        if rows:
            held[functools.reduce(np.intersect1d, rows)] = True
        return held


def name_words(label: str) -> frozenset[str]:
    """The words of a name, case folded: two names with the same words are the same name, whatever their order."""
    return frozenset(WORD.findall(label.casefold()))


@functools.lru_cache(maxsize=65_536)
def stem(word: str) -> str:
    """A word without the mark of the plural (English)."""
    if len(word) > 4 and word.endswith("ies"):
        return word[:-3] + "y"
    return word[:-1] if len(word) > 3 and word.endswith("s") and not word.endswith(("ss", "us", "is")) else word


def alike(one: str, other: str) -> bool:
    """Whether two words are forms of one: the same but for a plural, or with the same first five letters and more."""
    one, other = stem(one), stem(other)
    shared = next((at for at, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))
    return one == other or shared >= max(5, 0.55 * max(len(one), len(other)))


def adds(keyword: str, label: Sequence[str]) -> bool:
    """Whether a keyword and each one of a label have words of their own: no "galaxies" beside "galaxy clusters"."""
    words = _parts(keyword)
    for other in label:
        theirs = _parts(other)
        if all(any(alike(a, b) for b in theirs) for a in words) or all(any(alike(a, b) for b in words) for a in theirs):
            return False
    return bool(words)


def repeats(keyword: str) -> bool:
    """Whether a phrase says a word twice, such as "lidar lidars"."""
    return any(alike(one, other) for one, other in itertools.combinations(WORD.findall(keyword.casefold()), 2))


@functools.lru_cache(maxsize=65_536)
def _parts(keyword: str) -> tuple[str, ...]:
    """Its words, case folded; one with a hyphen as its parts."""
    return tuple(part for word in WORD.findall(keyword.casefold()) for part in word.split("-"))


def same_name(label: str) -> frozenset[str]:
    """What two names share that only differ in order, case or plural."""
    return frozenset(stem(word) for word in name_words(label))

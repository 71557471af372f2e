"""A text as numbers: codes of its runs of words (shingles) and of its short sentences."""

from __future__ import annotations

import re
import unicodedata
import zlib
from dataclasses import dataclass
from functools import cache, lru_cache

import numpy as np

CJK = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af"
TOKEN = re.compile(rf"(?P<end>[.!?\n\u3002\uff01\uff1f\u061f\u06d4]+)|[{CJK}]|[^\W_{CJK}]+")
"""Words of all scripts, each Chinese, Japanese or Korean character being one, and the ends of sentences."""
SHINGLE = 8
"""Words of a piece of boilerplate; shorter sentences count as a whole."""
SHORTEST = 3
"""Words of the shortest sentence that counts, and of the shingles by which near copies are recognised."""
LOOKED_AT = 20_000
"""Characters of a text that are read."""
FACTOR = np.uint64(0x9E3779B97F4A7C15)


@dataclass(frozen=True)
class SplitText:
    """One text, split into words."""

    text: str
    """As far as it was read."""
    starts: np.ndarray
    """Where each word begins in `text`, int32 [n_words]."""
    ends: np.ndarray
    """Where it ends."""
    shingles: np.ndarray
    """A code for each different run of 3 words, ascending, uint64; one of all words where there are fewer."""
    segments: np.ndarray
    """A code for each different run of 8 words and each sentence of 3 to 7, ascending, uint64."""
    firsts: np.ndarray
    """The first word of each of `segments`, int32."""
    lengths: np.ndarray
    """Its number of words, int32."""


def split_text(text: str) -> SplitText:
    """Split a text into words; upper case and characters without width make no difference."""
    text = text[:LOOKED_AT]
    starts: list[int] = []
    ends: list[int] = []
    codes: list[int] = []
    sentences: list[tuple[int, int]] = []
    first = 0
    for token in TOKEN.finditer(text):
        if token.lastgroup:
            sentences.append((first, len(codes)))
            first = len(codes)
        else:
            starts.append(token.start())
            ends.append(token.end())
            codes.append(word_code(token.group()))
    sentences.append((first, len(codes)))
    array = np.array(codes, np.uint64)
    return SplitText(
        text, np.array(starts, np.int32), np.array(ends, np.int32), shingles(array), *_segments(array, sentences)
    )


def visible(text: str) -> str:
    """Return a text in Unicode's compatibility form, without characters that have no width."""
    if text.isascii():
        return text
    return _without_width().sub("", unicodedata.normalize("NFKC", text))


@cache
def _without_width() -> re.Pattern[str]:
    letters = "".join(letter for letter in map(chr, range(0x110000)) if unicodedata.category(letter) == "Cf")
    return re.compile(f"[{re.escape(letters)}]+")


def jaccard(first: np.ndarray, second: np.ndarray) -> float:
    """Return |first ∩ second| / |first ∪ second| of different codes; 0 when both are empty."""
    both = len(np.intersect1d(first, second, assume_unique=True))
    either = len(first) + len(second) - both
    return both / either if either else 0.0


def passage(text: SplitText, first: int, last: int, longest: int) -> str:
    """Return the words `first` to `last` (excluded) of a text, on one line, cut at `longest` characters."""
    return " ".join(text.text[text.starts[first] : text.ends[last - 1]].split())[:longest]


@lru_cache(maxsize=200_000)
def word_code(word: str) -> int:
    """Return a 32-bit code of a word; case makes no difference."""
    return zlib.crc32(word.casefold().encode("utf-8", "surrogatepass"))


def runs_of(codes: np.ndarray, length: int) -> np.ndarray:
    """Return a code for each run of `length` words, in order, uint64; along the first axis of `codes`."""
    n = max(len(codes) - length + 1, 0)
    joined = np.full((n, *codes.shape[1:]), length, np.uint64)
    for place in range(length if n else 0):
        joined *= FACTOR
        joined += codes[place : place + n]
        joined += np.uint64(1)
        joined ^= joined >> np.uint64(29)
    return joined


def shingles(codes: np.ndarray) -> np.ndarray:
    """Return the different codes of runs of 3 words, ascending; of all words where there are fewer."""
    return np.unique(runs_of(codes, min(SHORTEST, max(len(codes), 1))))


def _segments(codes: np.ndarray, sentences: list[tuple[int, int]]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    long = runs_of(codes, SHINGLE)
    short = [(first, last) for first, last in sentences if SHORTEST <= last - first < SHINGLE]
    codes_of_segments = [long, *(runs_of(codes[first:last], last - first) for first, last in short)]
    firsts = np.array([*range(len(long)), *(first for first, _ in short)], np.int32)
    lengths = np.array([*[SHINGLE] * len(long), *(last - first for first, last in short)], np.int32)
    segments, place = np.unique(np.concatenate(codes_of_segments), return_index=True)
    return segments, firsts[place], lengths[place]

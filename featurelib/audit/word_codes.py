"""The words of many texts at a time, as arrays: what `split_text` finds in each, without a loop over the words."""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np

from featurelib.audit.shingles import CJK, LOOKED_AT, SHINGLE, SHORTEST, TOKEN, runs_of, shingles, word_code

CHARACTERS = 500_000
"""Characters that are split together: their arrays are some 30 MB."""
LONGEST = 40
"""Characters of a word whose code is computed beside others'."""
OTHER, LETTER, END, SINGLE = range(4)
"""What a character is: none of these, part of a word, the end of a sentence, a word of its own."""
ASCII = 128


@dataclass(frozen=True)
class WordCodes:
    """The words of some texts, one text after the other."""

    codes: np.ndarray
    """As in `split_text`, uint64 [n_words]."""
    whose: np.ndarray
    """The place of each word's text among the texts, int32."""
    sentences: np.ndarray
    """Where each sentence that has words begins in `codes`, int64; the last value is n_words."""


def in_portions(texts: Sequence[str]) -> Iterator[tuple[int, list[str]]]:
    """Yield texts as far as they are read, about CHARACTERS at a time, and the place of the first of them."""
    first, portion, size = 0, [], 0
    for place, text in enumerate(texts):
        portion.append(text[:LOOKED_AT])
        size += len(portion[-1]) + 1
        if size >= CHARACTERS:
            yield first, portion
            first, portion, size = place + 1, [], 0
    if portion:
        yield first, portion


def read_words(texts: Sequence[str]) -> WordCodes:
    """Split some texts, which are no longer than LOOKED_AT, into words."""
    joined = "\n".join(texts)
    letters = _letters(joined)
    kinds = _kinds()[letters]
    starts, ends = _words(kinds)
    codes = _codes(joined, letters, starts, ends)
    after = np.cumsum([len(text) + 1 for text in texts]) if texts else np.empty(0, np.int64)
    counts = np.diff(np.searchsorted(starts, after), prepend=0)
    whose = np.repeat(np.arange(len(texts), dtype=np.int32), counts)
    firsts = np.searchsorted(starts, np.flatnonzero(kinds == END))
    return WordCodes(codes, whose, np.unique(np.concatenate([[0], firsts, [len(codes)]])))


def segments_of(words: WordCodes) -> tuple[np.ndarray, np.ndarray]:
    """Return the code of each run of 8 words and each sentence of 3 to 7, uint64 [n], and the place of its text, int32.

    A text may have a code twice; the codes are in no order.
    """
    codes, whose = words.codes, words.whose
    n = max(len(codes) - SHINGLE + 1, 0)
    within = np.flatnonzero(whose[:n] == whose[len(whose) - n :])
    found, owners = [runs_of(codes, SHINGLE)[within]], [whose[within]]
    lengths = np.diff(words.sentences)
    for length in range(SHORTEST, SHINGLE):
        firsts = words.sentences[:-1][lengths == length]
        found.append(runs_of(codes[firsts[:, None] + np.arange(length)].T, length)[0])
        owners.append(whose[firsts])
    return np.concatenate(found), np.concatenate(owners)


def shingles_of(words: WordCodes, n_texts: int) -> list[np.ndarray]:
    """Return each text's codes of runs of 3 words as `split_text` has them: ascending and different, uint64."""
    runs = runs_of(words.codes, SHORTEST)
    ends = np.cumsum(np.bincount(words.whose, minlength=n_texts)).tolist()
    spans = zip([0, *ends], ends, strict=False)
    return [
        np.unique(runs[first : last - SHORTEST + 1]) if last - first >= SHORTEST else shingles(words.codes[first:last])
        for first, last in spans
    ]


def _letters(joined: str) -> np.ndarray:
    """The characters as numbers: uint8 where all are ASCII, which is faster, else uint32."""
    if joined.isascii():
        return np.frombuffer(joined.encode("ascii"), np.uint8)
    return np.frombuffer(joined.encode("utf-32-le", "surrogatepass"), np.uint32)


@cache
def _kinds() -> np.ndarray:
    """What each character is, uint8 [0x110000], by the pattern that splits one text."""
    every = "".join(map(chr, range(0x110000)))
    kinds = np.full(len(every), OTHER, np.uint8)
    for token in TOKEN.finditer(every):
        kinds[token.start() : token.end()] = END if token.lastgroup else LETTER
    for token in re.finditer(f"[{CJK}]", every):
        kinds[token.start()] = SINGLE
    return kinds


def _words(kinds: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where the words begin and end, int64 [n_words]."""
    letter = np.zeros(len(kinds) + 2, np.int8)
    letter[1:-1] = kinds == LETTER
    edges = np.diff(letter)
    starts, ends = np.flatnonzero(edges == 1), np.flatnonzero(edges == -1)
    single = np.flatnonzero(kinds == SINGLE)
    if not len(single):
        return starts, ends
    return np.sort(np.concatenate([starts, single])), np.sort(np.concatenate([ends, single + 1]))


def _codes(joined: str, letters: np.ndarray, starts: np.ndarray, ends: np.ndarray) -> np.ndarray:
    """The code of each word, uint64: short words of ASCII side by side, the others one by one."""
    if not len(starts):
        return np.empty(0, np.uint64)
    lengths = ends - starts
    apart = lengths > LONGEST
    if letters.dtype != np.uint8:
        foreign = np.flatnonzero(letters >= ASCII)
        places = np.searchsorted(starts, foreign, side="right") - 1
        inside = (places >= 0) & (foreign < ends[places])
        apart[places[inside]] = True
        letters = np.minimum(letters, ASCII).astype(np.uint8)
    codes = np.empty(len(starts), np.uint64)
    near = np.flatnonzero(~apart)
    codes[near] = _checksums(_lower()[letters], starts[near], lengths[near])
    for place in np.flatnonzero(apart).tolist():
        codes[place] = word_code(joined[starts[place] : ends[place]])
    return codes


def _checksums(letters: np.ndarray, starts: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """Zlib's crc32 of runs of bytes, uint32: one byte of all runs at a time, the longest runs first."""
    order = np.argsort(-lengths.astype(np.int16), kind="stable")
    longer = len(lengths) - np.cumsum(np.bincount(lengths, minlength=1))
    table, sorted_starts = _crc_table(), starts[order]
    sums = np.full(len(starts), 0xFFFFFFFF, np.uint32)
    for place, n in enumerate(longer.tolist()):
        own = sums[:n]
        own[:] = table[(own ^ letters[sorted_starts[:n] + place]) & np.uint32(255)] ^ (own >> np.uint32(8))
    codes = np.empty_like(sums)
    codes[order] = ~sums
    return codes


@cache
def _crc_table() -> np.ndarray:
    """The table of crc32, uint32 [256]: what one byte makes of a register of zeros."""
    ones, start = 0xFFFFFFFF, 0xFFFFFFFF
    # crc32(b) = ~(table[(start ^ b) & 255] ^ (start >> 8))
    sums = [(zlib.crc32(bytes([byte])) ^ ones) ^ (start >> 8) for byte in range(256)]
    return np.array([sums[byte ^ 255] for byte in range(256)], np.uint32)


@cache
def _lower() -> np.ndarray:
    """The small letter of each byte, uint8 [256]; of ASCII letters, casefold does no more."""
    return np.array([ord(chr(byte).lower()) if byte < ASCII else byte for byte in range(256)], np.uint8)

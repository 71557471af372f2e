"""Of a token run: the words on which each feature fires, which name it where a few of them hold much of its activation.

Counted on the naming texts alone. A token counts for the whole word that it is a part of, and a token of signs for
itself; forms of one word count together.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from featurelib.labels.keywords import LABEL_KEYWORDS
from featurelib.labels.words import adds
from featurelib.schema import TOKEN_BY_FEATURE, TOKENS
from featurelib.storage.activation_rows import read_rows
from featurelib.storage.parts.part_files import read_part
from featurelib.storage.runs import Generation
from featurelib.storage.texts import read_texts

WORD = re.compile(r"\w+(?:[-'’]\w+)*")
MOST = 8
"""Words of a feature that are kept."""
LOOKED_AT = 40
"""Words among which forms of one word are joined."""
OWN_SHARE = 0.05
"""A word of a name holds at least so much of the feature's activation."""
TOGETHER = 0.12
"""So much the words of a name hold together; where they hold less, the feature is not named by its words."""
LIFT = 2.0
"""A word's share of the feature's activation, divided by its share of the corpus' tokens, is at least this."""
ALTERNATIVES = 24


class TokenWord(NamedTuple):
    """A word on which a feature fires."""

    word: str
    share: float
    """Its share of the sum of the feature's activations on tokens of the naming texts."""


class _Spoken(NamedTuple):
    """The words of the tokens of some texts."""

    offsets: np.ndarray
    """Where the tokens of each text begin, by its row, int64."""
    word_ids: np.ndarray
    """The word of each token, int64; -1 for white space."""
    words: list[str]


def read_token_words(generation: Generation, text_ids: np.ndarray, n_features: int) -> dict[int, list[TokenWord]]:
    """Return the words on which each feature fires on some texts, the largest share first; not those without any."""
    if not len(text_ids):
        return {}
    spoken = _read_words(generation, text_ids)
    of_corpus = np.bincount(spoken.word_ids[spoken.word_ids >= 0], minlength=len(spoken.words)) / len(spoken.word_ids)
    found: dict[int, list[TokenWord]] = {}
    for feature_id, word_ids, activations in _fired(generation, text_ids, spoken, n_features):
        sums = np.bincount(word_ids, activations, len(spoken.words))
        shares = sums / sums.sum()
        best = np.argsort(-shares, kind="stable")[:LOOKED_AT]
        best = best[shares[best] >= LIFT * of_corpus[best]]
        joined = _join_forms([TokenWord(spoken.words[word], float(shares[word])) for word in best.tolist()])
        if joined:
            found[feature_id] = joined[:MOST]
    return found


def token_names(words: list[TokenWord]) -> list[tuple[float, list[str]]]:
    """Return names of a feature by its words, the best first, with their shares; none where no few words hold enough.

    The first has the words that hold a twentieth each, at most three; the others serve where another feature has it.
    """
    strong = [word for word in words if word.share >= OWN_SHARE][:LABEL_KEYWORDS]
    if sum(word.share for word in strong) < TOGETHER:
        return []
    names = [strong]
    for size in range(1, LABEL_KEYWORDS + 1):
        names += [list(several) for several in itertools.combinations(words, size) if words[0] in several]
    weighed = [(sum(word.share for word in name), [word.word for word in name]) for name in names]
    first, others = weighed[0], sorted(weighed[1:], key=lambda name: -name[0])
    return [first, *(name for name in others if name[1] != first[1])][:ALTERNATIVES]


def _join_forms(words: list[TokenWord]) -> list[TokenWord]:
    """The words with the shares of their other forms added to the most frequent one."""
    joined: list[TokenWord] = []
    for word in words:
        same = [place for place, other in enumerate(joined) if _alike(word.word, other.word)]
        if same:
            joined[same[0]] = joined[same[0]]._replace(share=joined[same[0]].share + word.share)
        else:
            joined.append(word)
    return sorted(joined, key=lambda word: -word.share)


def _alike(first: str, second: str) -> bool:
    is_word = WORD.search(first) and WORD.search(second)
    return not adds(first, [second]) if is_word else first == second


def _read_words(generation: Generation, text_ids: np.ndarray) -> _Spoken:
    known: dict[str, int] = {}
    spelled: dict[str, str] = {}
    counts, word_ids = [], []
    for text, starts, ends in _texts(generation, text_ids):
        spans = [(match.start(), match.end()) for match in WORD.finditer(text)]
        first_ends = np.array([end for _, end in spans], np.int64)
        at = np.searchsorted(first_ends, starts, side="right")
        for place, start, end in zip(at.tolist(), starts.tolist(), ends.tolist(), strict=True):
            # a token may begin with the space before its word
            inside = place < len(spans) and spans[place][0] < end
            word = text[slice(*spans[place])] if inside else text[start:end].strip()
            folded = word.casefold()
            spelled.setdefault(folded, word)
            word_ids.append(known.setdefault(folded, len(known)) if word else -1)
        counts.append(len(starts))
    offsets = np.concatenate([[0], np.cumsum(counts, dtype=np.int64)])
    return _Spoken(offsets, np.array(word_ids, np.int64), [spelled[folded] for folded in known])


def _texts(generation: Generation, text_ids: np.ndarray) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    """Each of some texts with the first and last characters of its tokens."""
    rows: list[tuple[np.ndarray, np.ndarray]] = [(np.empty(0, np.int32), np.empty(0, np.int32))] * len(text_ids)
    for path in generation.parts(TOKENS):
        part = read_part(path, ["text_id", "position", "start", "end"])
        part = part.sort_by([("text_id", "ascending"), ("position", "ascending")])
        ids, first = np.unique(part["text_id"].to_numpy(), return_index=True)
        last = np.append(first[1:], part.num_rows)
        starts, ends = part["start"].to_numpy(), part["end"].to_numpy()
        for text_id, begin, end in zip(ids.tolist(), first.tolist(), last.tolist(), strict=True):
            row = int(np.searchsorted(text_ids, text_id))
            if row < len(text_ids) and text_ids[row] == text_id:
                rows[row] = starts[begin:end], ends[begin:end]
    for text, (starts, ends) in zip(read_texts(generation, text_ids), rows, strict=True):
        yield text, starts, ends


def _fired(
    generation: Generation, text_ids: np.ndarray, spoken: _Spoken, n_features: int
) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
    """Each feature that fires on the texts, with the words and activations of the tokens on which it does."""
    for path in generation.parts(TOKEN_BY_FEATURE):
        part = read_rows(path)
        row = np.minimum(np.searchsorted(text_ids, part.text_ids), len(text_ids) - 1)
        part, row = part.take(text_ids[row] == part.text_ids), row[text_ids[row] == part.text_ids]
        words = spoken.word_ids[spoken.offsets[row] + part.positions]
        part, words = part.take(words >= 0), words[words >= 0]
        edges = np.searchsorted(part.feature_ids, np.arange(n_features + 1))
        for feature_id in np.flatnonzero(np.diff(edges)).tolist():
            own = slice(edges[feature_id], edges[feature_id + 1])
            yield feature_id, words[own], part.activations[own]

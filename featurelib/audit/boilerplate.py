"""Boilerplate: the passage that the texts of a feature have in common and the corpus has not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from featurelib.audit.shingles import SplitText, passage

SEGMENT_TEXTS = 3
"""Boilerplate is in so many different texts at least."""
LONGEST_DETAIL = 80
"""Characters of a passage that are kept."""


@dataclass(frozen=True)
class Segment:
    """The passage that most stands out among the texts of one feature."""

    k: int
    """How many of the different texts have it; 0 when no passage is in SEGMENT_TEXTS of them."""
    n: int
    """How many different texts were compared."""
    expected: float
    """The share of the corpus's texts that have it."""
    passage: str
    """Its beginning, as it stands in the first of these texts."""


@dataclass(frozen=True)
class CorpusSegments:
    """How often passages occur in a sample of the corpus."""

    codes: np.ndarray
    """Of the passages, ascending, uint64."""
    shares: np.ndarray
    """The share of the sample's texts that have each, float64."""

    @classmethod
    def of(cls, texts: Sequence[SplitText]) -> CorpusSegments:
        """Count them."""
        codes, counts = _count(texts)
        return cls(codes, counts / max(len(texts), 1))

    def share(self, codes: np.ndarray) -> np.ndarray:
        """Return the share of the sample's texts that have each of `codes`, 0 for one that is in none."""
        if not len(self.codes):
            return np.zeros(len(codes))
        place = np.minimum(np.searchsorted(self.codes, codes), len(self.codes) - 1)
        return np.where(self.codes[place] == codes, self.shares[place], 0.0)


@dataclass(frozen=True)
class StandsOut:
    """The segments that stand out most among the texts of one feature, all of them equally."""

    n: int
    """How many different texts were compared."""
    place: int
    """The first text that has one of them; −1 when none is in SEGMENT_TEXTS texts."""
    codes: np.ndarray
    """Of the segments, ascending, uint64."""
    counts: np.ndarray
    """How many of the texts have each, int64."""
    shares: np.ndarray
    """The share of the corpus's texts that have each, float64."""


def stands_out(segments: Sequence[np.ndarray], corpus: CorpusSegments) -> StandsOut:
    """Find the segments whose share among different texts of a feature is furthest above their share of the corpus.

    `segments` are those of each text, ascending; codes that are in fewer than SEGMENT_TEXTS of them may be left out.
    """
    codes, counts = np.unique(np.concatenate([np.empty(0, np.uint64), *segments]), return_counts=True)
    often = counts >= SEGMENT_TEXTS
    codes, counts = codes[often], counts[often]
    shares = corpus.share(codes)
    if not len(codes):
        return StandsOut(len(segments), -1, codes, counts, shares)
    excess = counts / len(segments) - shares
    best = np.flatnonzero(excess == excess.max())
    holds = (place for place, own in enumerate(segments) if np.isin(own, codes[best]).any())
    return StandsOut(len(segments), next(holds), codes[best], counts[best], shares[best])


def segment_of(found: StandsOut, text: SplitText | None) -> Segment:
    """Return the passage that stands out, as it is in the text at `found.place`; None where there is none."""
    if text is None:
        return Segment(0, found.n, 0.0, "")
    places = np.flatnonzero(np.isin(text.segments, found.codes))
    first = int(places[np.argmin(text.firsts[places])])
    chosen = int(np.searchsorted(found.codes, text.segments[first]))
    passed = _whole_passage(text, places, first)
    return Segment(int(found.counts[chosen]), found.n, float(found.shares[chosen]), passed)


def _whole_passage(text: SplitText, places: np.ndarray, first: int) -> str:
    """The passage from the segment `first` on, through those of `places` that overlap it."""
    start, last = int(text.firsts[first]), int(text.firsts[first] + text.lengths[first])
    for place in places[np.argsort(text.firsts[places])]:
        if text.firsts[place] <= last:
            last = max(last, int(text.firsts[place] + text.lengths[place]))
    return passage(text, start, last, LONGEST_DETAIL)


def _count(texts: Sequence[SplitText]) -> tuple[np.ndarray, np.ndarray]:
    """The segments of some texts, ascending, and how many of the texts have each."""
    segments = [np.empty(0, np.uint64), *(text.segments for text in texts)]
    return np.unique(np.concatenate(segments), return_counts=True)

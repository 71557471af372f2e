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


def common_segment(texts: Sequence[SplitText], corpus: CorpusSegments) -> Segment:
    """Find the passage whose share among different texts of a feature is furthest above its share of the corpus."""
    codes, counts = _count(texts)
    often = counts >= SEGMENT_TEXTS
    if not often.any():
        return Segment(0, len(texts), 0.0, "")
    codes, counts = codes[often], counts[often]
    shares = corpus.share(codes)
    excess = counts / len(texts) - shares
    best = codes[excess == excess.max()]
    for text in texts:
        places = np.flatnonzero(np.isin(text.segments, best))
        if len(places):
            first = places[np.argmin(text.firsts[places])]
            chosen = int(np.flatnonzero(codes == text.segments[first])[0])
            return Segment(
                int(counts[chosen]), len(texts), float(shares[chosen]), _whole_passage(text, places, int(first))
            )
    raise AssertionError("a segment that was counted is in no text")


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

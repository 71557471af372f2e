"""What texts say about the candidates of a feature's label: cosines, words, activations, and worth by them.

What a combination of candidates is worth on some texts is

    2·(AUROC + AP)/2 of resemblance + ½·AP of words + ½·coverage

Resemblance is the cosine of the text to the mean of the candidates' unit embeddings; words count how many of the
candidates a text holds; coverage is the share of the feature's fifty strongest texts that hold any of them. The
constants were found on the demo's texts.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from featurelib.labels.keywords import LABEL_KEYWORDS
from featurelib.stats import Agreement, Scores, agreement_of_tallies

RESEMBLANCE, WORDS, COVERAGE = 2.0, 0.5, 0.5
"""The weights in the formula above."""
COVERED = 50
"""The strongest texts of which coverage is the share."""

Combination = tuple[int, ...]
"""The places of the keywords of a label among the candidates, ascending."""


@dataclass(frozen=True)
class Evidence:
    """What some texts say about a feature's candidates."""

    cosines: np.ndarray | None
    """Of each candidate to each text, float32 [n_candidates, n]; None without an embedder."""
    contains: np.ndarray
    """Which texts contain each candidate, bool [n_candidates, n]."""
    activations: np.ndarray
    """The feature's on each text, float32 [n]."""

    @cached_property
    def fires(self) -> np.ndarray:
        """On which texts the feature fires, bool [n]."""
        return self.activations > 0

    def strongest(self, most: int) -> np.ndarray:
        """Return the places of up to `most` texts on which the feature fires, the strongest first."""
        places = np.flatnonzero(self.fires)
        return np.asarray(places[np.argsort(-self.activations[places], kind="stable")][:most])

    def take(self, places: np.ndarray) -> Evidence:
        """Return the same about some of the candidates."""
        cosines = None if self.cosines is None else self.cosines[places]
        taken = Evidence(cosines, self.contains[places], self.activations)
        if "alone" in vars(self):  # measured once, they need not be measured again
            vars(taken)["scores"] = self.scores.take(places)
            vars(taken)["alone"] = Agreement(*(values[places] for values in self.alone))
        return taken

    def with_cosines(self, cosines: np.ndarray | None) -> Evidence:
        """Return the same with other cosines."""
        return Evidence(cosines, self.contains, self.activations)

    def join_words(self, other: Evidence) -> Evidence:
        """Return the evidence of both sets of texts about the same candidates, without cosines."""
        pairs = ((self.contains, other.contains), (self.activations, other.activations))
        return Evidence(None, *(np.concatenate(pair, axis=-1) for pair in pairs))

    @cached_property
    def scores(self) -> Scores:
        """The cosines of each candidate; without an embedder what it contains."""
        scores = self.contains.astype(np.float32) if self.cosines is None else self.cosines
        return Scores.of(scores, self.fires)

    @cached_property
    def alone(self) -> Agreement:
        """How well each candidate alone predicts firing."""
        return self.scores.agreement()

    def worth(self, combinations: Sequence[Combination]) -> np.ndarray | None:
        """The worth of combinations, float64 [n]; they are all of one candidate, or have no more than 16 in all.

        None where it cannot be measured: the feature fires on none of the texts, or on all.
        """
        if not self.fires.any() or self.fires.all():
            return None
        single = all(len(combination) == 1 for combination in combinations)
        members = (
            np.array([place for (place,) in combinations]) if single else _members(combinations, len(self.contains))
        )
        by_words = agreement_of_tallies(*(self._tally_singles(members) if single else self._tally(members)))
        if self.cosines is None:
            resembles = by_words
        elif single:
            resembles = Agreement(*(values[members] for values in self.alone))
        else:
            resembles = self._resembling(combinations)
        strongest = self.contains[:, self.strongest(COVERED)]
        held = strongest[members] if single else members @ strongest.astype(np.int64) > 0
        worth: np.ndarray = RESEMBLANCE * (resembles.auroc + resembles.ap) / 2
        worth += WORDS * by_words.ap + COVERAGE * held.mean(axis=1)
        return worth

    @cached_property
    def n_holding(self) -> tuple[np.ndarray, np.ndarray]:
        """How many of the firing texts hold each candidate, and how many of all."""
        return self.contains[:, self.fires].sum(axis=1), np.count_nonzero(self.contains, axis=1)

    def _tally_singles(self, places: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """How many firing texts, and how many others, hold each candidate not and once, int64 [n, 2]."""
        n_fires = int(self.fires.sum())
        hits, holding = (values[places] for values in self.n_holding)
        n_others = len(self.fires) - n_fires
        return np.stack([n_fires - hits, hits], 1), np.stack([n_others - holding + hits, holding - hits], 1)

    def _tally(self, members: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """How many firing texts, and how many others, hold 0, 1, 2… members of each combination, int64 [n, 4]."""
        patterns, of_hits, of_all = self._patterns
        n_held = members @ patterns
        tallies = [
            np.stack([np.where(n_held == value, counts, 0).sum(axis=1) for value in range(LABEL_KEYWORDS + 1)], 1)
            for counts in (of_hits, of_all - of_hits)
        ]
        return tallies[0], tallies[1]

    @cached_property
    def _patterns(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Which candidates texts hold together, int64 [n_candidates, n_patterns], and how many firing and all do so."""
        codes = (1 << np.arange(len(self.contains), dtype=np.int64)) @ self.contains
        distinct, of_all = np.unique(codes, return_counts=True)
        of_hits = np.bincount(np.searchsorted(distinct, codes[self.fires]), minlength=len(distinct))
        return (distinct >> np.arange(len(self.contains))[:, None]) & 1, of_hits, of_all

    def _resembling(self, combinations: Sequence[Combination]) -> Agreement:
        """How well the sums of cosines predict firing: the sum ranks texts as the cosine to the mean does."""
        sums = [
            np.stack([functools.reduce(np.add, scores[list(combination)]) for combination in combinations])
            for scores in self.scores
        ]
        return Scores(*sums).agreement()


def _members(combinations: Sequence[Combination], n_candidates: int) -> np.ndarray:
    """Which candidates each combination has, int64 of 0 and 1, [n, n_candidates]."""
    members = np.zeros((len(combinations), n_candidates), np.int64)
    for row, combination in enumerate(combinations):
        members[row, list(combination)] = 1
    return members

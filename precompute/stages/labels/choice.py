"""Candidates → a feature's label: which one to three keywords together tell best on which texts it fires.

The naming texts give the candidates and a short list of them; the choosing texts choose. What is compared
is a combination's worth: the mean of AUROC and average precision of "the text resembles it" (its cosine to the mean of
the keywords' unit embeddings), half the AUROC of "the text holds its words", a quarter of the AUROC among the texts on
which the feature or one of its ten nearest fires, and half a hundredth off for every further keyword. The constants
were found on other corpora than the demo's.
"""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from featurelib.labels.keywords import LABEL_KEYWORDS, SEPARATOR
from featurelib.labels.words import adds, label_stems
from featurelib.stats import auroc_and_ap, auroc_of_counts
from precompute.stages.labels.candidates import Named

SHORT_LIST = 16
BEAM = 5
"""Combinations that are tried with one keyword more."""
MOST_WORDS = 6
"""Words of a label in all."""
ALTERNATIVES = 24
"""Labels that are kept for when a better one is another feature's."""
HOLDS, APART, FURTHER = 0.5, 0.25, 0.005
"""What holding the words, standing apart from the nearest features, and each further keyword count."""
PRIOR = 20
"""So many firing choosing texts count as much as all naming texts: few say little by themselves."""


@dataclass(frozen=True)
class Looked:
    """What one part of the texts says of a feature's candidates."""

    cosines: np.ndarray | None
    """Of each candidate to each text, float32 [n_candidates, n]; None without an embedder."""
    held: np.ndarray
    """Which texts hold each candidate, float32 of 0 and 1, [n_candidates, n]."""
    fires: np.ndarray
    """bool [n]."""
    contested: np.ndarray
    """Where the feature or one of its nearest fires, bool [n]."""

    def take(self, chosen: np.ndarray) -> Looked:
        """Return the same of some of the candidates."""
        cosines = None if self.cosines is None else self.cosines[chosen]
        return Looked(cosines, self.held[chosen], self.fires, self.contested)

    def worth(self, members: np.ndarray) -> np.ndarray | None:
        """The worth of combinations, float64 [n]; `members` is float32 of 0 and 1, [n, n_candidates].

        None where it cannot be told: the feature fires on none of the texts, or on all.
        """
        if not self.fires.any() or self.fires.all():
            return None
        held = members @ self.held
        scores = held if self.cosines is None else members @ self.cosines
        found = auroc_and_ap(scores, self.fires)
        worth = (found.auroc + found.ap) / 2
        if self.cosines is not None:
            worth += HOLDS * auroc_of_counts(held, self.fires)
        rivals = self.fires[self.contested]
        if not rivals.all():
            worth += APART * auroc_and_ap(scores[:, self.contested], rivals).auroc
        return worth - FURTHER * (members.sum(axis=1) - 1)


class Weighed(NamedTuple):
    """A candidate with its measures on the choosing texts, by itself."""

    keyword: str
    origin: str
    auroc: float | None
    ap: float | None


class Choice(NamedTuple):
    """What a feature may be called."""

    alternatives: list[tuple[float, list[str]]]
    """Worth and keywords, the best first; no two are the same name."""
    weighed: list[Weighed]
    """The short list, the best first."""


def short_list(named: Looked) -> np.ndarray:
    """The places of the candidates of the greatest worth on the named texts; the first ones where that is unknown."""
    worth = named.worth(np.eye(len(named.held), dtype=np.float32))
    if worth is None:
        return np.arange(min(SHORT_LIST, len(named.held)))
    return np.argsort(-worth, kind="stable")[:SHORT_LIST]


def choose(candidates: Sequence[Named], named: Looked, chosen: Looked) -> Choice:
    """Find the best combinations of a feature's short list, which two parts of the texts have been asked about."""
    n_fires = int(chosen.fires.sum())

    def worth(combinations: Sequence[Combination]) -> np.ndarray:
        members = np.zeros((len(combinations), len(candidates)), np.float32)
        for row, combination in enumerate(combinations):
            members[row, list(combination)] = 1
        told, prior = chosen.worth(members), named.worth(members)
        if told is None or prior is None:
            known = prior if told is None else told
            return np.zeros(len(members)) if known is None else known
        return (n_fires * told + PRIOR * prior) / (n_fires + PRIOR)

    found = _search([one.keyword for one in candidates], worth)
    alone = [found[place,] for place in range(len(candidates))]
    return Choice(_alternatives(candidates, found, alone), _weighed(candidates, chosen, alone))


Combination = tuple[int, ...]


def _search(keywords: Sequence[str], worth: Callable[[Sequence[Combination]], np.ndarray]) -> dict[Combination, float]:
    """The worth of every keyword, and of combinations grown from the best ones, by the places of their keywords."""
    fits = np.zeros((len(keywords), len(keywords)), bool)
    for one, other in itertools.combinations(range(len(keywords)), 2):
        fits[one, other] = fits[other, one] = adds(keywords[one], [keywords[other]])
    lengths = [len(keyword.split()) for keyword in keywords]
    level: list[Combination] = [(place,) for place in range(len(keywords))]
    found: dict[Combination, float] = {}
    while level:
        found |= dict(zip(level, worth(level).tolist(), strict=True))
        best = sorted(level, key=lambda one: (-found[one], one))[:BEAM]
        level = sorted({grown for one in best for grown in _grown(one, fits, lengths)} - found.keys())
    return found


def _grown(combination: Combination, fits: np.ndarray, lengths: Sequence[int]) -> list[Combination]:
    """The combination with one keyword more, where that adds a word and leaves it short."""
    if len(combination) == LABEL_KEYWORDS:
        return []
    room = MOST_WORDS - sum(lengths[place] for place in combination)
    others = np.flatnonzero(fits[:, combination].all(axis=1))
    return [tuple(sorted((*combination, place))) for place in others.tolist() if lengths[place] <= room]


def _alternatives(
    candidates: Sequence[Named], found: dict[Combination, float], alone: Sequence[float]
) -> list[tuple[float, list[str]]]:
    kept: dict[frozenset[str], tuple[float, list[str]]] = {}
    for combination in sorted(found, key=lambda one: (-found[one], one)):
        order = sorted(combination, key=lambda place: (-alone[place], place))
        keywords = [candidates[place].keyword for place in order]
        kept.setdefault(label_stems(" ".join(keywords)), (found[combination], keywords))
        if len(kept) == ALTERNATIVES:
            break
    return list(kept.values())


def _weighed(candidates: Sequence[Named], chosen: Looked, alone: Sequence[float]) -> list[Weighed]:
    told = auroc_and_ap(chosen.held if chosen.cosines is None else chosen.cosines, chosen.fires)
    order = sorted(range(len(candidates)), key=lambda place: (-alone[place], place))
    return [Weighed(*candidates[place], _known(told.auroc[place]), _known(told.ap[place])) for place in order]


def _known(value: float) -> float | None:
    return None if np.isnan(value) else float(value)


def share_out(choices: dict[int, list[tuple[float, list[str]]]]) -> dict[int, list[str]]:
    """Give each feature a name of its own, as far as there are enough: of two that want one, the greater worth has it.

    Names that differ in order, case or plural only count as one. A feature whose alternatives are all taken keeps its
    first.
    """
    waiting = [(-names[0][0], feature_id, 0) for feature_id, names in choices.items() if names]
    heapq.heapify(waiting)
    taken: set[frozenset[str]] = set()
    given: dict[int, list[str]] = {}
    while waiting:
        _, feature_id, number = heapq.heappop(waiting)
        names = choices[feature_id]
        name = label_stems(SEPARATOR.join(names[number][1]))
        if name not in taken:
            taken.add(name)
            given[feature_id] = names[number][1]
        elif number + 1 < len(names):
            heapq.heappush(waiting, (-names[number + 1][0], feature_id, number + 1))
        else:
            given[feature_id] = names[0][1]
    return given

"""Candidates → a feature's label: which one to three keywords together best predict on which texts it fires.

Candidates come from the naming texts, which also make a short list of them; the choosing texts decide. A combination's
worth is the mean of AUROC and average precision of its similarity to the text (the cosine to the mean of the keywords'
unit embeddings), plus half the AUROC of how many of its keywords the text contains, plus a quarter of the AUROC among
the texts on which the feature or one of its ten nearest fires, less half a hundredth for every further keyword. These
constants were found on other corpora than the demo's.
"""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from featurelib.labels.keywords import LABEL_KEYWORDS, SEPARATOR, is_short
from featurelib.labels.words import adds, label_stems
from featurelib.stats import auroc_and_ap, auroc_of_counts

SHORT_LIST = 16
BEAM = 5
"""Combinations to which a further keyword is added."""
MOST_WORDS = 6
"""Words of a label in all."""
ALTERNATIVES = 24
"""Labels that are kept in case another feature takes a better one."""
CONTAINS, APART, FURTHER = 0.5, 0.25, 0.005
"""The weights of containing the words, of standing apart from the nearest features, and of each further keyword."""
PRIOR = 20
"""All naming texts together count as much as so many firing choosing texts, because few texts say little."""


class Candidate(NamedTuple):
    """A keyword that a feature may be called by."""

    keyword: str
    origin: str
    """Where it comes from: top texts, active texts or encoder."""


@dataclass(frozen=True)
class Evidence:
    """What some texts say about a feature's candidates."""

    cosines: np.ndarray | None
    """Of each candidate to each text, float32 [n_candidates, n]; None without an embedder."""
    contains: np.ndarray
    """Which texts contain each candidate, float32 of 0 and 1, [n_candidates, n]."""
    fires: np.ndarray
    """bool [n]."""
    contested: np.ndarray
    """Where the feature or one of its nearest fires, bool [n]."""

    def take(self, places: np.ndarray) -> Evidence:
        """Return the same about some of the candidates."""
        cosines = None if self.cosines is None else self.cosines[places]
        return Evidence(cosines, self.contains[places], self.fires, self.contested)

    def worth(self, members: np.ndarray) -> np.ndarray | None:
        """The worth of combinations, float64 [n]; `members` is float32 of 0 and 1, [n, n_candidates].

        None where it cannot be measured: the feature fires on none of the texts, or on all.
        """
        if not self.fires.any() or self.fires.all():
            return None
        counts = members @ self.contains
        scores = counts if self.cosines is None else members @ self.cosines
        agreement = auroc_and_ap(scores, self.fires)
        worth: np.ndarray = (agreement.auroc + agreement.ap) / 2
        if self.cosines is not None:
            worth += CONTAINS * auroc_of_counts(counts, self.fires)
        rivals = self.fires[self.contested]
        if not rivals.all():
            worth += APART * auroc_and_ap(scores[:, self.contested], rivals).auroc
        worth -= FURTHER * (members.sum(axis=1) - 1)
        return worth


class Weighed(NamedTuple):
    """A candidate and how well it alone predicts firing on the choosing texts."""

    keyword: str
    origin: str
    auroc: float | None
    ap: float | None


class Choice(NamedTuple):
    """The labels that a feature may have."""

    alternatives: list[tuple[float, list[str]]]
    """Worth and keywords, the best first; no two are the same label."""
    weighed: list[Weighed]
    """The short list, the best first."""


Combination = tuple[int, ...]
"""The places of the keywords of a label among the candidates, ascending."""


def short_list(naming: Evidence) -> np.ndarray:
    """The places of the candidates with the greatest worth on the naming texts; the first ones if that is unknown."""
    worth = naming.worth(np.eye(len(naming.contains), dtype=np.float32))
    if worth is None:
        return np.arange(min(SHORT_LIST, len(naming.contains)))
    return np.argsort(-worth, kind="stable")[:SHORT_LIST]


def choose(candidates: Sequence[Candidate], naming: Evidence, choosing: Evidence) -> Choice:
    """Find the best combinations of a feature's short list by the evidence of both sets of texts."""
    n_fires = int(choosing.fires.sum())

    def worth(combinations: Sequence[Combination]) -> np.ndarray:
        members = np.zeros((len(combinations), len(candidates)), np.float32)
        for row, combination in enumerate(combinations):
            members[row, list(combination)] = 1
        chosen, prior = choosing.worth(members), naming.worth(members)
        if chosen is None or prior is None:
            known = prior if chosen is None else chosen
            return np.zeros(len(members)) if known is None else known
        joined: np.ndarray = (n_fires * chosen + PRIOR * prior) / (n_fires + PRIOR)
        return joined

    worths = _search([candidate.keyword for candidate in candidates], worth)
    alone = [worths[place,] for place in range(len(candidates))]
    return Choice(_alternatives(candidates, worths, alone), _weigh(candidates, choosing, alone))


def _search(keywords: Sequence[str], worth: Callable[[Sequence[Combination]], np.ndarray]) -> dict[Combination, float]:
    """The worth of every single keyword, and of the combinations that grow from the best ones."""
    fits = np.zeros((len(keywords), len(keywords)), bool)
    for first, second in itertools.combinations(range(len(keywords)), 2):
        fits[first, second] = fits[second, first] = adds(keywords[first], [keywords[second]])
    level: list[Combination] = [(place,) for place in range(len(keywords))]
    worths: dict[Combination, float] = {}
    while level:
        worths |= dict(zip(level, worth(level).tolist(), strict=True))
        best = sorted(level, key=lambda combination: (-worths[combination], combination))[:BEAM]
        level = sorted({grown for combination in best for grown in _grow(combination, fits, keywords)} - worths.keys())
    return worths


def _grow(combination: Combination, fits: np.ndarray, keywords: Sequence[str]) -> list[Combination]:
    """The combination with each keyword more that adds a word and leaves the label short."""
    if len(combination) == LABEL_KEYWORDS:
        return []
    others = np.flatnonzero(fits[:, combination].all(axis=1)).tolist()
    grown = [tuple(sorted((*combination, place))) for place in others]
    return [places for places in grown if _is_glanceable([keywords[place] for place in places])]


def _is_glanceable(keywords: Sequence[str]) -> bool:
    return is_short(keywords) and len(" ".join(keywords).split()) <= MOST_WORDS


def _alternatives(
    candidates: Sequence[Candidate], worths: dict[Combination, float], alone: Sequence[float]
) -> list[tuple[float, list[str]]]:
    labels: dict[frozenset[str], tuple[float, list[str]]] = {}
    for combination in sorted(worths, key=lambda combination: (-worths[combination], combination)):
        order = sorted(combination, key=lambda place: (-alone[place], place))
        keywords = [candidates[place].keyword for place in order]
        labels.setdefault(label_stems(" ".join(keywords)), (worths[combination], keywords))
        if len(labels) == ALTERNATIVES:
            break
    return list(labels.values())


def _weigh(candidates: Sequence[Candidate], choosing: Evidence, alone: Sequence[float]) -> list[Weighed]:
    scores = choosing.contains if choosing.cosines is None else choosing.cosines
    agreement = auroc_and_ap(scores, choosing.fires)
    order = sorted(range(len(candidates)), key=lambda place: (-alone[place], place))
    return [Weighed(*candidates[place], _known(agreement.auroc[place]), _known(agreement.ap[place])) for place in order]


def _known(value: float) -> float | None:
    return None if np.isnan(value) else float(value)


def share_out(choices: dict[int, list[tuple[float, list[str]]]]) -> dict[int, list[str]]:
    """Give each feature a label of its own, as far as there are enough.

    Of two features that want the same label, the one for which it is worth more has it. Labels that differ only in
    order, case or plural count as the same. A feature whose alternatives are all taken keeps its first.
    """
    waiting = [(-alternatives[0][0], feature_id, 0) for feature_id, alternatives in choices.items() if alternatives]
    heapq.heapify(waiting)
    taken: set[frozenset[str]] = set()
    labels: dict[int, list[str]] = {}
    while waiting:
        _, feature_id, number = heapq.heappop(waiting)
        alternatives = choices[feature_id]
        stems = label_stems(SEPARATOR.join(alternatives[number][1]))
        if stems not in taken:
            taken.add(stems)
            labels[feature_id] = alternatives[number][1]
        elif number + 1 < len(alternatives):
            heapq.heappush(waiting, (-alternatives[number + 1][0], feature_id, number + 1))
        else:
            labels[feature_id] = alternatives[0][1]
    return labels

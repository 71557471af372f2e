"""Candidates → a feature's label: the phrase that its strongest texts hold and that predicts where it fires.

Candidates come from the naming texts, which also make a short list of them; the choosing texts decide. From what a
combination of candidates is worth on texts (labels.evidence) is taken

    0.02·(candidates − 1) + 0.15·stray candidates

A stray candidate stands in too few of the twenty strongest texts. Every candidate is more frequent where the feature
fires, beyond chance; a second or third one is no stray, resembles the texts by itself and stands in strong texts that
the others leave out. The constants were found on the demo's texts.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from featurelib.labels.evidence import Combination, Evidence
from featurelib.labels.keywords import LABEL_KEYWORDS, SEPARATOR, is_short
from featurelib.labels.words import adds, label_stems
from featurelib.stats import Agreement, auroc_over_sets, overlap_chance

SHORT_LIST = 16
BEAM = 5
"""Combinations to which a further candidate is added."""
MOST_WORDS = 6
"""Words of a label in all."""
ALTERNATIVES = 24
"""Labels that are kept in case another feature takes a better one."""
FURTHER, STRAY = 0.02, 0.15
"""The weights in the formula above."""
STRONGEST = 20
"""Texts among which a candidate is looked for; a reader of a feature's page sees about as many."""
HELD, HELD_SHARE = 2, 0.1
"""A candidate that stands in fewer of the strongest texts, or a smaller share of them, is stray."""
RARE = 8
"""A feature that fires on fewer texts is named by one phrase that two of them hold, or not at all."""
LIFT, LEAST_LIFT, MOST_LIFT = 3.0, 1.02, 0.5
"""A candidate's share of the firing texts is at least so many times its share of all: half of what is possible where
the feature fires on more than a sixth of them, but never less than a little more than one."""
CHANCE = 0.01
"""The probability that as many firing texts hold a candidate by chance is no more than this (hypergeometric)."""
GAIN = 0.1
"""Of the strongest texts a second or third candidate holds at least this share that the others leave out."""
OWN_AUROC = 0.65
"""A second or third candidate resembles the texts at least so well by itself."""
PRIOR = 20
"""All naming texts together count as much as so many firing choosing texts, because few texts say little."""
NO_PLACES = np.empty(0, np.int64)


class Candidate(NamedTuple):
    """A keyword that a feature may be called by."""

    keyword: str
    origin: str
    """Where it comes from: top texts, active texts or encoder."""


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


def usable(naming: Evidence, choosing: Evidence) -> np.ndarray:
    """Return the places of the candidates that a label may have, ascending; it needs no cosines.

    Each is more frequent on the firing texts and stands in one of the strongest; of a rare feature in two of them.
    """
    both = naming.join_words(choosing)
    return _usable(both, _held(both))


def choose(candidates: Sequence[Candidate], naming: Evidence, choosing: Evidence) -> Choice:
    """Find the best combinations of a feature's candidates by the evidence of both sets of texts.

    There are no alternatives where no candidate is more frequent on the firing texts, or the feature is rare and no two
    of its texts hold one. Candidates that are not `usable` change nothing, unless none is.
    """
    both = naming.join_words(choosing)
    held = _held(both)
    is_rare = held.shape[1] < RARE
    stray = held.sum(axis=1) < max(HELD, HELD_SHARE * held.shape[1])
    worth = _Worth(naming, choosing, stray)
    places = _usable(both, held)
    if not len(places):
        everything = [(place,) for place in range(len(candidates))]
        return Choice([], _weigh(candidates, choosing.alone, worth(everything)))
    alone = worth([(int(place),) for place in places])
    listed = places[np.argsort(-alone, kind="stable")][:SHORT_LIST]
    of_list = [candidates[place] for place in listed]
    of_naming, of_choosing = naming.take(listed), choosing.take(listed)
    further = np.flatnonzero(_predicts(of_naming, of_choosing) & ~stray[listed]) if not is_rare else NO_PLACES
    fits = _Fits([candidate.keyword for candidate in of_list], held[listed])
    worths = _search(len(listed), further.tolist(), fits, _Worth(of_naming, of_choosing, stray[listed]))
    own_worth = np.array([worths[place,] for place in range(len(listed))])
    return Choice(_alternatives(of_list, worths), _weigh(of_list, of_choosing.alone, own_worth))


def _held(evidence: Evidence) -> np.ndarray:
    """In which of the strongest texts each candidate stands, bool [n_candidates, n]."""
    return evidence.contains[:, evidence.strongest(STRONGEST)]


def _usable(evidence: Evidence, held: np.ndarray) -> np.ndarray:
    least = HELD if held.shape[1] < RARE else 1
    return np.flatnonzero((held.sum(axis=1) >= least) & _is_telling(evidence))


def _is_telling(evidence: Evidence) -> np.ndarray:
    """Which candidates are more frequent on the firing texts, beyond chance, bool [n_candidates]."""
    fires = evidence.fires
    n_both, n_holding = evidence.n_holding
    n_fires = int(fires.sum())
    if not n_fires:
        return np.zeros(len(n_both), bool)
    lift = min(LIFT, max(LEAST_LIFT, MOST_LIFT / float(fires.mean())))
    telling: np.ndarray = _share(n_both, n_fires) >= lift * _share(n_holding, len(fires))
    n_both, n_holding = (counts.astype(np.float32)[telling] for counts in (n_both, n_holding))
    telling[telling] = _is_beyond_chance(n_both, n_holding, n_fires, len(fires))
    return telling


def _share(n_holding: np.ndarray, n: int) -> np.ndarray:
    """The shares of texts, float32."""
    return n_holding.astype(np.float32) / np.float32(n)


def _is_beyond_chance(n_both: np.ndarray, n_holding: np.ndarray, n_fires: int, n_texts: int) -> np.ndarray:
    """Whether so many firing texts hold candidates by more than chance, bool [n]."""
    # λ^k/k!, λ being the number expected, is never below the tail, and for nearly all candidates says enough
    expected = np.maximum(n_holding * (n_fires / n_texts), 1e-12)
    factorials = np.array([math.lgamma(n + 1) for n in n_both])
    beyond: np.ndarray = n_both * np.log(expected) - factorials <= math.log(CHANCE)
    rest = ~beyond
    if rest.any():
        chances = overlap_chance(n_both[rest], n_holding[rest], np.full(rest.sum(), n_fires), n_texts)
        beyond[rest] = chances <= CHANCE
    return beyond


def _predicts(naming: Evidence, choosing: Evidence) -> np.ndarray:
    """Which candidates resemble the firing texts of both sets by themselves, bool [n_candidates]."""
    return np.asarray(auroc_over_sets([naming.scores, choosing.scores]) >= OWN_AUROC)


class _Worth:
    """The worth of combinations by the evidence of both sets of texts."""

    def __init__(self, naming: Evidence, choosing: Evidence, stray: np.ndarray) -> None:
        self._naming, self._choosing, self._stray = naming, choosing, stray
        self._n_fires = int(choosing.fires.sum())

    def __call__(self, combinations: Sequence[Combination]) -> np.ndarray:
        chosen, prior = self._choosing.worth(combinations), self._naming.worth(combinations)
        n_members = np.array([len(combination) for combination in combinations], np.float32)
        n_stray = np.array([self._stray[list(combination)].sum() for combination in combinations], np.float32)
        less = FURTHER * (n_members - 1) + STRAY * n_stray
        worth = np.zeros(len(combinations))
        if chosen is not None and prior is not None:
            worth = (self._n_fires * chosen + PRIOR * prior) / (self._n_fires + PRIOR)
        elif chosen is not None or prior is not None:
            worth = prior if chosen is None else chosen  # type: ignore[assignment]  # one of them is known
        worth -= less
        return worth


class _Fits:
    """Whether candidates go together in a label."""

    def __init__(self, keywords: Sequence[str], held: np.ndarray) -> None:
        """`held` tells in which of the strongest texts each stands, bool [n_candidates, n]."""
        self._keywords, self._held = keywords, held

    def __call__(self, combination: Combination, place: int) -> bool:
        """Whether a candidate adds a word and a text to those of a combination, and leaves the label short."""
        keywords = [self._keywords[other] for other in combination]
        if (self._held[place] & ~self._held[list(combination)].any(axis=0)).mean() < GAIN:
            return False
        return adds(self._keywords[place], keywords) and _is_glanceable([*keywords, self._keywords[place]])


def _search(
    n_listed: int, further: Sequence[int], fits: _Fits, worth: Callable[[Sequence[Combination]], np.ndarray]
) -> dict[Combination, float]:
    """The worth of every single candidate, and of the combinations that grow from the best ones by `further` ones."""
    level: list[Combination] = [(place,) for place in range(n_listed)]
    worths: dict[Combination, float] = {}
    while level:
        worths |= dict(zip(level, worth(level).tolist(), strict=True))
        best = sorted(level, key=lambda combination: (-worths[combination], combination))[:BEAM]
        grown = {
            tuple(sorted((*combination, place)))
            for combination in best
            for place in further
            if len(combination) < LABEL_KEYWORDS and place not in combination and fits(combination, place)
        }
        level = sorted(grown - worths.keys())
    return worths


def _is_glanceable(keywords: Sequence[str]) -> bool:
    return is_short(keywords) and len(" ".join(keywords).split()) <= MOST_WORDS


def _alternatives(candidates: Sequence[Candidate], worths: dict[Combination, float]) -> list[tuple[float, list[str]]]:
    labels: dict[frozenset[str], tuple[float, list[str]]] = {}
    for combination in sorted(worths, key=lambda combination: (-worths[combination], combination)):
        order = sorted(combination, key=lambda place: (-worths[place,], place))
        keywords = [candidates[place].keyword for place in order]
        labels.setdefault(label_stems(" ".join(keywords)), (worths[combination], keywords))
        if len(labels) == ALTERNATIVES:
            break
    return list(labels.values())


def _weigh(candidates: Sequence[Candidate], alone: Agreement, worth: np.ndarray) -> list[Weighed]:
    order = sorted(range(len(candidates)), key=lambda place: (-worth[place], place))
    return [Weighed(*candidates[place], _known(alone.auroc[place]), _known(alone.ap[place])) for place in order]


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

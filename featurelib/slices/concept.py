"""Is a concept in the features? The best feature, and the best few, for telling examples from other texts.

Half of the texts choose, the other half is looked at once. What features make of it stands beside what a linear
discriminant makes of the raw embeddings, the most that could be expected.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from featurelib.schema import Refusal
from featurelib.stats import Estimate, auroc_interval, midranks

if TYPE_CHECKING:
    from scipy.sparse import csc_matrix, csr_matrix

LEAST = 8
"""Examples, and counter-examples, that are needed: half of them are only looked at once."""
MOST_FEATURES = 5
CANDIDATES = 40
"""Features that are tried for a combination, those with the highest AUROC."""
GAIN = 0.01
"""What a further feature must add to F1 on the texts that choose."""
SHRUNK = 0.1
"""How far the covariance of the embeddings is drawn to a multiple of the identity."""
DRAWS = 1_000
CARRIED = 0.5
"""F1 above which, beyond doubt, a concept is said to be carried."""


@dataclass(frozen=True)
class Labelled:
    """Texts that are examples of a concept, and others."""

    activations: csr_matrix
    """[n, n_features]."""
    embeddings: np.ndarray
    """float32 [n, d]."""
    is_example: np.ndarray
    """bool [n]."""

    @classmethod
    def of(
        cls,
        fired: tuple[np.ndarray, np.ndarray, np.ndarray],
        n_features: int,
        embeddings: np.ndarray,
        is_example: np.ndarray,
    ) -> Labelled:
        """Make it of the places of texts, the features that fire on them, and their activations, each [n_fired]."""
        from scipy.sparse import csr_matrix

        places, feature_ids, activations = fired
        shape = (len(is_example), n_features)
        return cls(csr_matrix((activations, (places, feature_ids)), shape=shape), embeddings, is_example)

    def part(self, rows: np.ndarray) -> Labelled:
        """Some of the texts."""
        return Labelled(self.activations[rows], self.embeddings[rows], self.is_example[rows])

    def and_further(self, others: Labelled) -> Labelled:
        """These texts and others after them."""
        from scipy.sparse import vstack

        return Labelled(
            vstack([self.activations, others.activations], format="csr"),
            np.concatenate([self.embeddings, others.embeddings]),
            np.concatenate([self.is_example, others.is_example]),
        )


@dataclass(frozen=True)
class Carrier:
    """What tells examples from other texts, and how well, on texts that did not choose it."""

    feature_ids: list[int]
    """The features whose scaled activations are added up; none for the raw embedding."""
    f1: Estimate
    """2·hits / (examples + texts called examples), with its 95 % interval by bootstrap."""
    auroc: Estimate
    """P(an example scores higher than another text) + ½ P(equal), with Newcombe's interval."""

    @property
    def carries(self) -> bool:
        """Whether F1 is high beyond doubt."""
        return self.f1.low >= CARRIED

    @property
    def fails(self) -> bool:
        """Whether F1 is low beyond doubt."""
        return self.f1.high < CARRIED


@dataclass(frozen=True)
class Concept:
    """How well a concept is carried."""

    single: Carrier
    """The best feature."""
    several: Carrier
    """The best combination of up to five."""
    ceiling: Carrier
    """The raw embedding."""
    n_chosen_on: int
    """Texts that chose."""
    n_examples: int
    """Examples among those that were looked at once."""
    n_others: int


def find_concept(texts: Labelled, seed: int = 0) -> Concept:
    """Find what carries a concept; Refusal for too few examples or too few other texts."""
    n_examples = int(texts.is_example.sum())
    for name, n in (("examples", n_examples), ("other texts", len(texts.is_example) - n_examples)):
        if n < LEAST:
            raise Refusal(f"{n} {name} are given; {LEAST} or more are needed, since half of them only test.")
    choose, test = (texts.part(rows) for rows in _halves(texts.is_example, seed))
    scales = _scales(choose)
    order = _by_auroc(choose)[:CANDIDATES]
    single = max(order, key=lambda feature_id: _best_cut(_scores(choose, [feature_id], scales), choose.is_example)[1])
    several = _forward(choose, single, order, scales)
    direction = discriminant(choose.embeddings, choose.is_example)
    projected = [part.embeddings @ direction for part in (choose, test)]
    return Concept(
        _carrier([single], _scores(choose, [single], scales), _scores(test, [single], scales), choose, test, seed),
        _carrier(several, _scores(choose, several, scales), _scores(test, several, scales), choose, test, seed),
        _carrier([], projected[0], projected[1], choose, test, seed),
        len(choose.is_example),
        int(test.is_example.sum()),
        int((~test.is_example).sum()),
    )


def _halves(is_example: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """The rows that choose and those that test: of examples and of others one half each."""
    draw = np.random.default_rng(seed)
    own = [draw.permutation(np.flatnonzero(is_example == kind)) for kind in (True, False)]
    return tuple(np.sort(np.concatenate([rows[side::2] for rows in own])) for side in (0, 1))  # type: ignore[return-value]


def _scales(choose: Labelled) -> np.ndarray:
    """The mean activation of each feature where it fires on an example, 1 where it never does."""
    own = choose.activations[choose.is_example]
    sums, counts = np.asarray(own.sum(axis=0)).ravel(), np.asarray((own > 0).sum(axis=0)).ravel()
    scales: np.ndarray = np.divide(sums, counts, out=np.ones(len(sums)), where=counts > 0)
    return scales


def _by_auroc(choose: Labelled) -> list[int]:
    """The features that fire on an example, the one with the highest AUROC first, ties by their ids."""
    columns: csc_matrix = choose.activations.tocsc()
    n, examples = len(choose.is_example), np.flatnonzero(choose.is_example)
    fires = np.unique(choose.activations[examples].indices)
    sums = np.empty(len(fires))
    for place, feature_id in enumerate(fires):
        own = slice(columns.indptr[feature_id], columns.indptr[feature_id + 1])
        rows, silent = columns.indices[own], n - (own.stop - own.start)
        ranks = silent + midranks(columns.data[own])
        hits = choose.is_example[rows]
        sums[place] = ranks[hits].sum() + (len(examples) - hits.sum()) * (silent + 1) / 2
    order: list[int] = fires[np.lexsort((fires, -sums))].tolist()
    return order


def _scores(texts: Labelled, feature_ids: list[int], scales: np.ndarray) -> np.ndarray:
    """The sum of some features' activations, each over its scale, float64 [n]."""
    chosen = texts.activations[:, feature_ids].multiply(1 / scales[feature_ids])
    scores: np.ndarray = np.asarray(chosen.sum(axis=1), np.float64).ravel()
    return scores


def _best_cut(scores: np.ndarray, is_example: np.ndarray) -> tuple[float, float]:
    """The score from which on texts are best called examples, and F1 there; nothing is called one at or below 0."""
    order = np.argsort(-scores, kind="stable")
    hits = np.cumsum(is_example[order])
    called = np.arange(1, len(order) + 1)
    last = np.append(scores[order][1:] != scores[order][:-1], True)
    f1 = np.where(last, 2 * hits / (called + is_example.sum()), -1.0)
    best = int(f1.argmax())
    return float(scores[order][best]), float(f1[best])


def _forward(choose: Labelled, first: int, candidates: list[int], scales: np.ndarray) -> list[int]:
    """Add the feature that raises F1 most, as long as one does by GAIN or more."""
    chosen = [first]
    reached = _best_cut(_scores(choose, chosen, scales), choose.is_example)[1]
    while len(chosen) < MOST_FEATURES:
        gains = {
            feature_id: _best_cut(_scores(choose, [*chosen, feature_id], scales), choose.is_example)[1]
            for feature_id in candidates
            if feature_id not in chosen
        }
        best = max(gains, key=lambda feature_id: gains[feature_id], default=None)
        if best is None or gains[best] < reached + GAIN:
            return chosen
        chosen, reached = [*chosen, best], gains[best]
    return chosen


def discriminant(embeddings: np.ndarray, is_example: np.ndarray) -> np.ndarray:
    """Return the direction that tells examples from others best, float64 [d]: Fisher's linear discriminant.

    Annals of Eugenics 7, 1936, 179, with the covariance within both groups drawn to a multiple of the identity.
    """
    x = embeddings.astype(np.float64)
    means = [x[is_example == kind].mean(axis=0) for kind in (True, False)]
    centred = x - np.where(is_example[:, None], means[0], means[1])
    within = centred.T @ centred / max(len(x) - 2, 1)
    within += SHRUNK * (np.trace(within) / len(within) + 1e-12) * np.eye(len(within))
    direction: np.ndarray = np.linalg.solve(within, means[0] - means[1])
    return direction


def _carrier(
    feature_ids: list[int],
    chosen_scores: np.ndarray,
    scores: np.ndarray,
    choose: Labelled,
    test: Labelled,
    seed: int,
) -> Carrier:
    """Measure a score on the texts that test, with the cut that those which choose gave."""
    cut, _ = _best_cut(chosen_scores, choose.is_example)
    called = scores >= cut
    draw = np.random.default_rng([seed, len(scores)])
    drawn = [draw.integers(len(scores), size=len(scores)) for _ in range(DRAWS)]
    low, high = np.nanquantile([_f1(test.is_example[rows], called[rows]) for rows in drawn], [0.025, 0.975])
    n, others = int(test.is_example.sum()), int((~test.is_example).sum())
    auroc = (midranks(scores)[test.is_example].sum() - n * (n + 1) / 2) / (n * others)
    ends = auroc_interval(np.array([auroc]), n, others)
    return Carrier(
        feature_ids,
        Estimate(_f1(test.is_example, called), float(low), float(high)),
        Estimate(float(auroc), float(ends[0][0]), float(ends[1][0])),
    )


def _f1(is_example: np.ndarray, called: np.ndarray) -> float:
    both = int(is_example.sum()) + int(called.sum())
    return 2 * int((is_example & called).sum()) / both if both else float("nan")

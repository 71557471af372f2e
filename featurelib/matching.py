"""Two SAEs on the same texts: which features of the one became which of the other.

A feature L of the other SAE is nested in feature S when it fires mostly where S does: nesting
H = (P(S | L) − P(S)) / (1 − P(S)) of 0.5 or more on 5 common texts or more. H is Loevinger's coefficient, 0 when both
are independent, so that nothing is nested in a feature S that fires nearly always. What became of S is the first of
these that holds: it *stayed* when some L fires on the same texts (jaccard ≥ 0.5); it *split* when two or more features
are nested in it that cover half of its texts; it is *nested* when S itself is nested in some L; it *changed* when one
feature is nested in it, or some L overlaps it (jaccard ≥ 0.2); else it *vanished*. A feature that fires on fewer than 5
texts is *rare*: nothing can be nested in it.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from featurelib.schema import MIN_BOTH, Refusal
from featurelib.stats import nesting

SAME = 0.5
"""The jaccard from which two features count as the same."""
NESTED = 0.5
"""The nesting from which a feature counts as nested in another."""
COVERED = 0.5
"""The share of a feature's texts that the features nested in it must cover together for it to have split."""
ALIKE = 0.2
"""The jaccard from which a feature has changed and not vanished."""
FATES = ("split", "stayed", "nested", "changed", "vanished", "rare")
"""What a feature of the first SAE can have become in the other."""
ALONG = 0.7
"""The cosine from which two directions count as the same."""
APART = 0.5
"""The cosine below which no direction of the other SAE is near."""
KINDS = ("both", "overlap", "direction", "near", "alone", "rare")
"""How a feature is matched: by texts and direction, by one of them alone, hardly, not at all, or on too few texts."""
MOST_TEXTS = 100_000
"""Texts that are compared at most: the first ones of the corpus."""
MOST_LIKE = 20
"""Pairs that are kept of a feature besides those of features nested in it: those with the highest jaccard."""
FEATURES_AT_A_TIME = 1024
PAIRS_AT_A_TIME = 65_536


@dataclass(frozen=True)
class Pairs:
    """A feature and one of the other SAE that share 5 texts or more, by feature, then by jaccard, descending.

    Of each feature, the pairs with all features nested in it and the 20 pairs with the highest jaccard.
    """

    feature: np.ndarray
    """int32: of the first SAE."""
    other: np.ndarray
    """int32: of the other SAE."""
    n_both: np.ndarray
    """int64: texts on which both fire."""
    covers: np.ndarray
    """float64: P(other | feature), the share of the feature's texts on which the other fires."""
    inside: np.ndarray
    """float64: P(feature | other), the share of the other's texts on which the feature fires."""
    jaccard: np.ndarray
    """float64."""
    nesting: np.ndarray
    """float64: of the other in the feature; NaN when the feature fires on every text."""
    within: np.ndarray
    """float64: nesting of the feature in the other; NaN when the other fires on every text."""
    cosine: np.ndarray
    """float32: of the two directions; NaN where they are not known."""

    @property
    def columns(self) -> tuple[np.ndarray, ...]:
        """The arrays in the order of the fields."""
        return tuple(getattr(self, field.name) for field in fields(self))

    def take(self, chosen: np.ndarray) -> Pairs:
        """Return the pairs that `chosen` selects, in its order."""
        return Pairs(*(column[chosen] for column in self.columns))

    @property
    def nested(self) -> np.ndarray:
        """Whether the other is nested in the feature, bool [n]."""
        return self.nesting >= NESTED


@dataclass(frozen=True)
class Counterparts:
    """For each feature of one SAE the most similar one of another: by the texts on which it fires, by direction."""

    by_overlap: np.ndarray
    """int32 [n_features]: the feature with the highest jaccard; -1 where none shares 5 texts."""
    jaccard: np.ndarray
    """float64 [n_features]; 0 where there is none."""
    by_direction: np.ndarray
    """int32 [n_features]: the feature with the highest cosine; -1 where directions cannot be compared."""
    cosine: np.ndarray
    """float32 [n_features]; NaN where directions cannot be compared."""
    kind: np.ndarray
    """int8 [n_features]: a place in KINDS."""

    def share(self, *kinds: str) -> float:
        """The share of some kinds among the features that are not rare; NaN where all are."""
        frequent = self.kind != KINDS.index("rare")
        places = [KINDS.index(kind) for kind in kinds]
        return float(np.isin(self.kind, places).sum() / frequent.sum()) if frequent.any() else float("nan")


@dataclass(frozen=True)
class Matches:
    """What became of each feature of the first SAE."""

    pairs: Pairs
    fate: np.ndarray
    """int8 [n_features]: a place in FATES."""
    n_nested: np.ndarray
    """int32 [n_features]: features of the other SAE that are nested in it."""
    covered: np.ndarray
    """float64 [n_features]: the share of the feature's texts on which at least one feature nested in it fires."""
    n_texts: int
    """Texts that were compared."""


def match(fires: Any, other_fires: Any, directions: tuple[np.ndarray, np.ndarray] | None = None) -> Matches:
    """Match the features of one SAE with those of another on the same texts.

    `fires` [n_texts, n_features] and `other_fires` [n_texts, n_others] say which features fire where; `directions` are
    those of both SAEs, float32 rows of length 1, None where they cannot be compared. Refusal for different texts.
    """
    n_texts, n_features = fires.shape
    if n_texts != other_fires.shape[0]:
        raise Refusal(
            f"one SAE was run on {n_texts:,} texts and the other on {other_fires.shape[0]:,}; compare runs on the same "
            "texts."
        )
    n_active = np.diff(fires.indptr).astype(np.int64)
    best_jaccard, best_within = np.zeros(n_features), np.zeros(n_features)
    blocks = [_no_pairs()]
    for first in range(0, n_features, FEATURES_AT_A_TIME):
        block = _pairs(fires, other_fires, first, min(first + FEATURES_AT_A_TIME, n_features))
        np.maximum.at(best_jaccard, block.feature, block.jaccard)
        np.maximum.at(best_within, block.feature, np.nan_to_num(block.within))
        blocks.append(block.take(np.flatnonzero(block.nested | (_ranks(block.feature) < MOST_LIKE))))
    pairs = Pairs(*(np.concatenate(column) for column in zip(*(block.columns for block in blocks), strict=True)))
    if directions is not None:
        pairs.cosine[:] = _cosines(*directions, pairs)
    n_nested = np.bincount(pairs.feature[pairs.nested], minlength=n_features).astype(np.int32)
    covered = _covered(fires, other_fires, pairs)
    fate = _fates(n_active, best_jaccard, best_within, n_nested, covered)
    return Matches(pairs, fate, n_nested, covered, n_texts)


def counterparts(matches: Matches, directions: tuple[np.ndarray, np.ndarray] | None) -> Counterparts:
    """Find for each feature of the first SAE the other's most similar one; see KINDS.

    A feature is matched by *overlap* when some other fires on the same texts (jaccard ≥ 0.5), by *direction* when some
    cosine is 0.7 or more. It is *alone* when no jaccard reaches 0.2 and no cosine 0.5, and *near* in between. Where
    directions cannot be compared, overlap alone decides.
    """
    n_features = len(matches.fate)
    by_overlap, jaccard = np.full(n_features, -1, np.int32), np.zeros(n_features)
    features, first = np.unique(matches.pairs.feature, return_index=True)
    by_overlap[features], jaccard[features] = matches.pairs.other[first], matches.pairs.jaccard[first]
    by_direction, cosine = _nearest(*directions) if directions is not None else _unknown(n_features)
    same_texts, same_direction = jaccard >= SAME, np.nan_to_num(cosine) >= ALONG
    conditions = {
        "rare": matches.fate == FATES.index("rare"),
        "both": same_texts & same_direction,
        "overlap": same_texts,
        "direction": same_direction,
        "alone": (jaccard < ALIKE) & (np.nan_to_num(cosine) < APART),
    }
    places = [KINDS.index(kind) for kind in conditions]
    kind = np.select(list(conditions.values()), places, KINDS.index("near")).astype(np.int8)
    return Counterparts(by_overlap, jaccard, by_direction, cosine, kind)


def _nearest(directions: np.ndarray, others: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The other direction with the highest cosine, and that cosine; both have rows of length 1."""
    best, cosine = np.empty(len(directions), np.int32), np.empty(len(directions), np.float32)
    for start in range(0, len(directions), FEATURES_AT_A_TIME):
        rows = slice(start, start + FEATURES_AT_A_TIME)
        cosines = directions[rows] @ others.T
        best[rows] = cosines.argmax(axis=1)
        cosine[rows] = cosines.max(axis=1)
    return best, cosine


def _unknown(n_features: int) -> tuple[np.ndarray, np.ndarray]:
    return np.full(n_features, -1, np.int32), np.full(n_features, np.nan, np.float32)


def _no_pairs() -> Pairs:
    kinds = (np.int32, np.int32, np.int64, *[np.float64] * 5, np.float32)
    return Pairs(*(np.empty(0, kind) for kind in kinds))


def _pairs(fires: Any, other_fires: Any, first: int, last: int) -> Pairs:
    """All pairs of the features [first, last) with MIN_BOTH common texts, in the order of Pairs; cosines unknown."""
    n_texts = fires.shape[0]
    n_active, other_active = (np.diff(matrix.indptr).astype(np.int64) for matrix in (fires, other_fires))
    shared = (fires[:, first:last].T @ other_fires).tocoo()
    enough = shared.data >= MIN_BOTH
    feature, other = shared.row[enough].astype(np.int32) + np.int32(first), shared.col[enough].astype(np.int32)
    n_both = shared.data[enough].astype(np.int64)
    pairs = Pairs(
        feature,
        other,
        n_both,
        n_both / n_active[feature],
        n_both / other_active[other],
        n_both / (n_active[feature] + other_active[other] - n_both),
        nesting(n_both, other_active[other], n_active[feature], n_texts),
        nesting(n_both, n_active[feature], other_active[other], n_texts),
        np.full(len(n_both), np.nan, np.float32),
    )
    return pairs.take(np.lexsort((other, -pairs.jaccard, feature)))


def _ranks(feature: np.ndarray) -> np.ndarray:
    """The place of each row among those of its feature, from 0; rows of one feature are together."""
    _, first, counts = np.unique(feature, return_index=True, return_counts=True)
    return np.arange(len(feature)) - np.repeat(first, counts)


def _cosines(directions: np.ndarray, other_directions: np.ndarray, pairs: Pairs) -> np.ndarray:
    cosines = np.empty(len(pairs.feature), np.float32)
    for start in range(0, len(cosines), PAIRS_AT_A_TIME):
        rows = slice(start, start + PAIRS_AT_A_TIME)
        cosines[rows] = np.einsum("nd,nd->n", directions[pairs.feature[rows]], other_directions[pairs.other[rows]])
    return cosines


def _covered(fires: Any, other_fires: Any, pairs: Pairs) -> np.ndarray:
    """The share of each feature's texts on which a feature nested in it fires; NaN for a feature that never fires."""
    share = np.where(np.diff(fires.indptr) > 0, 0.0, np.nan)
    rows = np.flatnonzero(pairs.nested)
    features, first = np.unique(pairs.feature[rows], return_index=True)
    for feature, nested in zip(features.tolist(), np.split(pairs.other[rows], first[1:]), strict=True):
        texts = fires.indices[fires.indptr[feature] : fires.indptr[feature + 1]]
        share[feature] = np.isin(texts, other_fires[:, nested].indices).mean()
    return share


def _fates(
    n_active: np.ndarray, best_jaccard: np.ndarray, best_within: np.ndarray, n_nested: np.ndarray, covered: np.ndarray
) -> np.ndarray:
    """A place in FATES for each feature: the first condition that holds, else vanished."""
    conditions = {
        "rare": n_active < MIN_BOTH,
        "stayed": best_jaccard >= SAME,
        "split": (n_nested >= 2) & (covered >= COVERED),
        "nested": best_within >= NESTED,
        "changed": (n_nested >= 1) | (best_jaccard >= ALIKE),
    }
    places = [FATES.index(fate) for fate in conditions]
    return np.select(list(conditions.values()), places, FATES.index("vanished")).astype(np.int8)


def read_directions(sae_folder: Path) -> np.ndarray | None:
    """Return the decoder rows at length 1, float32 [n_features, d_in]; None for an SAE that keeps its own format."""
    from safetensors import SafetensorError, safe_open

    path = sae_folder / "sae_weights.safetensors"
    if not path.is_file():
        return None
    try:
        with safe_open(path, framework="np") as tensors:
            directions: np.ndarray = tensors.get_tensor("W_dec").astype(np.float32)
    except SafetensorError as error:
        raise Refusal(f"{path.name} cannot be read ({str(error)[:80]}); build the run again.") from error
    norms = np.linalg.norm(directions, axis=1, keepdims=True)
    directions /= np.where(norms == 0, 1, norms)
    return directions


def comparable(
    directions: np.ndarray | None, other_directions: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray] | None:
    """Return both SAEs' directions where their cosines mean something; None where one is unknown or d_in differs."""
    if directions is None or other_directions is None or directions.shape[1] != other_directions.shape[1]:
        return None
    return directions, other_directions

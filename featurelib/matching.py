"""Two SAEs on the same texts: which features of the one became which of the other.

A feature L of the other SAE is a part of feature S when it fires mostly where S does: nesting
H = (P(S | L) − P(S)) / (1 − P(S)) of 0.5 or more on 5 common texts or more. H is Loevinger's coefficient, 0 when both
are independent, so that a feature S that fires nearly always has no parts. What became of S is the first of these that
holds: it *stayed* when some L covers the same texts (jaccard ≥ 0.5); it *split* when it has two parts or more that
cover half of its texts; it was *absorbed* when S itself is such a part of some L; it *changed* when it has a part, or
some L overlaps it (jaccard ≥ 0.2); else it *vanished*. A feature that fires on fewer than 5 texts is *rare*: it can
have no parts.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from featurelib.schema import MIN_BOTH, Refusal

SAME = 0.5
"""The jaccard from which two features count as the same."""
PART = 0.5
"""The nesting from which a feature counts as a part."""
COVERED = 0.5
"""The share of a feature's texts that its parts must cover together for it to have split."""
ALIKE = 0.2
"""The jaccard from which a feature has changed and not vanished."""
FATES = ("split", "stayed", "absorbed", "changed", "vanished", "rare")
MOST_TEXTS = 100_000
"""Texts that are compared at most: the first ones of the corpus."""
MOST_LIKE = 20
"""Pairs that are kept of a feature besides its parts: those with the highest jaccard."""
FEATURES_AT_A_TIME = 1024
PAIRS_AT_A_TIME = 65_536


@dataclass(frozen=True)
class Pairs:
    """A feature and one of the other SAE that share 5 texts or more, by feature, jaccard falling.

    Of each feature its parts are here, and the 20 pairs with the highest jaccard.
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
    def is_part(self) -> np.ndarray:
        """Whether the other is a part of the feature."""
        return self.nesting >= PART


@dataclass(frozen=True)
class Matches:
    """What became of each feature of the first SAE."""

    pairs: Pairs
    fate: np.ndarray
    """int8 [n_features]: a place in FATES."""
    n_parts: np.ndarray
    """int32 [n_features]."""
    covered: np.ndarray
    """float64 [n_features]: the share of the feature's texts on which at least one of its parts fires."""
    n_texts: int
    """Texts that were compared."""


def incidence(rows: Iterable[tuple[np.ndarray, np.ndarray]], n_texts: int, n_features: int) -> Any:
    """Return which features fire on which texts from (text_ids, feature_ids): CSC int32 ones [n_texts, n_features]."""
    from scipy.sparse import csr_array

    texts, features = (np.concatenate([np.empty(0, np.int64), *one]) for one in zip(*rows, strict=True))
    return csr_array((np.ones(len(texts), np.int32), (texts, features)), shape=(n_texts, n_features)).tocsc()


def match(fires: Any, others: Any, directions: tuple[np.ndarray, np.ndarray] | None = None) -> Matches:
    """Match the features of one SAE with those of another on the same texts.

    `fires` [n_texts, n_features] and `others` [n_texts, n_others] say which fires where; `directions` are those of
    both, float32 rows of length 1, None where they cannot be compared. Refusal for other texts.
    """
    if fires.shape[0] != others.shape[0]:
        raise Refusal(f"one SAE was run on {fires.shape[0]:,} texts and the other on {others.shape[0]:,}; take equals.")
    own = np.diff(fires.indptr).astype(np.int64)
    best, within = np.zeros(len(own)), np.zeros(len(own))
    found = [_no_pairs()]
    for first in range(0, len(own), FEATURES_AT_A_TIME):
        pairs = _pairs(fires, others, first, min(first + FEATURES_AT_A_TIME, len(own)))
        np.maximum.at(best, pairs.feature, pairs.jaccard)
        np.maximum.at(within, pairs.feature, np.nan_to_num(pairs.within))
        found.append(pairs.take(np.flatnonzero(pairs.is_part | (_ranks(pairs.feature) < MOST_LIKE))))
    pairs = Pairs(*(np.concatenate(column) for column in zip(*(one.columns for one in found), strict=True)))
    if directions is not None:
        pairs.cosine[:] = _cosines(*directions, pairs)
    n_parts = np.bincount(pairs.feature[pairs.is_part], minlength=len(own)).astype(np.int32)
    covered = _covered(fires, others, pairs, own)
    return Matches(pairs, _fates(own, best, within, n_parts, covered), n_parts, covered, fires.shape[0])


def _no_pairs() -> Pairs:
    kinds = (np.int32, np.int32, np.int64, *[np.float64] * 5, np.float32)
    return Pairs(*(np.empty(0, kind) for kind in kinds))


def _pairs(fires: Any, others: Any, first: int, last: int) -> Pairs:
    """All pairs with support of the features [first, last), by feature, jaccard falling; cosines not yet known."""
    n_texts = fires.shape[0]
    own, their = (np.diff(one.indptr).astype(np.int64) for one in (fires, others))
    shared = (fires[:, first:last].T @ others).tocoo()
    kept = shared.data >= MIN_BOTH
    feature, other = shared.row[kept].astype(np.int32) + np.int32(first), shared.col[kept].astype(np.int32)
    both = shared.data[kept].astype(np.int64)
    pairs = Pairs(
        feature,
        other,
        both,
        both / own[feature],
        both / their[other],
        both / (own[feature] + their[other] - both),
        _nesting(both, their[other], own[feature], n_texts),
        _nesting(both, own[feature], their[other], n_texts),
        np.full(len(both), np.nan, np.float32),
    )
    return pairs.take(np.lexsort((other, -pairs.jaccard, feature)))


def _ranks(feature: np.ndarray) -> np.ndarray:
    """The place of each row among those of its feature, from 0; rows of one feature are together."""
    _, first, counts = np.unique(feature, return_index=True, return_counts=True)
    return np.arange(len(feature)) - np.repeat(first, counts)


def _cosines(one: np.ndarray, other: np.ndarray, pairs: Pairs) -> np.ndarray:
    found = np.empty(len(pairs.feature), np.float32)
    for start in range(0, len(found), PAIRS_AT_A_TIME):
        rows = slice(start, start + PAIRS_AT_A_TIME)
        found[rows] = np.einsum("nd,nd->n", one[pairs.feature[rows]], other[pairs.other[rows]])
    return found


def _nesting(n_both: np.ndarray, n_inner: np.ndarray, n_outer: np.ndarray, n_texts: int) -> np.ndarray:
    most = (n_inner * (n_texts - n_outer)).astype(np.float64)
    above = (n_both * n_texts - n_inner * n_outer).astype(np.float64)
    return np.divide(above, most, out=np.full(len(n_both), np.nan), where=most > 0)


def _covered(fires: Any, others: Any, pairs: Pairs, own: np.ndarray) -> np.ndarray:
    """The share of each feature's texts on which one of its parts fires; NaN for a feature that never fires."""
    share = np.where(own > 0, 0.0, np.nan)
    part = np.flatnonzero(pairs.is_part)
    features, first = np.unique(pairs.feature[part], return_index=True)
    for feature, parts in zip(features.tolist(), np.split(pairs.other[part], first[1:]), strict=True):
        texts = fires.indices[fires.indptr[feature] : fires.indptr[feature + 1]]
        share[feature] = np.isin(texts, others[:, parts].indices).mean()
    return share


def _fates(
    own: np.ndarray, best: np.ndarray, within: np.ndarray, n_parts: np.ndarray, covered: np.ndarray
) -> np.ndarray:
    """A place in FATES for each feature: of its texts, its best jaccard, its most nesting in another, its parts."""
    conditions = {
        "rare": own < MIN_BOTH,
        "stayed": best >= SAME,
        "split": (n_parts >= 2) & (covered >= COVERED),
        "absorbed": within >= PART,
        "changed": (n_parts >= 1) | (best >= ALIKE),
    }
    places = [FATES.index(one) for one in conditions]
    return np.select(list(conditions.values()), places, FATES.index("vanished")).astype(np.int8)


def read_directions(sae_folder: Path) -> np.ndarray | None:
    """Return the decoder rows at length 1, float32 [n_features, d_in]; None for a SAE that keeps its own format."""
    from safetensors import SafetensorError, safe_open

    path = sae_folder / "sae_weights.safetensors"
    if not path.is_file():
        return None
    try:
        with safe_open(path, framework="np") as opened:
            directions = opened.get_tensor("W_dec").astype(np.float32)
    except SafetensorError as error:
        raise Refusal(f"{path.name} cannot be read ({str(error)[:80]}); build the run again.") from error
    norms = np.linalg.norm(directions, axis=1, keepdims=True)
    return directions / np.where(norms == 0, 1, norms)


def comparable(one: np.ndarray | None, other: np.ndarray | None) -> tuple[np.ndarray, np.ndarray] | None:
    """Return both SAEs' directions where their cosines mean something; None where one is unknown or d_in differs."""
    return None if one is None or other is None or one.shape[1] != other.shape[1] else (one, other)

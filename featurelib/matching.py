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
from dataclasses import dataclass
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


@dataclass(frozen=True)
class Pairs:
    """Pairs of a feature and one of the other SAE that share 5 texts or more, by feature, jaccard falling."""

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


def match(fires: Any, others: Any, cosines: np.ndarray | None = None) -> Matches:
    """Match the features of one SAE with those of another on the same texts.

    `fires` [n_texts, n_features] and `others` [n_texts, n_others] say which fires where; `cosines`
    [n_features, n_others] are of their directions, None where those cannot be compared. Refusal for other texts.
    """
    if fires.shape[0] != others.shape[0]:
        raise Refusal(f"one SAE was run on {fires.shape[0]:,} texts and the other on {others.shape[0]:,}; take equals.")
    n_texts = fires.shape[0]
    own, their = (np.diff(one.indptr).astype(np.int64) for one in (fires, others))
    shared = (fires.T @ others).tocoo()
    kept = shared.data >= MIN_BOTH
    feature, other, both = shared.row[kept], shared.col[kept], shared.data[kept].astype(np.int64)
    jaccard = both / (own[feature] + their[other] - both)
    order = np.lexsort((other, -jaccard, feature))
    feature, other, both, jaccard = feature[order], other[order], both[order], jaccard[order]
    pairs = Pairs(
        feature.astype(np.int32),
        other.astype(np.int32),
        both,
        both / own[feature],
        both / their[other],
        jaccard,
        _nesting(both, their[other], own[feature], n_texts),
        _nesting(both, own[feature], their[other], n_texts),
        np.full(len(both), np.nan, np.float32) if cosines is None else cosines[feature, other].astype(np.float32),
    )
    covered = _covered(fires, others, pairs, own)
    n_parts = np.bincount(pairs.feature[pairs.is_part], minlength=len(own)).astype(np.int32)
    return Matches(pairs, _fates(pairs, own, n_parts, covered), n_parts, covered, n_texts)


def _nesting(n_both: np.ndarray, n_inner: np.ndarray, n_outer: np.ndarray, n_texts: int) -> np.ndarray:
    most = (n_inner * (n_texts - n_outer)).astype(np.float64)
    above = (n_both * n_texts - n_inner * n_outer).astype(np.float64)
    return np.divide(above, most, out=np.full(len(n_both), np.nan), where=most > 0)


def _covered(fires: Any, others: Any, pairs: Pairs, own: np.ndarray) -> np.ndarray:
    """The share of each feature's texts on which one of its parts fires; NaN for a feature that never fires."""
    share = np.where(own > 0, 0.0, np.nan)
    part = pairs.is_part
    for feature in np.unique(pairs.feature[part]).tolist():
        texts = fires.indices[fires.indptr[feature] : fires.indptr[feature + 1]]
        inside = others[:, pairs.other[part & (pairs.feature == feature)]].indices
        share[feature] = np.isin(texts, inside).mean()
    return share


def _fates(pairs: Pairs, own: np.ndarray, n_parts: np.ndarray, covered: np.ndarray) -> np.ndarray:
    best, within = np.zeros(len(own)), np.zeros(len(own))
    np.maximum.at(best, pairs.feature, pairs.jaccard)
    np.maximum.at(within, pairs.feature, np.nan_to_num(pairs.within))
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


def cosines(one: np.ndarray | None, other: np.ndarray | None) -> np.ndarray | None:
    """Return the cosines of two SAEs' directions, float32 [n, m]; None where one is unknown or they differ in d_in."""
    if one is None or other is None or one.shape[1] != other.shape[1]:
        return None
    return one @ other.T

"""What the worker answers about turned features and about similarity."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True, eq=False)
class Turned:
    """An embedding before and after some of its features were turned, and what the SAE finds in both."""

    before: np.ndarray
    """The embedding, float32 [d]."""
    after: np.ndarray
    """The embedding with the features turned, float32 [d]; the same bits as `before` when nothing differs."""
    cosine: float | None
    """cos(before, after); None where one of them is zero."""
    renormalised: bool
    """Whether the run's embeddings have length 1, so that a changed one was brought back to it."""
    scale: float
    """What one unit of activation is in the embedding: the spread that the SAE's normalisation took, else 1."""
    feature_ids: np.ndarray
    """The features that fire on the text, the most strongly active first, int32 [n]."""
    activations: np.ndarray
    """float32 [n]."""
    again_ids: np.ndarray
    """The features that fire when the SAE is run on `after`, the most strongly active first, int32 [m]."""
    again_activations: np.ndarray
    """float32 [m]."""


@dataclass(frozen=True, eq=False)
class Likeness:
    """Why two texts are similar: shared + cross + constant + skip + unexplained = cosine (steering.Similarity)."""

    cosine: float
    """cos of the two embeddings."""
    shared: float
    """Features that fire on both, each with itself."""
    cross: float
    """Features of one with other features of the other."""
    constant: float
    """Terms with the decoder's bias or the normalisation's mean."""
    skip: float
    """Terms with the output of a skip connection; 0 without one."""
    unexplained: float
    """Terms with what the SAE does not rebuild."""
    feature_ids: np.ndarray
    """The shared features, the greatest share first, int32 [n_shared]."""
    shares: np.ndarray
    """What each adds to the cosine, float64 [n_shared]."""
    activations: np.ndarray
    """Of each shared feature on the first and on the second text, float32 [n_shared, 2]."""
    pairs: np.ndarray
    """The largest cross terms: feature of the first text, feature of the second, int32 [n_pairs, 2]."""
    pair_shares: np.ndarray
    """What each of these adds, float64 [n_pairs]."""
    n_active: tuple[int, int]
    """How many features fire on each text."""
    has_skip: bool
    """Whether the SAE has a skip connection."""


def turned(told: dict[str, Any]) -> Turned:
    """What the worker told of turned features, as arrays."""
    kinds = dict.fromkeys(("before", "after", "activations", "again_activations"), np.float32)
    return Turned(**told | _arrays(told, kinds | dict.fromkeys(("feature_ids", "again_ids"), np.int32)))


def likeness(told: dict[str, Any]) -> Likeness:
    """What the worker told of two texts, as arrays."""
    kinds = {"feature_ids": np.int32, "shares": np.float64, "pair_shares": np.float64}
    pairs = np.array(told["pairs"], dtype=np.int32).reshape(-1, 2)
    activations = np.array(told["activations"], dtype=np.float32).reshape(-1, 2)
    more = {"pairs": pairs, "activations": activations, "n_active": tuple(told["n_active"])}
    return Likeness(**told | _arrays(told, kinds) | more)


def _arrays(told: dict[str, Any], kinds: dict[str, Any]) -> dict[str, np.ndarray]:
    return {name: np.array(told[name], dtype=kind) for name, kind in kinds.items()}

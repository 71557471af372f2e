"""Steering the features of an embedding, and why two embeddings are similar: both exact, because a decoder is linear.

An SAE writes an embedding as

    x = s·Σ_f a_f·d_f + constant + skip + residual

with the activations a, the directions d (rows of W_dec), s the scale that its normalisation divides the row by
(‖x‖/√d_in or the standard deviation; 1 where it does not normalise or its reconstruction is not scaled back), constant
= s·b_dec + the row's mean where the normalisation subtracts one, skip = x @ W_skip for an SAE with a skip connection
(else 0), and residual = what the reconstruction leaves out. This holds for every normalisation, by definition of the
residual; nothing here is an approximation.

Steering changes the first term alone. Replacing x by its reconstruction instead, as SAErch does, changes every ranking
before a slider is moved.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from featurelib.schema import Refusal

MOST_PAIRS = 12


@dataclass(frozen=True, eq=False)
class Decomposition:
    """One embedding as an SAE writes it: the sum of features, constant, skip and residual is the embedding."""

    embedding: np.ndarray
    """x, float64 [d]."""
    feature_ids: np.ndarray
    """The features that fire, ascending, int32 [n]."""
    activations: np.ndarray
    """Their activations, float32 [n]."""
    features: np.ndarray
    """What each adds, s·a_f·d_f, float64 [n, d]."""
    constant: np.ndarray
    """What the SAE adds whatever fires: s·b_dec and the row's mean, float64 [d]."""
    skip: np.ndarray
    """What a skip connection adds, float64 [d]; zeros without one."""
    has_skip: bool
    """Whether the SAE has a skip connection."""

    @property
    def residual(self) -> np.ndarray:
        """What the reconstruction leaves out, float64 [d]."""
        residual: np.ndarray = self.embedding - self.features.sum(axis=0) - self.constant - self.skip
        return residual


@dataclass(frozen=True, eq=False)
class Similarity:
    """A cosine as a sum: shared + cross + constant + skip + unexplained = cosine, up to rounding of float64."""

    cosine: float
    """x_a·x_b / (‖x_a‖·‖x_b‖), computed from the embeddings alone."""
    shared: float
    """Features that fire on both texts, each with itself: Σ_f s_a·s_b·a_f·b_f·‖d_f‖² / (‖x_a‖·‖x_b‖)."""
    cross: float
    """Features of one text with other features of the other: Σ_{f≠g} s_a·s_b·a_f·b_g·d_f·d_g / (‖x_a‖·‖x_b‖)."""
    constant: float
    """The terms that contain b_dec or the mean of the normalisation, but neither skip nor residual."""
    skip: float
    """The terms that contain the skip connection's output, but no residual; 0 without a skip connection."""
    unexplained: float
    """The terms that contain a residual."""
    feature_ids: np.ndarray
    """The shared features, the greatest share first, int32 [n_shared]."""
    shares: np.ndarray
    """What each adds to the cosine, float64 [n_shared]; they add up to `shared`."""
    activations: np.ndarray
    """Of each shared feature on the first and on the second text, float32 [n_shared, 2]."""
    pairs: np.ndarray
    """The largest cross terms, feature of a and feature of b, int32 [n_pairs, 2]."""
    pair_shares: np.ndarray
    """What each of these adds, signed, the largest in size first, float64 [n_pairs]."""
    n_active: tuple[int, int]
    """How many features fire on each text."""
    has_skip: bool
    """Whether the SAE has a skip connection."""


def steer(
    x: np.ndarray,
    before: np.ndarray,
    after: np.ndarray,
    directions: np.ndarray,
    *,
    scale: float = 1.0,
    renormalise: bool = False,
) -> np.ndarray:
    """Return x' = x + scale·Σ_f (after_f − before_f)·d_f, float32 [d]; the residual of x is kept.

    x float32 [d]; before and after float32 [n], the activations of the steered features, with their directions [n, d];
    scale is s of the module's docstring. With `renormalise` x' is brought back to length 1, as the embedder's
    embeddings have. Where no activation differs, x itself comes back, to the last bit, and is not renormalised.
    Refusal when x' is not finite, or when it is zero and has to have length 1.
    """
    x = np.asarray(x, dtype=np.float32)
    change = np.asarray(after, np.float32).astype(np.float64) - np.asarray(before, np.float32)
    differs = change != 0
    if not differs.any():
        return x
    with np.errstate(over="ignore", invalid="ignore"):
        wide = x.astype(np.float64) + scale * (change[differs] @ np.asarray(directions, np.float64)[differs])
        if renormalise:
            length = np.linalg.norm(wide)
            if length == 0:
                raise Refusal("steered like this the embedding is zero and has no direction; change the features less.")
            wide /= length
        steered: np.ndarray = wide.astype(np.float32)
    if not np.isfinite(steered).all():
        raise Refusal("steered like this the embedding is not finite; change the features less.")
    return steered


def row_scale(sae: Any, x: np.ndarray) -> tuple[float, float]:
    """Return the scale and the mean by which `sae` scales its reconstruction of x, float32 [d], back; else 1 and 0."""
    scale = sae.scale(x[None]) if sae.shift_back else None
    return (1.0, 0.0) if scale is None else (float(scale.std[0, 0]), float(scale.mean[0, 0]))


def decompose(sae: Any, x: np.ndarray) -> Decomposition:
    """Return the embedding x, float32 [d], as `sae` (of load_sae) writes it; Refusal when x does not fit the SAE."""
    x = np.asarray(x, dtype=np.float32)
    sparse = sae.encode_sparse(x[None])
    activations = sparse.activations.numpy()
    std, mean = row_scale(sae, x)
    amounts = std * activations.astype(np.float64)
    wide = x.astype(np.float64)
    return Decomposition(
        embedding=wide,
        feature_ids=sparse.feature_ids.numpy().astype(np.int32),
        activations=activations,
        features=amounts[:, None] * sae.W_dec[sparse.feature_ids].numpy().astype(np.float64),
        constant=std * sae.b_dec.numpy().astype(np.float64) + mean,
        skip=np.zeros_like(wide) if sae.W_skip is None else wide @ sae.W_skip.numpy().astype(np.float64),
        has_skip=sae.W_skip is not None,
    )


def similarity(a: Decomposition, b: Decomposition, *, most: int = MOST_PAIRS) -> Similarity:
    """Return the cosine of two embeddings as a sum, with the `most` largest cross terms.

    With x = F + C + K + R (features, constant, skip, residual) of each text, x_a·x_b is the sum of all products of a
    term of a with a term of b. F_a·F_b is divided into shared and cross; each other product counts as unexplained if it
    contains a residual, else as skip if it contains a skip term, else as constant. Refusal when an embedding is zero,
    for then there is no cosine.
    """
    lengths = float(np.linalg.norm(a.embedding) * np.linalg.norm(b.embedding))
    if lengths == 0:
        raise Refusal("the embedding of one of these texts is zero, so their cosine is no number; choose another text.")
    terms = a.features @ b.features.T / lengths
    same = a.feature_ids[:, None] == b.feature_ids[None, :]
    rows, columns = np.nonzero(same)
    shares, feature_ids = terms[same], a.feature_ids[rows]
    activations = np.stack([a.activations[rows], b.activations[columns]], axis=1)
    order = np.lexsort((feature_ids, -shares))
    pairs, pair_shares = _largest(np.where(same, 0.0, terms), a, b, most)
    features_a, features_b = a.features.sum(axis=0), b.features.sum(axis=0)
    known_a, known_b = features_a + a.constant, features_b + b.constant
    return Similarity(
        cosine=float(a.embedding @ b.embedding) / lengths,
        shared=float(shares.sum()),
        cross=float(terms[~same].sum()),
        constant=float(features_a @ b.constant + a.constant @ known_b) / lengths,
        skip=float(known_a @ b.skip + a.skip @ (known_b + b.skip)) / lengths,
        unexplained=float(a.residual @ b.embedding + (known_a + a.skip) @ b.residual) / lengths,
        feature_ids=feature_ids[order],
        shares=shares[order],
        activations=activations[order],
        pairs=pairs,
        pair_shares=pair_shares,
        n_active=(len(a.feature_ids), len(b.feature_ids)),
        has_skip=a.has_skip,
    )


def _largest(terms: np.ndarray, a: Decomposition, b: Decomposition, most: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the feature pairs and values of the terms largest in size; ties are in the order of the features."""
    order = np.argsort(-np.abs(terms), axis=None, kind="stable")[:most]
    rows, columns = np.unravel_index(order, terms.shape)
    values = terms[rows, columns]
    nonzero = values != 0
    return np.stack([a.feature_ids[rows], b.feature_ids[columns]], axis=1)[nonzero], values[nonzero]

"""Turning features of an embedding, and why two embeddings are similar: both exact, because a decoder is linear.

A SAE writes an embedding as

    x = s·Σ_f a_f·d_f + constant + skip + residual

with the activations a, the directions d (rows of W_dec), s what its normalisation took from the row (‖x‖/√d_in or the
standard deviation; 1 where it does not normalise or its reconstruction does not take the way back),
constant = s·b_dec + the row's mean where the normalisation took one, skip = x @ W_skip for a SAE with a skip
connection (else 0), and residual = what the reconstruction leaves out. This holds for every norm, by definition of the
residual; nothing here is an approximation.

Turning changes the first term alone. Replacing x by its reconstruction instead, as SAErch does, changes every ranking
before a slider is moved.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from featurelib.schema import Refusal

MOST_PAIRS = 12


@dataclass(frozen=True, eq=False)
class Pieces:
    """One embedding as a SAE writes it; the sum of all pieces is the embedding."""

    embedding: np.ndarray
    """x, float64 [d]."""
    feature_ids: np.ndarray
    """The features that fire, ascending, int64 [n]."""
    features: np.ndarray
    """What each adds, s·a_f·d_f, float64 [n, d]."""
    constant: np.ndarray
    """What the SAE adds whatever fires: s·b_dec and the row's mean, float64 [d]."""
    skip: np.ndarray
    """What a skip connection adds, float64 [d]; zeros without one."""

    @property
    def residual(self) -> np.ndarray:
        """What the reconstruction leaves out, float64 [d]."""
        return self.embedding - self.features.sum(axis=0) - self.constant - self.skip


@dataclass(frozen=True, eq=False)
class Similarity:
    """A cosine and its parts: shared + cross + constant + skip + unexplained = cosine, up to rounding of float64."""

    cosine: float
    """x_a·x_b / (‖x_a‖·‖x_b‖), computed from the embeddings alone."""
    shared: float
    """Features that fire on both texts, each with itself: Σ_f s_a·s_b·a_f·b_f·‖d_f‖² / (‖x_a‖·‖x_b‖)."""
    cross: float
    """Features of one text with other features of the other: Σ_{f≠g} s_a·s_b·a_f·b_g·d_f·d_g / (‖x_a‖·‖x_b‖)."""
    constant: float
    """The terms with b_dec or the mean of the normalisation in them, and without skip and residual."""
    skip: float
    """The terms with the skip connection's output in them, and without residual; 0 without a skip connection."""
    unexplained: float
    """The terms with a residual in them."""
    feature_ids: np.ndarray
    """The shared features, the greatest share first, int64 [n_shared]."""
    shares: np.ndarray
    """What each adds to the cosine, float64 [n_shared]; they add up to `shared`."""
    pairs: np.ndarray
    """The largest cross terms, feature of a and feature of b, int64 [n_pairs, 2]."""
    pair_shares: np.ndarray
    """What each of these adds, signed, the largest in size first, float64 [n_pairs]."""


def steer(
    x: np.ndarray,
    before: np.ndarray,
    after: np.ndarray,
    directions: np.ndarray,
    *,
    scale: float = 1.0,
    renormalise: bool = False,
) -> np.ndarray:
    """Return x' = x + scale·Σ_f (after_f − before_f)·d_f, float32 [d]: the change of the decoder, the residual kept.

    x float32 [d]; before and after float32 [n], the activations of the features that are turned, with their directions
    [n, d]; scale is s of the module's docstring. With `renormalise` x' is brought back to the length 1 that the
    embedder gives. Where no activation differs x itself comes back, to the last bit, and is not renormalised.
    Refusal when the outcome is not finite, or zero where it has to have length 1.
    """
    x = np.asarray(x, dtype=np.float32)
    change = np.asarray(after, np.float32).astype(np.float64) - np.asarray(before, np.float32)
    moved = change != 0
    if not moved.any():
        return x
    with np.errstate(over="ignore", invalid="ignore"):
        turned = x.astype(np.float64) + scale * (change[moved] @ np.asarray(directions, np.float64)[moved])
        if renormalise:
            length = np.linalg.norm(turned)
            if length == 0:
                raise Refusal("turned like this the embedding is zero and has no direction; turn the features less.")
            turned = turned / length
        turned = turned.astype(np.float32)
    if not np.isfinite(turned).all():
        raise Refusal("turned like this the embedding is not finite; turn the features less.")
    return turned


def row_scale(sae: Any, x: np.ndarray) -> tuple[float, float]:
    """Return s and the mean that the reconstruction of x, float32 [d], takes back; 1 and 0 where `sae` takes none."""
    scale = sae.scale(x[None]) if sae.shift_back else None
    return (1.0, 0.0) if scale is None else (float(scale.std[0, 0]), float(scale.mean[0, 0]))


def pieces(sae: Any, x: np.ndarray) -> Pieces:
    """Return how `sae` (of load_sae) writes the embedding x, float32 [d]; Refusal when x does not fit it."""
    x = np.asarray(x, dtype=np.float32)
    found = sae.encode_sparse(x[None])
    std, mean = row_scale(sae, x)
    amounts = std * found.activations.numpy().astype(np.float64)
    wide = x.astype(np.float64)
    return Pieces(
        embedding=wide,
        feature_ids=found.feature_ids.numpy(),
        features=amounts[:, None] * sae.W_dec[found.feature_ids].numpy().astype(np.float64),
        constant=std * sae.b_dec.numpy().astype(np.float64) + mean,
        skip=np.zeros_like(wide) if sae.W_skip is None else wide @ sae.W_skip.numpy().astype(np.float64),
    )


def similarity(a: Pieces, b: Pieces, *, most: int = MOST_PAIRS) -> Similarity:
    """Return the cosine of two embeddings and its parts, with the `most` largest cross terms.

    With x = F + C + K + R (features, constant, skip, residual) of each text, x_a·x_b is the sum of all products of a
    piece of a with a piece of b. F_a·F_b falls into shared and cross; the rest goes to the last of constant, skip,
    unexplained that takes part in it. Refusal when an embedding is zero, for then there is no cosine.
    """
    lengths = float(np.linalg.norm(a.embedding) * np.linalg.norm(b.embedding))
    if lengths == 0:
        raise Refusal("the embedding of one of these texts is zero, so their cosine is no number; choose another text.")
    terms = a.features @ b.features.T / lengths
    same = a.feature_ids[:, None] == b.feature_ids[None, :]
    rows = np.nonzero(same)[0]
    shares, feature_ids = terms[same], a.feature_ids[rows]
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
        pairs=pairs,
        pair_shares=pair_shares,
    )


def _largest(terms: np.ndarray, a: Pieces, b: Pieces, most: int) -> tuple[np.ndarray, np.ndarray]:
    """The features and values of the largest terms in size; ties are in the order of the features."""
    order = np.argsort(-np.abs(terms), axis=None, kind="stable")[:most]
    rows, columns = np.unravel_index(order, terms.shape)
    values = terms[rows, columns]
    kept = values != 0
    return np.stack([a.feature_ids[rows], b.feature_ids[columns]], axis=1)[kept], values[kept]

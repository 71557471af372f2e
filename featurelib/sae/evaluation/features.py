"""What an SAE's features and weights say of it: dead and dense ones, directions that repeat each other, thresholds."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from featurelib.sae.evaluation.metrics import Metric, counted

if TYPE_CHECKING:
    from featurelib.sae.model import SAE

BLOCK = 512
"""Features whose cosines with all others are held at a time."""


def evaluate_features(n_active: np.ndarray, n_texts: int, split: str) -> list[Metric]:
    """Return the shares of dead and dense features; n_active [n_features] counts the texts each is active on."""
    density = n_active / max(1, n_texts)
    shares = {
        "dead_share": float((n_active == 0).mean()),
        "dense_share_10": float((density > 0.1).mean()),
        "dense_share_50": float((density > 0.5).mean()),
    }
    return [counted(name, value, split, n_texts) for name, value in shares.items()]


def evaluate_weights(sae: SAE) -> list[Metric]:
    """Return how much the directions repeat each other, how far the encoder is the decoder, and the thresholds.

    A gate without thresholds of its own (ReLU, TopK) has no rows of them, an SAE of one feature no redundancy.
    """
    values = {}
    if sae.n_features > 1:
        largest = np.concatenate([cosines.max(axis=1) for _, cosines in direction_cosines(sae)])
        values["redundancy"] = largest.mean()
    values["alignment"] = alignment(sae).mean(dtype=np.float64)
    if sae.gate.tensors():
        thresholds = sae.thresholds().numpy()
        values |= {
            "threshold_min": thresholds.min(),
            "threshold_median": np.median(thresholds),
            "threshold_max": thresholds.max(),
        }
    return [counted(name, float(value), "weights") for name, value in values.items()]


def alignment(sae: SAE) -> np.ndarray:
    """Return the cosine of each feature's encoder and its direction, float32 [n_features]; 0 where one of them is 0."""
    reads, writes = sae.W_enc.numpy().T.astype(np.float64), sae.W_dec.numpy().astype(np.float64)
    products, lengths = (reads * writes).sum(axis=1), np.linalg.norm(reads, axis=1) * np.linalg.norm(writes, axis=1)
    cosines: np.ndarray = np.divide(products, lengths, out=np.zeros_like(products), where=lengths > 0)
    return cosines.astype(np.float32)


def direction_cosines(sae: SAE) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield feature_ids [b] and their directions' cosines with all, float64 [b, n_features], −2 with themselves."""
    directions = sae.W_dec.numpy().astype(np.float64)
    lengths = np.linalg.norm(directions, axis=1, keepdims=True)
    directions /= np.where(lengths > 0, lengths, 1)
    for start in range(0, len(directions), BLOCK):
        ids = np.arange(start, min(start + BLOCK, len(directions)))
        cosines = directions[ids] @ directions.T
        cosines[np.arange(len(ids)), ids] = -2
        yield ids, cosines


class Nearest(NamedTuple):
    """For each feature its nearest others: columns of schema.NEIGHBOUR_ROWS."""

    feature_id: np.ndarray
    """int32."""
    rank: np.ndarray
    """int32, from 1."""
    neighbour_id: np.ndarray
    """int32."""
    cosine: np.ndarray
    """float32."""


def nearest_directions(sae: SAE, limit: int, *, opposite: bool = False) -> Nearest:
    """Return each feature's `limit` nearest directions (`opposite`: farthest), by cosine, then by feature_id."""
    limit = min(limit, sae.n_features - 1)
    order, values = [], []
    for _, cosines in direction_cosines(sae):
        itself = cosines == -2
        near = np.where(itself, np.float32(np.inf), (cosines if opposite else -cosines).astype(np.float32))
        chosen = _smallest(near, limit)
        order.append(chosen)
        values.append(np.take_along_axis(near, chosen, axis=1) * (1 if opposite else -1))
    n = sae.n_features
    return Nearest(
        np.repeat(np.arange(n, dtype=np.int32), limit),
        np.tile(np.arange(1, limit + 1, dtype=np.int32), n),
        np.concatenate(order).astype(np.int32).ravel(),
        np.concatenate(values).astype(np.float32).ravel() + np.float32(0),
    )


def _smallest(values: np.ndarray, limit: int) -> np.ndarray:
    """Return the columns of each row's smallest values, ties by column."""
    return np.argsort(values, axis=1, kind="stable")[:, :limit]

"""What an SAE's features and weights say of it: dead and dense ones, alignment, redundancy, thresholds."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from featurelib.sae.evaluation.metrics import Metric, counted

if TYPE_CHECKING:
    from featurelib.sae.model import SAE


def evaluate_features(n_active: np.ndarray, n_texts: int, split: str) -> list[Metric]:
    """Return the shares of dead and dense features; n_active [n_features] counts the texts each is active on."""
    density = n_active / max(1, n_texts)
    shares = {
        "dead_share": float((n_active == 0).mean()),
        "dense_share_10": float((density > 0.1).mean()),
        "dense_share_50": float((density > 0.5).mean()),
    }
    return [counted(name, value, split, n_texts) for name, value in shares.items()]


def evaluate_weights(sae: SAE, largest: np.ndarray) -> list[Metric]:
    """Return how much the directions repeat each other, how far the encoder is the decoder, and the thresholds.

    `largest` holds the cosine of each direction with its nearest (see `Neighbours`). A gate without thresholds of its
    own (ReLU, TopK) has no rows of them, an SAE of one feature no redundancy.
    """
    values = {}
    if len(largest):
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

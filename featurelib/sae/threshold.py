"""One threshold for all features: what BatchTopK's choice within a batch becomes at inference."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Protocol

import numpy as np

from featurelib.sae.gates import JumpReLU, Relu

if TYPE_CHECKING:
    from collections.abc import Iterator

    from featurelib.sae.model import SAE

MOST_TEXTS = 65_536
"""The threshold is found on at most this many training texts, evenly drawn."""
BLOCK = 1024
"""Texts whose pre-activations are held at a time."""


class EmbeddingRows(Protocol):
    """Embeddings on disk (storage.EmbeddingParts) or in memory."""

    @property
    def n(self) -> int:
        """How many there are."""

    def in_order(self) -> Iterator[np.ndarray]:
        """Yield them block by block, float32 [n, d]."""


def with_threshold(sae: SAE, threshold: float) -> SAE:
    """Return `sae` with one threshold for all features, in the unit of its pre-activations."""
    import torch

    return replace(sae, gate=JumpReLU(torch.tensor(threshold).float().expand(sae.n_features).clone()))


def find_threshold(sae: SAE, embeddings: EmbeddingRows, k: float) -> float:
    """Return the threshold at which `sae` has k active features per text on at most MOST_TEXTS of `embeddings`.

    It lies in the middle of the widest gap between pre-activations near that place (within a ten-thousandth of their
    number), so that another order of additions, in another library or machine, pushes none of them across.
    """
    largest, n = _largest(sae, embeddings, k)
    around = _near_rank(np.maximum(largest, 0), round(k * n))
    return 0.0 if around is None or around[-1] <= 0 else _widest_gap(around)


def find_shift(sae: SAE, embeddings: EmbeddingRows, k: float) -> float:
    """Return what z must pass for k features per text to do so, of either sign; z is `sae`'s before its gate."""
    largest, n = _largest(replace(sae, gate=Relu()), embeddings, k)
    around = _near_rank(largest, round(k * n))
    return 0.0 if around is None else _widest_gap(around)


def _near_rank(values: np.ndarray, wanted: int) -> np.ndarray | None:
    """Return the values, descending, near the place after the `wanted` largest; None where there is no such place."""
    near = max(4, wanted // 10_000)
    around = np.sort(values)[::-1][max(0, wanted - near) : wanted + near].astype(np.float64)
    return None if len(around) < 2 else around


def _widest_gap(around: np.ndarray) -> float:
    widest = int(np.argmax(around[:-1] - around[1:]))
    return float((around[widest] + around[widest + 1]) / 2)


def _largest(sae: SAE, embeddings: EmbeddingRows, k: float) -> tuple[np.ndarray, int]:
    """Return the largest pre-activations, four times as many as are wanted of each block, and the number of texts."""
    stride = -(-embeddings.n // MOST_TEXTS)
    blocks, n, n_seen = [], 0, 0
    for part in embeddings.in_order():
        rows = part[(-n_seen) % stride :: stride]
        n_seen += len(part)
        n += len(rows)
        for start in range(0, len(rows), BLOCK):
            z = sae.pre_activations(rows[start : start + BLOCK]).numpy().ravel()
            keep = min(len(z), int(4 * k * BLOCK))
            blocks.append(np.partition(z, len(z) - keep)[len(z) - keep :])
    return np.concatenate(blocks), n

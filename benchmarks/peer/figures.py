"""The figures of a peer comparison: one piece of numpy for every system, on the arrays that the system returns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

BLOCK = 2000
"""Number of texts whose activations are in memory at a time."""


class Trained(Protocol):
    """What a system gives back after training, in the raw space of the embeddings."""

    def activations(self, x: np.ndarray) -> np.ndarray:
        """Return the activations of x [n, d] as the system gives them at inference, float32 [n, n_features]."""

    def positive(self, x: np.ndarray) -> np.ndarray | None:
        """Return the activations were the threshold 0; None where the gate keeps each text's k largest anyway."""

    def rebuild(self, a: np.ndarray) -> np.ndarray:
        """Return the reconstructions of activations a, float32 [n, d]."""


@dataclass(frozen=True)
class Figures:
    """How good a trained SAE is."""

    fvu: float
    """Σ‖x − x̂‖² / Σ‖x − x̄‖² on the test texts, in the raw space, x̄ their mean."""
    l0: float
    """Activations above 0 per test text, with the system's own inference gate."""
    fvu_exact: float
    """FVU where exactly k·n activations of the n test texts are kept, the largest; of TopK the same as `fvu`."""
    dead_share: float
    """Share of features that fire on none of the training texts, with the system's own inference gate."""


def measure(trained: Trained, train: np.ndarray, test: np.ndarray, k: int) -> Figures:
    """Return the figures of embeddings `test` [n, d]; dead features are those of `train`."""
    a = _in_blocks(trained.activations, test)
    has_threshold = trained.positive(test[:1]) is not None
    exact = _largest(_in_blocks(trained.positive, test), k * len(test)) if has_threshold else a
    fired = np.zeros(a.shape[1], bool)
    for start in range(0, len(train), BLOCK):
        fired |= (trained.activations(train[start : start + BLOCK]) > 0).any(axis=0)
    return Figures(
        fvu=find_fvu(test, _in_blocks(trained.rebuild, a)),
        l0=float((a > 0).sum(axis=1).mean()),
        fvu_exact=find_fvu(test, _in_blocks(trained.rebuild, exact)),
        dead_share=float(1 - fired.mean()),
    )


def find_fvu(x: np.ndarray, rebuilt: np.ndarray) -> float:
    """Return Σ‖x − x̂‖² / Σ‖x − x̄‖² of x and its reconstructions, [n, d] each."""
    x = x.astype(np.float64)
    return float(((x - rebuilt) ** 2).sum() / ((x - x.mean(axis=0)) ** 2).sum())


def _largest(a: np.ndarray, count: int) -> np.ndarray:
    """Return a with all but its `count` largest entries 0."""
    smallest = np.partition(a.ravel(), a.size - count)[a.size - count]
    return np.where((a >= smallest) & (a > 0), a, np.float32(0))


def _in_blocks(of: object, rows: np.ndarray) -> np.ndarray:
    return np.concatenate([of(rows[start : start + BLOCK]) for start in range(0, len(rows), BLOCK)])

"""What a text of the user's own does in a run, as the client gives it back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class TriedText:
    """What a text of the user's own does in a run."""

    feature_ids: np.ndarray
    """int32 [n_active], the most strongly active first."""
    activations: np.ndarray
    """float32 [n_active]."""
    n_tokens: int
    """Tokens of the text, prompt and special tokens included."""
    truncated: bool
    """Whether the embedder does not read it to its end."""
    cut: int
    """The character at which it stops reading; -1 when it reads all."""
    fvu: float
    """‖x − x̂‖² / ‖x − x̄‖² of this one text, x̄ the mean of the run's texts."""
    cosine: float
    """cos(x, x̂)."""
    wordless: bool
    """Whether the embedder finds no token in it beyond those that the empty text has."""


@dataclass(frozen=True)
class TriedClosely(TriedText):
    """A tried text with its embedding and the features that it only just does not turn on."""

    embedding: np.ndarray
    """float32 [d], rounded as the run's own embeddings are."""
    below_ids: np.ndarray
    """int32 [up to 20]: silent features, the one that misses its gate by least first."""
    below: np.ndarray
    """float32: their pre-activations."""
    needed: np.ndarray
    """float32: what these would have had to exceed on this text."""


_ARRAYS = {
    "feature_ids": np.int32,
    "activations": np.float32,
    "embedding": np.float32,
    "below_ids": np.int32,
    "below": np.float32,
    "needed": np.float32,
}


def arrays(told: dict[str, Any]) -> dict[str, Any]:
    """What the worker wrote, its lists as arrays."""
    return {name: np.array(value, _ARRAYS[name]) if name in _ARRAYS else value for name, value in told.items()}

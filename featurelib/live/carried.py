"""What the worker answers about the words that carry a feature, as the client gives it back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True, eq=False)
class Attribution:
    """A feature's pre-activation on a text, taken apart: Σ parts + special + constant = pre_activation."""

    feature_id: int
    """The feature."""
    starts: np.ndarray
    """int32 [n_words]: the first character of each word that the embedder reads."""
    ends: np.ndarray
    """int32 [n_words]: the character after its last."""
    parts: np.ndarray
    """float32 [n_words]: what each word adds."""
    special: float
    """What the model's own tokens ([CLS], [SEP]) and those of the prompt add."""
    constant: float
    """What no token adds: the biases."""
    pre_activation: float
    """The feature's value on this text before its gate."""
    gate: float
    """What must be exceeded on this text for the feature to fire."""


@dataclass(frozen=True, eq=False)
class Deletions:
    """What happens to a feature's pre-activation when one word of a text is deleted and the rest embedded again."""

    starts: np.ndarray
    """int32 [n_words]: the first character of each word that was deleted in turn."""
    ends: np.ndarray
    """int32 [n_words]: the character after its last."""
    changes: np.ndarray
    """float32 [n_words]: the pre-activation with the word, less that without it."""
    n_words_left_out: int
    """Words that are read but were not deleted: they come after `most` words, or the time was up."""
    pre_activation: float
    """The feature's value on the whole text before its gate."""
    parts: np.ndarray | None
    """float32 [n_words]: the parts of the same words; None where the embedding is no sum over tokens."""
    rank_correlation: float | None
    """Spearman's, of parts and changes over these words; None without parts, and where one of them is constant."""
    correlation: float | None
    """Pearson's, likewise: led by the few words that matter, where ranks are led by the many that hardly do."""
    whole_reason: str | None
    """Why there are no parts; None where there are."""


def attributions(told: dict[str, Any]) -> list[Attribution]:
    """What the worker wrote, a feature each, its lists as arrays."""
    starts, ends = (np.array(told[name], np.int32) for name in ("starts", "ends"))
    return [
        Attribution(**one | {"starts": starts, "ends": ends, "parts": np.array(one["parts"], np.float32)})
        for one in told["features"]
    ]


def deletions(told: dict[str, Any]) -> Deletions:
    """What the worker wrote, its lists as arrays."""
    held = {"starts": np.int32, "ends": np.int32, "changes": np.float32, "parts": np.float32}
    return Deletions(
        **{name: np.array(value, held[name]) if name in held and value is not None else value
           for name, value in told.items()}
    )  # fmt: skip

"""What is told about an embedder and about what it read."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np


@dataclass(frozen=True)
class EmbedderFacts:
    """What an embedding depends on; two embedders with equal facts give the same embeddings up to rounding."""

    name: str
    """Hub id, the name of a local folder, or stand-in:D; never a path."""
    origin: str
    """Where it came from: package, hub, local, stand-in or precomputed."""
    revision: str | None
    """The commit on the hub; None elsewhere."""
    weights_sha256: str
    """The sha256 of the weights; of their list of names and hashes when there are several files."""
    prompt: str | None
    """Text put before every text, or None."""
    pooling: str
    """How token embeddings become one: mean, cls, …"""
    normalize: bool
    """Whether embeddings have length 1."""
    max_seq_length: int | None
    """The number of tokens, special ones included, after which it stops reading; None without a limit."""
    dimension: int
    """The length of an embedding."""


@dataclass(frozen=True)
class TokenCounts:
    """How much of each text an embedder reads."""

    n_tokens: np.ndarray
    """int32 [n]: tokens of the whole text, prompt and special tokens included."""
    truncated: np.ndarray
    """bool [n]: whether there are more tokens than the embedder reads."""
    cut: np.ndarray
    """int32 [n]: the character of the text (without prompt) at which reading stopped; -1 when it was read whole or
    when the tokenizer cannot tell."""


class Embedder(Protocol):
    """Text → embedding."""

    facts: EmbedderFacts
    """What its embeddings depend on."""
    precision: str
    """The numbers it computes with: float32, float16 or bfloat16."""
    device: str
    """Where it computes: cpu or cuda."""

    def embed(
        self,
        texts: Sequence[str],
        *,
        batch_size: int | None = None,
        with_prompt: bool = True,
        on_batch: Callable[[int], None] | None = None,
    ) -> np.ndarray:
        """Return float32 [n, dimension]; the same list of texts gives the same bytes on the same machine.

        `on_batch` is told the number of texts of each batch that is done.
        """

    def tokens(self, texts: Sequence[str]) -> TokenCounts:
        """Return how many tokens each text has and where the embedder stops reading it."""

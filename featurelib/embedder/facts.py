"""What describes an embedder, and what it read of texts: token counts and token states."""

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


@dataclass(frozen=True)
class TokenStates:
    """What each token that is read of one text brings to its embedding: embedding = Σ shares + offset."""

    shares: np.ndarray
    """float32 [n_tokens, dimension]: w_t·A·h_t/s, the token's state times its weight in the pooling, sent through what
    is linear behind it, over the text's own scalars (its length, where embeddings have length 1)."""
    offset: np.ndarray
    """float32 [dimension]: what no token brings, such as the bias of a Dense layer; zeros for most embedders."""
    starts: np.ndarray
    """int32 [n_tokens]: the first character of each token in the text without its prompt."""
    ends: np.ndarray
    """int32 [n_tokens]: the character after its last; equal to its start where it stands for no character."""
    special: np.ndarray
    """bool [n_tokens]: whether it is no token of the text itself, but one of the prompt or of the model ([CLS])."""

    @property
    def embedding(self) -> np.ndarray:
        """The text's embedding, float32 [dimension], equal to the one that `embed` gives up to rounding."""
        embedding: np.ndarray = (self.shares.sum(axis=0, dtype=np.float64) + self.offset).astype(np.float32)
        return embedding


class Embedder(Protocol):
    """Text → embedding."""

    facts: EmbedderFacts
    """What its embeddings depend on."""
    precision: str
    """The numbers it computes with: float32, float16 or bfloat16."""
    device: str
    """Where it computes: cpu or cuda."""
    whole_reason: str | None
    """None where an embedding is a sum over tokens; else why it cannot be taken apart, in words without a full stop."""

    def embed(
        self,
        texts: Sequence[str],
        *,
        batch_size: int | None = None,
        with_prompt: bool = True,
        on_batch: Callable[[int], None] | None = None,
    ) -> np.ndarray:
        """Return float32 [n, dimension]; the same list of texts gives the same bytes on the same machine.

        `on_batch` is called with the number of texts of each batch when it is done.
        """

    def tokens(self, texts: Sequence[str]) -> TokenCounts:
        """Return how many tokens each text has and where the embedder stops reading it."""

    def token_states(self, texts: Sequence[str]) -> list[TokenStates]:
        """Return what each token of each text brings to its embedding, computed in float32 whatever the device.

        A text takes n_tokens × dimension × 4 bytes: give some hundred at a time. Raises Refusal with `whole_reason`.
        """

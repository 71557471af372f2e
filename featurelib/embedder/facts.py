"""What describes an embedder, and what it read of texts: token counts and token states."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np


@dataclass(frozen=True)
class HiddenStateOptions:
    """How hidden states are read and pooled; None is found from the model."""

    hook: str
    """Where: a layer's number (what leaves that block), or a name such as blocks.12.hook_resid_pre."""
    pooling: str = "mean"
    """mean, last or max over a text's tokens; none: the tokens themselves are the rows of the run."""
    context_size: int | None = None
    """The most tokens that are read at a time; a longer text is read in windows side by side."""
    bos: bool | None = None
    """Whether each window begins with the BOS token."""
    special_tokens: bool = False
    """Whether the states of BOS and other tokens that are none of the text's own count too."""
    chat_template: bool = False
    """Whether a text is put into the model's chat template, as the words of its user."""
    dtype: str | None = None
    """The numbers that the model computes with."""


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
    hidden_states: HiddenStateOptions | None = None
    """How hidden states are read, with nothing left open; None for a sentence encoder."""


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


@dataclass(frozen=True)
class TokenRows:
    """The tokens of one text that count, in order, and their hidden states."""

    ids: np.ndarray
    """int32 [n]: their numbers in the vocabulary."""
    starts: np.ndarray
    """int32 [n]: the first character of each in the text."""
    ends: np.ndarray
    """int32 [n]: the character after its last; equal to its start where it stands for no character."""
    states: np.ndarray
    """float32 [n, dimension]."""


OnShares = Callable[[int, np.ndarray], None]
"""Called with a text's row and float32 [n_tokens + 1, dimension]: its shares, and last what no token brings."""


class Embedder(Protocol):
    """Text → embedding."""

    facts: EmbedderFacts
    """What its embeddings depend on."""
    precision: str
    """The numbers it computes with: float32, float16 or bfloat16."""
    device: str
    """Where it computes: cpu or cuda."""
    gives_shares: bool
    """Whether `embed` can tell, while it computes, what each token brings to an embedding."""
    whole_reason: str | None
    """None where an embedding is a sum over tokens; else why it cannot be taken apart, in words without a full stop."""

    def embed(
        self,
        texts: Sequence[str],
        *,
        batch_size: int | None = None,
        with_prompt: bool = True,
        on_batch: Callable[[int], None] | None = None,
        on_shares: OnShares | None = None,
    ) -> np.ndarray:
        """Return float32 [n, dimension]; the same list of texts gives the same bytes on the same machine.

        `on_batch` is called with the number of texts of each batch when it is done; `on_shares`, of an embedder that
        gives shares, with each text's row and its shares, the offset as their last row.
        """

    def tokens(self, texts: Sequence[str]) -> TokenCounts:
        """Return how many tokens each text has and where the embedder stops reading it."""

    def token_states(self, texts: Sequence[str], known: Sequence[np.ndarray | None] = ()) -> list[TokenStates]:
        """Return what each token of each text brings to its embedding, computed with the numbers that `embed` takes.

        A text takes n_tokens × dimension × 4 bytes: give some hundred at a time. Of a text whose shares are `known`, as
        `on_shares` gave them, nothing is computed again. Raises Refusal with `whole_reason`.
        """


class TokenEmbedder(Embedder, Protocol):
    """Hidden states of a language model: an embedder that also gives the states of single tokens."""

    def token_rows(
        self, texts: Sequence[str], *, batch_size: int | None = None, on_batch: Callable[[int], None] | None = None
    ) -> list[TokenRows]:
        """Return the tokens that count of each text, and their states, which all lie in memory: give some hundred."""

    def vocabulary(self) -> list[str]:
        """Return the words of the model's tokens, by token_id."""

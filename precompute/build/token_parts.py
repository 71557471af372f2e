"""The hidden states of a run's tokens, part by part: from their files, or from the model where these are not kept."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple, cast

import numpy as np

from featurelib.embedder import TokenEmbedder, TokenRows
from featurelib.schema import TOKEN_STATES, TOKENS, Refusal
from featurelib.storage.embeddings import EmbeddingParts, read_embeddings
from featurelib.storage.parts.part_files import read_part
from featurelib.storage.runs import Generation
from featurelib.storage.texts import read_texts
from precompute.build.config import BuildConfig

TOKEN_PART_TEXTS = 128
"""Texts in a part: their tokens' states lie in memory together (of 128 abstracts, 60 MB at 576 dimensions)."""


class TokenPart(NamedTuple):
    """The tokens of some texts, in the order of text_id and position."""

    text_ids: np.ndarray
    """int64 [n]."""
    positions: np.ndarray
    """int32 [n]."""
    states: np.ndarray
    """float32 [n, d], rounded as the run's embeddings are stored."""


@dataclass(frozen=True)
class StreamedStates(EmbeddingParts):
    """Embeddings whose parts are read from a model each time; what fits into the buffer is read once."""

    read_part: Callable[[int], np.ndarray] = lambda number: np.empty((0, 0), np.float32)
    """From a part's number to its states, float32 [n, d]."""
    dimension: int = 0
    """The length of a state."""

    def read(self, number: int) -> np.ndarray:
        """Return the states of one part, float32 [n, d]."""
        return np.asarray(self.read_part(number)[self._mask_of(number)])

    @cached_property
    def d(self) -> int:
        """The length of a state."""
        return self.dimension


class TokenStateParts:
    """The states of all tokens of a generation whose stage embed is done."""

    def __init__(self, generation: Generation, config: BuildConfig) -> None:
        self._generation, self._config = generation, config
        self.parts = tuple(generation.parts(TOKENS))
        """The part files of the tokens: as many as parts of states, with as many rows."""
        self._stored = tuple(generation.parts(TOKEN_STATES))
        if self._stored and len(self._stored) != len(self.parts):
            raise Refusal(
                f"{len(self._stored)} parts of hidden states belong to {len(self.parts)} parts of tokens; as many are "
                "expected: build again with --from embed."
            )

    @cached_property
    def text_ids(self) -> np.ndarray:
        """The text of each token, int64 [n_tokens]."""
        return np.concatenate([read_part(part, ["text_id"])["text_id"].to_numpy() for part in self.parts])

    def rows(self, mask: np.ndarray) -> EmbeddingParts:
        """The states of the tokens in `mask`, bool [n_tokens], for training and measuring."""
        if self._stored:
            return EmbeddingParts(self._stored, mask)
        dimension = self._config.open_embedder().facts.dimension
        return StreamedStates(self.parts, mask, read_part=lambda number: self.read(number).states, dimension=dimension)

    def read(self, number: int) -> TokenPart:
        """Return the tokens of one part and their states."""
        part = self.parts[number]
        places = read_part(part, ["text_id", "position"])
        text_ids, positions = places["text_id"].to_numpy(), places["position"].to_numpy()
        states = read_embeddings(self._stored[number]) if self._stored else self._from_model(np.unique(text_ids))
        if len(states) != len(text_ids):
            raise Refusal(
                f"{part.name} holds {len(text_ids):,} tokens but {len(states):,} states belong to them; as many are "
                "expected: build again with --from embed."
            )
        return TokenPart(text_ids, positions, states)

    def _from_model(self, text_ids: np.ndarray) -> np.ndarray:
        texts = read_texts(self._generation, text_ids)
        rows: list[TokenRows] = cast(TokenEmbedder, self._config.open_embedder()).token_rows(
            texts, batch_size=self._config.batch_size
        )
        dtype = self._config.embedding_dtype
        return np.concatenate([each.states.astype(dtype).astype(np.float32) for each in rows])

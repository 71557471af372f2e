"""The stand-in embedder: no weights, no torch, no network; for tests, continuous integration and trying things out.

It knows words, not meaning: every distinct word has a fixed random direction (drawn from its hash), an embedding is
the sum of the directions of a text's words, brought to length 1. Texts that share words are near each other.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Sequence

import numpy as np

from featurelib.embedder.facts import EmbedderFacts, OnShares, TokenCounts, TokenStates
from featurelib.embedder.lookup import EmbedderFiles

WORD = re.compile(r"\S+")
MAX_WORDS = 64


class StandIn:
    """An embedder of `dimension` numbers that reads the first 64 words (split at white space, case ignored).

    A text without words gives the zero vector.
    """

    precision = "float32"
    device = "cpu"
    gives_shares = False
    whole_reason: str | None = None

    def __init__(
        self, model_files: EmbedderFiles, *, prompt: str | None, normalize: bool | None, max_seq_length: int | None
    ) -> None:
        dimension = int(model_files.name.partition(":")[2])
        self._directions: dict[str, np.ndarray] = {}
        self.facts = EmbedderFacts(
            name=model_files.name,
            origin=model_files.origin,
            revision=None,
            weights_sha256=model_files.weights_sha256,
            prompt=prompt or None,
            pooling="sum",
            normalize=normalize is not False,
            max_seq_length=min(max_seq_length or MAX_WORDS, MAX_WORDS),
            dimension=dimension,
        )

    def embed(
        self,
        texts: Sequence[str],
        *,
        batch_size: int | None = None,
        with_prompt: bool = True,
        on_batch: Callable[[int], None] | None = None,
        on_shares: OnShares | None = None,
    ) -> np.ndarray:
        """Return float32 [n, dimension]; see `Embedder.embed`."""
        prompt = (self.facts.prompt or "") if with_prompt else ""
        embeddings = np.zeros((len(texts), self.facts.dimension), dtype=np.float32)
        for row, text in enumerate(texts):
            for word in (prompt + text).lower().split()[: self.facts.max_seq_length]:
                embeddings[row] += self._direction(word)
        if on_batch:
            on_batch(len(texts))
        if self.facts.normalize:
            embeddings /= np.maximum(np.linalg.norm(embeddings, axis=1, keepdims=True), 1e-12)
        return embeddings

    def tokens(self, texts: Sequence[str]) -> TokenCounts:
        """Return the words of each text, its prompt included; see `Embedder.tokens`."""
        prompt, limit = self.facts.prompt or "", self.facts.max_seq_length or MAX_WORDS
        spans = [[match.span() for match in WORD.finditer(prompt + text)] for text in texts]
        n_tokens = np.array([len(words) for words in spans], dtype=np.int32)
        cut = [max(words[limit - 1][1] - len(prompt), 0) if len(words) > limit else -1 for words in spans]
        return TokenCounts(n_tokens, n_tokens > limit, np.array(cut, dtype=np.int32))

    def token_states(self, texts: Sequence[str], known: Sequence[np.ndarray | None] = ()) -> list[TokenStates]:
        """Return the direction of each word that is read, over the length of their sum; see `Embedder.token_states`."""
        return [self._states(text) for text in texts]

    def _states(self, text: str) -> TokenStates:
        prompt, limit = self.facts.prompt or "", self.facts.max_seq_length
        words = (prompt + text).lower().split()[:limit]
        spans = np.array([match.span() for match in WORD.finditer(prompt + text)][:limit], np.int32).reshape(-1, 2)
        shares = np.array([self._direction(word) for word in words], np.float32).reshape(-1, self.facts.dimension)
        if self.facts.normalize:
            shares /= max(float(np.linalg.norm(shares.sum(axis=0, dtype=np.float64))), 1e-12)
        starts, ends = np.maximum(spans - len(prompt), 0).astype(np.int32).T
        special = spans[:, 1] <= len(prompt)
        return TokenStates(shares, np.zeros(self.facts.dimension, np.float32), starts, ends, special)

    def _direction(self, word: str) -> np.ndarray:
        if word not in self._directions:
            if len(self._directions) >= 100_000:
                self._directions.clear()
            seed = int.from_bytes(hashlib.sha256(word.encode("utf-8", "surrogatepass")).digest()[:8], "little")
            drawn = np.random.Generator(np.random.PCG64(seed)).standard_normal(self.facts.dimension)
            self._directions[word] = (drawn / np.sqrt(self.facts.dimension)).astype(np.float32)
        return self._directions[word]

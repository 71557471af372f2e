"""Hidden states as an embedder: pooled they are an embedding like any other, and its tokens can be had one by one."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from featurelib.embedder.batches import BATCH_TOKENS, choose_device, gpu_memory, spread_over_threads
from featurelib.embedder.facts import EmbedderFacts, HiddenStateOptions, OnShares, TokenCounts, TokenRows, TokenStates
from featurelib.embedder.hidden_states import POOLINGS
from featurelib.embedder.hidden_states.hooks import parse_hook
from featurelib.embedder.hidden_states.loading import load_model
from featurelib.embedder.hidden_states.states import StateReader
from featurelib.embedder.hidden_states.windows import Reading, Tokens, Window, make_reading, token_words
from featurelib.embedder.lookup import EmbedderFiles
from featurelib.schema import Refusal

MOST_CONTEXT = 1024
"""The context where none is given, for a model that has room for more."""
FEWEST_BATCHES = {"cpu": 8, "cuda": 1}
"""Batches that short texts are cut into, so that each core has some; fixed, whatever the number of cores."""
TEXTS_AT_ONCE = 512
"""Texts whose tokens are pooled together."""
NO_SUMS = {
    "last": "its pooling takes the state of the last token alone (last)",
    "max": "its pooling takes the largest value of each dimension (max)",
    "none": "its activations are those of single tokens",
}


class _Rows(NamedTuple):
    """The rows that count of one window."""

    text: int
    """Which text it is of."""
    first: int
    """The place of its first token in that text."""
    positions: np.ndarray
    """int32 [n]: the place of each token in the text; -1 for the model's own."""
    ids: np.ndarray
    """int32 [n]: its number in the vocabulary."""
    states: np.ndarray
    """float32 [n, d]."""


class HiddenStateEmbedder:
    """A transformers model that is loaded, read at one hook; made by `load_embedder`."""

    def __init__(
        self,
        model_files: EmbedderFiles,
        options: HiddenStateOptions,
        *,
        prompt: str | None,
        normalize: bool | None,
        max_seq_length: int | None,
        device: str,
    ) -> None:
        hook = parse_hook(options.hook)
        if options.pooling not in POOLINGS:
            raise Refusal(f"--pooling is {options.pooling}; one of {', '.join(POOLINGS)} is expected.")
        self.device = choose_device(device)
        loaded = load_model(model_files, device=self.device, dtype=options.dtype)
        context_size = _context(loaded.model, model_files.name, options.context_size)
        reading = make_reading(
            loaded.tokenizer,
            model_files.name,
            context_size=context_size,
            bos=options.bos,
            is_causal=loaded.is_causal,
            chat_template=options.chat_template,
        )
        self._reading = replace(reading, prefix=reading.prefix + (prompt or ""))
        self._reader = StateReader(loaded, hook)
        self._tokenizing = threading.Lock()
        self.precision = loaded.dtype
        self.gives_shares = False
        self.whole_reason = NO_SUMS.get(options.pooling)
        self.facts = EmbedderFacts(
            name=model_files.name,
            origin=model_files.origin,
            revision=model_files.revision,
            weights_sha256=model_files.weights_sha256,
            prompt=prompt or None,
            pooling=options.pooling,
            normalize=bool(normalize),
            max_seq_length=max_seq_length,
            dimension=loaded.dimension,
            hidden_states=replace(
                options,
                hook=hook.name,
                context_size=context_size,
                bos=self._reading.before == (loaded.tokenizer.bos_token_id,),
                dtype=loaded.dtype,
            ),
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
        """Return float32 [n, dimension]; see `Embedder.embed`. Pooling none gives the mean of each text's tokens.

        Raises Refusal for a text without a token.
        """
        embeddings = np.zeros((len(texts), self.facts.dimension), np.float32)
        for start in range(0, len(texts), TEXTS_AT_ONCE):
            some = texts[start : start + TEXTS_AT_ONCE]
            tokens = self._tokens(some, with_prompt)
            _refuse_empty(some, tokens)
            embeddings[start : start + len(some)] = self._pooled(tokens, batch_size)
            if on_batch:
                on_batch(len(some))
        if self.facts.normalize:
            embeddings /= np.maximum(np.linalg.norm(embeddings, axis=1, keepdims=True), 1e-12)
        return embeddings

    def tokens(self, texts: Sequence[str]) -> TokenCounts:
        """Return the tokens of each text and where reading stops; see `Embedder.tokens`."""
        limit = self.facts.max_seq_length
        whole = self._all_tokens(texts, True)
        n_tokens = np.array([len(tokens.ids) for tokens in whole], np.int32)
        truncated = n_tokens > limit if limit is not None else np.zeros(len(whole), bool)
        cut = np.full(len(whole), -1, np.int32)
        for row in np.flatnonzero(truncated):
            cut[row] = int(whole[row].ends[:limit].max(initial=0))
        return TokenCounts(n_tokens, truncated, cut)

    def token_rows(
        self, texts: Sequence[str], *, batch_size: int | None = None, on_batch: Callable[[int], None] | None = None
    ) -> list[TokenRows]:
        """Return the tokens that count of each text, and their states; see `TokenEmbedder.token_rows`."""
        tokens = self._tokens(texts, True)
        pieces: list[list[_Rows]] = [[] for _ in texts]
        for rows in self._read(tokens, batch_size, on_batch):
            pieces[rows.text].append(rows)
        return [
            self._joined(own, sorted(of_text, key=lambda rows: rows.first))
            for own, of_text in zip(tokens, pieces, strict=True)
        ]

    def vocabulary(self) -> list[str]:
        """Return the words of the model's tokens, by token_id; see `TokenEmbedder.vocabulary`."""
        return token_words(self._reading.tokenizer)

    def token_states(self, texts: Sequence[str], known: Sequence[np.ndarray | None] = ()) -> list[TokenStates]:
        """Return what each token of each text brings to its embedding; see `Embedder.token_states`."""
        if self.whole_reason is not None:
            raise Refusal(
                f"an embedding of {self.facts.name} is no sum over tokens: {self.whole_reason}; "
                "only deleting words can be shown for it."
            )
        states = []
        for rows in self.token_rows(texts):
            shares = rows.states / np.float32(max(len(rows.states), 1))
            if self.facts.normalize:
                length = float(np.linalg.norm(shares.sum(axis=0, dtype=np.float64)))
                shares = shares / np.float32(max(length, 1e-12))
            offset = np.zeros(self.facts.dimension, np.float32)
            states.append(TokenStates(shares, offset, rows.starts, rows.ends, rows.ends <= rows.starts))
        return states

    def _all_tokens(self, texts: Sequence[str], with_prompt: bool) -> list[Tokens]:
        reading = self._reading if with_prompt else self._without_prompt()
        with self._tokenizing:
            return reading.tokens(texts)

    def _tokens(self, texts: Sequence[str], with_prompt: bool) -> list[Tokens]:
        limit = self.facts.max_seq_length
        return [Tokens(*(column[:limit] for column in tokens)) for tokens in self._all_tokens(texts, with_prompt)]

    def _without_prompt(self) -> Reading:
        prompt = self.facts.prompt or ""
        return replace(self._reading, prefix=self._reading.prefix.removesuffix(prompt)) if prompt else self._reading

    def _joined(self, tokens: Tokens, pieces: list[_Rows]) -> TokenRows:
        """The rows of one text's windows, one after the other; a token of the model's own stands at no character."""
        none = np.zeros(0, np.int32)
        positions = np.concatenate([none, *(rows.positions for rows in pieces)])
        own = positions >= 0
        starts, ends = (np.zeros(len(positions), np.int32) for _ in range(2))
        starts[own], ends[own] = tokens.starts[positions[own]], tokens.ends[positions[own]]
        states = np.concatenate([np.zeros((0, self.facts.dimension), np.float32), *(rows.states for rows in pieces)])
        ids = np.concatenate([none, *(rows.ids for rows in pieces)])
        return TokenRows(ids, starts, ends, states)

    def _pooled(self, tokens: list[Tokens], batch_size: int | None) -> np.ndarray:
        """Pool window by window, so that no more than a batch of states is in memory; float32 [n, dimension]."""
        shape = (len(tokens), self.facts.dimension)
        if self.facts.pooling == "max":
            largest = np.full(shape, -np.inf, np.float32)
            for rows in self._read(tokens, batch_size, None):
                largest[rows.text] = np.maximum(largest[rows.text], rows.states.max(axis=0, initial=-np.inf))
            return largest
        total, counts, last = np.zeros(shape), np.zeros(len(tokens), np.int64), np.full(len(tokens), -1)
        for rows in self._read(tokens, batch_size, None):
            if self.facts.pooling != "last":
                total[rows.text] += rows.states.sum(axis=0, dtype=np.float64)
                counts[rows.text] += len(rows.states)
            elif len(rows.positions) and rows.first > last[rows.text]:
                last[rows.text], counts[rows.text] = rows.first, 1
                total[rows.text] = rows.states[-1]
        return (total / counts[:, None]).astype(np.float32)

    def _read(
        self, tokens: list[Tokens], batch_size: int | None, on_batch: Callable[[int], None] | None
    ) -> Iterator[_Rows]:
        """Yield the rows that count of each window, longest first; `on_batch` counts texts read to their end."""
        windows = sorted(self._reading.windows(tokens), key=lambda window: -len(window.ids))
        left = np.bincount([window.text for window in windows], minlength=len(tokens))
        n_tokens = sum(len(window.ids) for window in windows)
        most = max(1, min(BATCH_TOKENS[self.device], n_tokens // FEWEST_BATCHES[self.device]))
        batches = list(_batches(windows, batch_size or 0, most))
        with spread_over_threads(self.device, len(batches)) as each, gpu_memory(len(tokens)):
            for batch, states in each(self._reader.read, batches):
                for window, of_window in zip(batch, states, strict=True):
                    yield self._counted(window, of_window, tokens[window.text].special)
                    left[window.text] -= 1
                    if on_batch and not left[window.text]:
                        on_batch(1)

    def _counted(self, window: Window, states: np.ndarray, special: np.ndarray) -> _Rows:
        """Keep the rows that count; tokens of the model's own have negative positions."""
        places = np.arange(len(window.ids)) - window.n_before
        own = (places >= 0) & (places < window.n)
        positions = np.where(own, places + window.first, -1).astype(np.int32)
        kept = own.copy()
        kept[own] = ~special[positions[own]]
        kept = np.ones(len(places), bool) if self.facts.hidden_states.special_tokens else kept  # type: ignore[union-attr]
        return _Rows(window.text, window.first, positions[kept], window.ids[kept], states[kept])


def _context(model: object, name: str, context_size: int | None) -> int:
    """The context that is asked for, or the model's own up to 1,024 tokens; Refusal for more than it has positions."""
    config = model.config.get_text_config()  # type: ignore[attr-defined]
    own = getattr(config, "max_position_embeddings", None) or getattr(config, "n_positions", None)
    own = own - _unused_positions(model) if own else own
    if context_size is None:
        return min(own or MOST_CONTEXT, MOST_CONTEXT)
    if own is not None and context_size > own:
        raise Refusal(f"--context-size is {context_size} but {name} has positions for {own} tokens; give at most that.")
    return context_size


def _unused_positions(model: object) -> int:
    """How many of a model's positions no token has: in RoBERTa and MPNet those up to that of the padding token."""
    for name, table in model.named_modules():  # type: ignore[attr-defined]
        padding = getattr(table, "padding_idx", None)
        if name.endswith("position_embeddings") and padding is not None:
            return int(padding) + 1
    return 0


def _refuse_empty(texts: Sequence[str], tokens: list[Tokens]) -> None:
    for text, own in zip(texts, tokens, strict=True):
        if not (~own.special).any():
            raise Refusal(f"the text {text[:40]!r} has no token for this model; drop it from the source.")


def _batches(windows: list[Window], batch_size: int, n_tokens: int) -> Iterator[list[Window]]:
    """Cut windows, which come by length, longest first, into batches of so many windows or tokens."""
    start = 0
    while start < len(windows):
        size = batch_size or max(1, n_tokens // max(len(windows[start].ids), 1))
        yield windows[start : start + size]
        start += size

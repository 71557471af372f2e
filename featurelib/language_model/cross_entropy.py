"""Next-token cross-entropy of a language model with something else in place of the hidden states at a hook.

The model reads the texts in the same windows as the run. What is replaced are the states of the tokens that the run
has, thus those that the SAE was trained on: the states of BOS and of a chat template stay the model's own, unless they
are rows of the run (--special-tokens). What is predicted are the text's own tokens that follow a replaced one in the
same window; the first of a window, which follows BOS, is none of them, because no replacement could change it.

Losses are in nats. SAELens' evals average losses over batches and take ratios of averages; here all sums are taken over
all tokens before any ratio, and intervals over texts.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from featurelib.embedder.hidden_states.hooks import Hook, attach
from featurelib.embedder.hidden_states.loading import LoadedModel
from featurelib.embedder.hidden_states.windows import Reading, Tokens, Window
from featurelib.language_model.head import Head

BATCH_TOKENS = 2048
"""Tokens that go through the model together, padding included."""
LOGIT_NUMBERS = 8_000_000
"""Logits that are in memory at a time: 64 MB in float64, in which the sum over a vocabulary is exact to 1e-8, and some
copies of them."""

Replace = Callable[[np.ndarray], np.ndarray]
"""From the states of some tokens, float32 [n, d], to what takes their place."""


@dataclass(frozen=True)
class Spliced:
    """A language model whose hidden states at a hook can be replaced."""

    loaded: LoadedModel
    """The model with its head."""
    head: Head
    """That head."""
    hook: Hook
    """Where."""
    reading: Reading
    """How texts are read."""
    special_tokens: bool = False
    """Whether BOS and the like are rows of the run, and are replaced too."""
    most_tokens: int | None = None
    """Tokens of a text after which reading stops; None without a limit."""

    def tokens(self, texts: Sequence[str]) -> list[Tokens]:
        """Return the tokens of each text that are read."""
        return [Tokens(*(column[: self.most_tokens] for column in own)) for own in self.reading.tokens(texts)]


class Losses(NamedTuple):
    """The tokens that were predicted, in the order of the texts; arrays of one length."""

    texts: np.ndarray
    """Which text each is of, int64."""
    positions: np.ndarray
    """Its place among the tokens of its text that the run has, int32."""
    token_ids: np.ndarray
    """Its number in the vocabulary, int32."""
    starts: np.ndarray
    """Its first character in its text, int32."""
    ends: np.ndarray
    """The character after its last, int32."""
    clean: np.ndarray
    """−log p of it with the model left alone, float32."""
    sae: np.ndarray
    """With the SAE's reconstruction in place of the states."""
    zero: np.ndarray
    """With zeros."""
    mean: np.ndarray
    """With the mean state."""
    divergence: np.ndarray
    """KL(clean ‖ SAE) = Σ p log(p/q) over the vocabulary, float32."""


class _Placed(NamedTuple):
    """A window with what is replaced and predicted in it."""

    window: Window
    replaced: np.ndarray
    """bool: which of its tokens have their states replaced."""
    predicted: np.ndarray
    """int64: the places of the tokens that are predicted, each from the place before it."""
    positions: np.ndarray
    """int32: the place of each of these among the tokens of its text that the run has."""
    starts: np.ndarray
    """int32: the first character of each in its text."""
    ends: np.ndarray
    """int32: the character after its last."""


class _Reached(Exception):  # noqa: N818
    """Ends a forward pass at the hook."""


def sum_states(model: Spliced, texts: Sequence[str]) -> tuple[np.ndarray, int]:
    """Return the sum of the states of texts that are replaced, float64 [d], and how many there are."""
    total, n = np.zeros(model.loaded.dimension), 0

    def add(states: np.ndarray) -> np.ndarray:
        nonlocal total, n
        total += states.sum(axis=0, dtype=np.float64)
        n += len(states)
        raise _Reached

    for batch in _batches(_placed(model, texts)):
        with contextlib.suppress(_Reached):
            _final_states(model, batch, add)
    return total, n


def measure_losses(model: Spliced, texts: Sequence[str], reconstruct: Replace, mean: np.ndarray) -> Losses:
    """Return the loss of each token of texts with their states left alone, reconstructed, zero, and at the `mean` [d].

    Memory is bounded by a batch of 2,048 tokens (one window at least) and a block of logits.
    """
    replacements: tuple[Replace | None, ...] = (
        None,
        reconstruct,
        np.zeros_like,
        lambda states: np.tile(mean.astype(np.float32), (len(states), 1)),
    )
    rows: list[tuple[np.ndarray, ...]] = [tuple(np.zeros(0, kind) for kind in ("i8", *["i4"] * 4, *["f4"] * 5))]
    for batch in _batches(_placed(model, texts)):
        states = [_final_states(model, batch, replacement) for replacement in replacements]
        targets = np.concatenate([placed.window.ids[placed.predicted] for placed in batch])
        of_text = np.concatenate([np.full(len(placed.predicted), placed.window.text) for placed in batch])
        positions, starts, ends = (
            np.concatenate(column) for column in zip(*((p.positions, p.starts, p.ends) for p in batch), strict=True)
        )
        rows.append((of_text, positions, targets, starts, ends, *_losses(model.head, states, targets)))
    columns = [np.concatenate(column) for column in zip(*rows, strict=True)]
    order = np.lexsort((columns[1], columns[0]))
    return Losses(*(column[order] for column in columns))


def _placed(model: Spliced, texts: Sequence[str]) -> list[_Placed]:
    """The windows of texts, longest first, with what is replaced and predicted in each."""
    tokens = model.tokens(texts)
    n_before = np.zeros(len(texts), np.int64)
    placed = []
    for window in model.reading.windows(tokens):
        places = np.arange(len(window.ids)) - window.n_before
        own = (places >= 0) & (places < window.n)
        own[own] = ~tokens[window.text].special[places[own] + window.first]
        replaced = np.ones(len(places), bool) if model.special_tokens else own
        numbers = n_before[window.text] + np.cumsum(replaced) - 1
        n_before[window.text] += replaced.sum()
        predicted = np.flatnonzero(own[1:] & replaced[:-1]) + 1
        of_text = tokens[window.text]
        numbers_in_text = places[predicted] + window.first
        placed.append(
            _Placed(
                window,
                replaced,
                predicted,
                numbers[predicted].astype(np.int32),
                of_text.starts[numbers_in_text],
                of_text.ends[numbers_in_text],
            )
        )
    return sorted(placed, key=lambda each: -len(each.window.ids))


def _batches(placed: list[_Placed]) -> Iterator[list[_Placed]]:
    start = 0
    while start < len(placed):
        size = max(1, BATCH_TOKENS // len(placed[start].window.ids))
        yield placed[start : start + size]
        start += size


def _final_states(model: Spliced, batch: list[_Placed], replacement: Replace | None) -> Any:
    """The states behind the final norm from which the batch's tokens are predicted, tensor [n, d]."""
    import torch

    longest = max(len(placed.window.ids) for placed in batch)
    ids = torch.zeros((len(batch), longest), dtype=torch.long)
    mask = torch.zeros((len(batch), longest), dtype=torch.long)
    replaced, before = (torch.zeros((len(batch), longest), dtype=torch.bool) for _ in range(2))
    for row, placed in enumerate(batch):
        n = len(placed.window.ids)
        ids[row, :n] = torch.from_numpy(placed.window.ids.astype(np.int64))
        mask[row, :n] = 1
        replaced[row, :n] = torch.from_numpy(placed.replaced)
        before[row, torch.from_numpy(placed.predicted - 1)] = True
    attached = None
    if replacement is not None:
        attached = attach(model.loaded.model, model.hook, model.loaded.name, _replacing(replacement, replaced))
    try:
        with torch.inference_mode():
            device = model.loaded.device
            trunk = model.loaded.model.base_model
            states = trunk(input_ids=ids.to(device), attention_mask=mask.to(device), use_cache=False)[0]
    finally:
        if attached is not None:
            attached.remove()
    return states[before.to(device)]


def _replacing(replacement: Replace, replaced: Any) -> Callable[[Any], Any]:
    """What puts something else in place of the states of some tokens, [batch, tokens]."""
    import torch

    def act(states: Any) -> Any:
        changed = states.clone()
        some = states[replaced.to(states.device)].float().cpu().numpy()
        new = np.ascontiguousarray(replacement(some), np.float32)
        changed[replaced.to(states.device)] = torch.from_numpy(new).to(states.device, states.dtype)
        return changed

    return act


def _losses(head: Head, states: list[Any], targets: np.ndarray) -> list[np.ndarray]:
    """The losses of the targets from the states of each replacement, and KL(first ‖ second), each float32 [n]."""
    import torch

    wanted = torch.from_numpy(targets.astype(np.int64))
    size = max(1, LOGIT_NUMBERS // head.n_tokens)
    columns: list[list[Any]] = [[] for _ in range(len(states) + 1)]
    with torch.inference_mode():
        for start in range(0, len(wanted), size):
            some = wanted[start : start + size, None].to(states[0].device)
            clean = head.logits(states[0][start : start + size]).double().log_softmax(dim=1)
            columns[0].append(-clean.gather(1, some)[:, 0])
            for number, of_replacement in enumerate(states[1:], start=1):
                other = head.logits(of_replacement[start : start + size]).double().log_softmax(dim=1)
                columns[number].append(-other.gather(1, some)[:, 0])
                if number == 1:
                    columns[-1].append((clean.exp() * (clean - other)).sum(dim=1))
    return [torch.cat(column).float().cpu().numpy() if column else np.zeros(0, np.float32) for column in columns]

"""The logit lens: which next tokens a feature's direction makes more and less likely, read from the weights alone.

A direction d that is added to the last hidden state h adds to the logits, the unembedding being W_U [vocabulary, d] and
g the gain of the final norm (for Gemma 1 + its weight),

    RMSNorm    W_U (g ⊙ d) / rms(h + d)
    LayerNorm  W_U (g ⊙ (d − mean d)) / std(h + d)

The division depends on the text and is one number for all tokens, so it is left out: values are per unit of activation
times the norm's divisor, and compare tokens, and features whose directions are equally long. What is added to all
tokens alike changes no probability, so the mean over the vocabulary is taken away too (`LogitSpread.mean` has it). Only
what a feature writes straight into the logits is seen, not what the blocks behind the hook make of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np

from featurelib.language_model.head import Head
from featurelib.schema import HISTOGRAM_BINS, Refusal

PER_FEATURE = 10
"""Tokens that are kept of a feature on either side."""
PER_TOKEN = 10
"""Features that are kept of a token."""
BLOCK_NUMBERS = 25_000_000
"""Values of features × vocabulary that are in memory at a time: 100 MB, and some copies of them."""


class Extremes(NamedTuple):
    """The first of each of some rankings, best first; arrays of one shape."""

    ids: np.ndarray
    """int32 [n, kept]: tokens of each feature, or features of each token."""
    values: np.ndarray
    """float32 [n, kept]."""


class LogitSpread(NamedTuple):
    """How the values of each feature are spread over the vocabulary; arrays of one length, an entry per feature."""

    mean: np.ndarray
    """What was taken away from all values, float32."""
    deviation: np.ndarray
    """Their standard deviation, float32."""
    skewness: np.ndarray
    """Their third standardised moment, float32: above 0 where few tokens are raised much; 0 where all are equal."""
    kurtosis: np.ndarray
    """Their fourth standardised moment, float32: 3 for a normal distribution; 0 where all are equal."""
    left: np.ndarray
    """The lowest value, where the first bin begins, float32."""
    right: np.ndarray
    """The highest one, where the last bin ends, float32."""
    counts: np.ndarray
    """int32 [n, 40]: how many tokens have a value in each of 40 equal bins, the right end included."""


class LogitLens(NamedTuple):
    """What directions write into the logits."""

    raised: Extremes
    """The ten tokens of each feature with the highest values."""
    lowered: Extremes
    """The ten with the lowest, lowest first."""
    spread: LogitSpread
    """All values of each feature."""
    features_of: Extremes
    """The ten features of each token whose values of it are highest; -1 where there are fewer features."""


def read_logits(
    head: Head, directions: np.ndarray, *, on_features: Callable[[int], None] = lambda n: None
) -> LogitLens:
    """Read directions, float32 [n_features, d], through a model's head; `on_features` counts those that are done.

    Memory is bounded by a block of features × vocabulary. Raises Refusal for directions of another width than the
    model's.
    """
    if directions.ndim != 2 or directions.shape[1] != len(head.gain):
        raise Refusal(
            f"the directions have shape {directions.shape} but the model's hidden states have {len(head.gain)} "
            f"dimensions; give [n, {len(head.gain)}], or the model that this SAE was trained on."
        )
    raised, lowered, spreads = [], [], []
    features_of = _no_features(head.n_tokens)
    for first, values, means in _blocks(head, directions):
        raised.append(_highest(values))
        lowered.append(_lowest(values))
        spreads.append(_spread(values, means))
        features_of = _joined(features_of, first, values)
        on_features(len(values))
    return LogitLens(_stacked(raised), _stacked(lowered), _stacked(spreads), features_of)


def logit_values(head: Head, directions: np.ndarray) -> Any:
    """Return the values of directions [n, d] for all tokens, float32 tensor [n, vocabulary], and the means [n]."""
    import torch

    # a copy, because the tensor of a read-only array can be written through
    d = torch.tensor(directions, dtype=torch.float32)
    d = d - d.mean(dim=1, keepdim=True) if head.centred else d
    weight = head.unembedding.weight
    raw = (d * head.gain).to(weight.device, weight.dtype) @ weight.T
    raw = raw.float().cpu() * head.factor
    means = raw.mean(dim=1, keepdim=True)
    return raw.sub_(means), means[:, 0]


def _blocks(head: Head, directions: np.ndarray) -> Iterator[tuple[int, Any, Any]]:
    """Yield blocks of features: the first one's number, their values and the means that were taken away."""
    size = max(1, BLOCK_NUMBERS // head.n_tokens)
    for first in range(0, len(directions), size):
        yield first, *logit_values(head, directions[first : first + size])


def _highest(values: Any) -> Extremes:
    top = values.topk(min(PER_FEATURE, values.shape[1]), dim=1)
    return _ordered(top.indices.numpy(), top.values.numpy())


def _lowest(values: Any) -> Extremes:
    top = values.topk(min(PER_FEATURE, values.shape[1]), dim=1, largest=False)
    ids, lowest = _ordered(top.indices.numpy(), -top.values.numpy())
    return Extremes(ids, -lowest)


def _ordered(ids: np.ndarray, values: np.ndarray) -> Extremes:
    """Order each row by value, highest first, and equal ones by id."""
    order = np.lexsort((ids, -values), axis=1)
    return Extremes(np.take_along_axis(ids, order, 1).astype(np.int32), np.take_along_axis(values, order, 1))


def _spread(values: Any, means: Any) -> LogitSpread:
    """How the values [n, vocabulary] of some features, whose mean is 0, are spread."""
    import torch

    squares = values.square()
    variance = squares.mean(dim=1)
    safe = variance.clamp_min(torch.finfo(torch.float32).tiny)
    skewness = (squares * values).mean(dim=1) / safe**1.5
    kurtosis = squares.square_().mean(dim=1) / safe.square()
    left, right = values.min(dim=1).values, values.max(dim=1).values
    width = (right - left).clamp_min(torch.finfo(torch.float32).tiny) / HISTOGRAM_BINS
    bins = ((values - left[:, None]) / width[:, None]).long().clamp_(0, HISTOGRAM_BINS - 1)
    bins += HISTOGRAM_BINS * torch.arange(len(values))[:, None]
    counts = torch.bincount(bins.flatten(), minlength=HISTOGRAM_BINS * len(values)).reshape(-1, HISTOGRAM_BINS)
    return LogitSpread(
        mean=means.numpy(),
        deviation=variance.sqrt().numpy(),
        skewness=skewness.nan_to_num().numpy(),
        kurtosis=kurtosis.nan_to_num().numpy(),
        left=left.numpy(),
        right=right.numpy(),
        counts=counts.numpy().astype(np.int32),
    )


def _no_features(n_tokens: int) -> Extremes:
    return Extremes(
        np.full((n_tokens, PER_TOKEN), -1, np.int32), np.full((n_tokens, PER_TOKEN), -np.inf, dtype=np.float32)
    )


def _joined(before: Extremes, first: int, values: Any) -> Extremes:
    """The best features of each token, among those before and a block of values [n, vocabulary]."""
    top = values.topk(min(PER_TOKEN, len(values)), dim=0)
    ids = np.concatenate([before.ids, top.indices.numpy().T.astype(np.int32) + np.int32(first)], axis=1)
    both = _ordered(ids, np.concatenate([before.values, top.values.numpy().T], axis=1))
    return Extremes(both.ids[:, :PER_TOKEN], both.values[:, :PER_TOKEN])


def _stacked(blocks: list[Any]) -> Any:
    """Rows of blocks one after the other, column by column."""
    return type(blocks[0])(*(np.concatenate(columns) for columns in zip(*blocks, strict=True)))

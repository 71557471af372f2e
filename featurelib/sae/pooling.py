"""Pooling: a text's activation of a feature from those of its tokens.

max     the largest                     sum    all together
mean    the sum over all its tokens     last   that of its last token
topN    on each token the N largest activations count 1 and are added up (MOSAIC, arXiv 2502.11367)
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

DEFAULT = "max"


class Fired(NamedTuple):
    """Activations of tokens, or of texts: arrays of one length, ordered by row, then by feature_id."""

    rows: np.ndarray
    """int64: the token's or the text's number."""
    feature_ids: np.ndarray
    """int32."""
    activations: np.ndarray
    """float32."""


def pool(tokens: Fired, text_of_token: np.ndarray, n_texts: int, n_features: int, how: str = DEFAULT) -> Fired:
    """Return each text's activations, those above 0; `text_of_token` [n_tokens] ascends, from 0.

    `tokens` holds positive activations, at most one of a token and a feature.
    """
    if how == "last":
        tokens = _of(tokens, _is_last(text_of_token)[tokens.rows])
    elif how.startswith("top"):
        tokens = _largest(tokens, int(how.removeprefix("top")))
    keys = text_of_token[tokens.rows] * n_features + tokens.feature_ids
    order = np.argsort(keys, kind="stable")
    keys, values = keys[order], tokens.activations[order]
    first = np.flatnonzero(np.diff(keys, prepend=-1))
    pooled = _reduced(values, first, how)
    texts, feature_ids = np.divmod(keys[first], n_features)
    if how == "mean":
        pooled = pooled / np.bincount(text_of_token, minlength=n_texts)[texts]
    return Fired(texts, feature_ids.astype(np.int32), pooled.astype(np.float32))


def _of(tokens: Fired, mask: np.ndarray) -> Fired:
    return Fired(*(column[mask] for column in tokens))


def _is_last(text_of_token: np.ndarray) -> np.ndarray:
    return np.append(np.diff(text_of_token) > 0, True)[: len(text_of_token)]


def _largest(tokens: Fired, n: int) -> Fired:
    """The n largest activations of each token, the lower feature_id first among equal ones, as ones."""
    order = np.lexsort((tokens.feature_ids, -tokens.activations, tokens.rows))
    rows = tokens.rows[order]
    place = np.arange(len(rows)) - np.searchsorted(rows, rows)
    kept = _of(tokens, np.sort(order[place < n]))
    return kept._replace(activations=np.ones(len(kept.rows), np.float32))


def _reduced(values: np.ndarray, first: np.ndarray, how: str) -> np.ndarray:
    """Reduce the runs of values that begin at `first`; sums are taken in float64."""
    if not len(first):
        return values
    reduced: np.ndarray = (
        np.maximum.reduceat(values, first)
        if how in ("max", "last")
        else np.add.reduceat(values.astype(np.float64), first)
    )
    return reduced

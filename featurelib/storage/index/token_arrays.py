"""The tokens of a token run as mapped arrays: where each stands, and on which each feature fires.

A token is known by its place among all tokens of the run, which are in the order of text_id and position.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from featurelib.storage.index.arrays import ArrayWriter, offsets_of

TOKEN_OFFSETS, TOKEN_IDS, TOKEN_STARTS, TOKEN_ENDS = "token_offsets", "token_ids", "token_starts", "token_ends"
FIRED_OFFSETS, FIRED_PLACES, FIRED_ACTIVATIONS = "fired_offsets", "fired_places", "fired_activations"


class PlacedTokens(NamedTuple):
    """Some tokens: arrays of one length."""

    text_ids: np.ndarray
    """int64."""
    ids: np.ndarray
    """Their numbers in the vocabulary, int32."""
    starts: np.ndarray
    """int32, in characters of the text."""
    ends: np.ndarray
    """int32."""


class TokenArrays:
    """The arrays in an index's folder."""

    def __init__(self, folder: Path) -> None:
        names = (TOKEN_OFFSETS, TOKEN_IDS, TOKEN_STARTS, TOKEN_ENDS, FIRED_OFFSETS, FIRED_PLACES, FIRED_ACTIVATIONS)
        mapped = [np.load(folder / f"{name}.npy", mmap_mode="r", allow_pickle=False) for name in names]
        self._offsets, self._ids, self._starts, self._ends, self._fired, self._places, self._activations = mapped

    def of_feature(self, feature_id: int) -> tuple[np.ndarray, np.ndarray]:
        """The places of the tokens on which a feature fires, int64 [n], and activations, float32, strongest first."""
        if not 0 <= feature_id < len(self._fired) - 1:
            return np.empty(0, np.int64), np.empty(0, np.float32)
        own = slice(int(self._fired[feature_id]), int(self._fired[feature_id + 1]))
        return np.asarray(self._places[own]).astype(np.int64), np.asarray(self._activations[own])

    def span(self, text_id: int) -> tuple[int, int]:
        """The places of a text's tokens, from the first to before the second."""
        return int(self._offsets[text_id]), int(self._offsets[text_id + 1])

    def placed(self, places: np.ndarray) -> PlacedTokens:
        """Where the tokens at some places stand."""
        text_ids = np.searchsorted(self._offsets, places, side="right") - 1
        columns = (np.asarray(column[places]) for column in (self._ids, self._starts, self._ends))
        return PlacedTokens(text_ids.astype(np.int64), *columns)


class TokenSizes(NamedTuple):
    """How much there is of what the arrays hold."""

    n_texts: int
    """Texts."""
    n_tokens: int
    """Their tokens."""
    n_features: int
    """Features."""
    n_fired: int
    """Activations of these on those."""


def write_tokens(
    folder: Path, tokens: Iterator[pa.RecordBatch], fired: Iterator[pa.RecordBatch], size: TokenSizes
) -> None:
    """Write the arrays from rows of tokens and of token_activations_by_feature."""
    n_texts, n_tokens, n_features, n_fired = size
    counts = np.zeros(n_texts, np.int64)
    names = {TOKEN_IDS: "token_id", TOKEN_STARTS: "start", TOKEN_ENDS: "end"}
    writers = {name: ArrayWriter(folder, name, (n_tokens,), np.int32) for name in names}
    for batch in tokens:
        counts += np.bincount(batch["text_id"].to_numpy(), minlength=n_texts)
        for name, column in names.items():
            writers[name].add(batch[column].to_numpy())
    for writer in writers.values():
        writer.close()
    offsets = offsets_of(counts)
    _write(folder, TOKEN_OFFSETS, offsets)
    of_feature = np.zeros(n_features, np.int64)
    kind = np.int32 if n_tokens < np.iinfo(np.int32).max else np.int64
    places = ArrayWriter(folder, FIRED_PLACES, (n_fired,), kind)
    activations = ArrayWriter(folder, FIRED_ACTIVATIONS, (n_fired,), np.float32)
    for batch in fired:
        of_feature += np.bincount(batch["feature_id"].to_numpy(), minlength=n_features)
        places.add(offsets[batch["text_id"].to_numpy()] + batch["position"].to_numpy())
        activations.add(batch["activation"].to_numpy())
    places.close()
    activations.close()
    _write(folder, FIRED_OFFSETS, offsets_of(of_feature))


def _write(folder: Path, name: str, values: np.ndarray) -> None:
    writer = ArrayWriter(folder, name, values.shape, values.dtype)
    writer.add(values)
    writer.close()

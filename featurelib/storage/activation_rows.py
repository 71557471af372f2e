"""Activation rows (text_id, feature_id, activation) on disk, in two orders.

By text: one part per part of embeddings, ordered by text_id, feature_id. By feature: the same rows ordered by
feature_id, activation descending, text_id, in parts of about ROWS_PER_PART rows that begin and end with whole features.
Those of tokens have the token's position too, behind text_id in every order.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from featurelib.schema import BY_TEXT, TOKEN_BY_TEXT, Refusal
from featurelib.storage.parts.part_files import Part, PartFile, PartFolder, read_part

ROWS_PER_PART = 2_000_000
ROWS_IN_MEMORY = 8_000_000
"""Rows sorted at a time, about half a gigabyte; for each such group of features all parts are read once."""


@dataclass(frozen=True)
class Rows:
    """Activation rows as three arrays of one length."""

    text_ids: np.ndarray
    """int64."""
    feature_ids: np.ndarray
    """int32."""
    activations: np.ndarray
    """float32."""
    positions: np.ndarray | None = None
    """int32: the token of the text; None where the rows are of whole texts."""

    def __len__(self) -> int:
        """The number of rows."""
        return len(self.text_ids)

    def take(self, places: np.ndarray | slice) -> Rows:
        """Return the rows at `places` (positions, a mask or a slice), in that order."""
        positions = None if self.positions is None else self.positions[places]
        return Rows(self.text_ids[places], self.feature_ids[places], self.activations[places], positions)


def write_rows(place: Path | PartFile, rows: Rows) -> int:
    """Write rows to a Parquet file and return their number."""
    table = BY_TEXT if rows.positions is None else TOKEN_BY_TEXT
    places = [] if rows.positions is None else [rows.positions]
    columns = [rows.text_ids, *places, rows.feature_ids, rows.activations]
    target = place if isinstance(place, PartFile) else PartFile(place)
    return target.write(table.from_columns(columns), table.schema)


def read_rows(part: Part) -> Rows:
    """Read what `write_rows` wrote."""
    table = read_part(part)
    columns = {name: table[name].to_numpy() for name in table.schema.names if name in TOKEN_BY_TEXT.schema.names}
    return Rows(columns["text_id"], columns["feature_id"], columns["activation"], columns.get("position"))


def count_by_feature(parts: Sequence[Part], n_features: int, groups: np.ndarray, n_groups: int) -> np.ndarray:
    """Return how many rows each feature has in the parts, by group of texts: int64 [n_groups, n_features].

    groups [n_texts] holds each text's group, from 0.
    """
    counts = np.zeros(n_groups * n_features, np.int64)
    for part in parts:
        rows = read_rows(part)
        cells = groups[rows.text_ids].astype(np.int64) * n_features + rows.feature_ids
        counts += np.bincount(cells, minlength=len(counts))
    return counts.reshape(n_groups, n_features)


def split_features(counts: np.ndarray, rows_per_part: int = ROWS_PER_PART) -> list[tuple[int, int]]:
    """Split the features into ranges [first, last) with at most `rows_per_part` rows, or of one feature.

    At least one range is returned, so that a table without rows still has a part file.
    """
    ranges: list[tuple[int, int]] = []
    first = n_rows = 0
    for feature_id, count in enumerate(counts.tolist()):
        if n_rows and n_rows + count > rows_per_part:
            ranges.append((first, feature_id))
            first, n_rows = feature_id, 0
        n_rows += count
    return [*ranges, (first, len(counts))]


def sort_by_feature(
    parts: Sequence[Part],
    folder: PartFolder,
    counts: np.ndarray,
    advance: Callable[[int], None],
    *,
    rows_per_part: int = ROWS_PER_PART,
    rows_in_memory: int = ROWS_IN_MEMORY,
) -> int:
    """Write the rows of `parts` (by text) to `folder` by feature; return the number of parts.

    A part that exists is not written again. `advance` is called with the number of rows of each part. Memory is bounded
    by `rows_in_memory`, or by the rows of one feature where those are more.
    """
    ranges = split_features(counts, rows_per_part)
    for group in _groups(ranges, counts, rows_in_memory):
        missing = [number for number in group if not folder.number(number).exists]
        if missing:
            rows = _collect(parts, ranges[missing[0]][0], ranges[missing[-1]][1])
        for number in group:
            first, last = ranges[number]
            if number in missing:
                inside = rows.take(slice(*np.searchsorted(rows.feature_ids, (first, last))))
                write_rows(folder.number(number), inside)
            advance(int(counts[first:last].sum()))
    return len(ranges)


def _groups(ranges: list[tuple[int, int]], counts: np.ndarray, rows_in_memory: int) -> Iterator[list[int]]:
    """Yield the numbers of consecutive ranges that are sorted together."""
    group: list[int] = []
    n_rows = 0
    for number, (first, last) in enumerate(ranges):
        rows = int(counts[first:last].sum())
        if group and n_rows + rows > rows_in_memory:
            yield group
            group, n_rows = [], 0
        group.append(number)
        n_rows += rows
    yield group


def _collect(parts: Sequence[Part], first: int, last: int) -> Rows:
    """Return the rows of the features [first, last) in the order by feature."""
    selected = []
    for part in parts:
        rows = read_rows(part)
        selected.append(rows.take((rows.feature_ids >= first) & (rows.feature_ids < last)))
    joined = _joined(selected)
    # Both sorts of lexsort are stable and the parts are in the order of text_id: equal activations keep that order.
    return joined.take(np.lexsort((-joined.activations, joined.feature_ids)))


def _joined(rows: list[Rows]) -> Rows:
    positions = [each.positions for each in rows if each.positions is not None]
    return Rows(
        np.concatenate([each.text_ids for each in rows]),
        np.concatenate([each.feature_ids for each in rows]),
        np.concatenate([each.activations for each in rows]),
        np.concatenate(positions) if len(positions) == len(rows) else None,
    )


def incidence(chunks: Iterable[tuple[np.ndarray, np.ndarray]], n_texts: int, n_features: int) -> Any:
    """Return B, which features fire on which texts: a scipy CSC array of int32 ones [n_texts, n_features].

    `chunks` gives (text_ids, feature_ids), one part file after the other. Two rows of one text and feature are a
    Refusal, because they would count as two texts. It takes 8 bytes an activation.
    """
    from scipy.sparse import csr_array

    columns = [(np.asarray(texts, np.int32), np.asarray(features, np.int32)) for texts, features in chunks]
    empty = np.empty(0, np.int32)
    texts, features = (np.concatenate(arrays) for arrays in zip((empty, empty), *columns, strict=True))
    fires = csr_array((np.ones(len(texts), np.int32), (texts, features)), shape=(n_texts, n_features)).tocsc()
    if fires.nnz and fires.data.max() > 1:
        raise Refusal("a text has two activations of one feature; one row each is expected: build the run again.")
    return fires

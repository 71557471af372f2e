"""Which words are looked at: the top texts of each feature, 64 texts to a part."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from featurelib.schema import TEXTS, TOP_TEXT_ROWS
from featurelib.storage.runs import Generation

TEXTS_PER_PART = 64


class Pairs(NamedTuple):
    """The pairs of a feature and one of its top texts, ordered by text, then by feature."""

    text_ids: np.ndarray
    """int64."""
    feature_ids: np.ndarray
    """int32."""

    @property
    def distinct_texts(self) -> np.ndarray:
        """The texts, int64, ascending."""
        return np.unique(self.text_ids)

    @property
    def n_parts(self) -> int:
        """The number of parts that these texts make."""
        return -(-len(self.distinct_texts) // TEXTS_PER_PART)

    def features_of(self, text_id: int) -> list[int]:
        """The features of which a text is a top text."""
        first, last = np.searchsorted(self.text_ids, [text_id, text_id + 1])
        feature_ids: list[int] = self.feature_ids[first:last].tolist()
        return feature_ids


def read_pairs(generation: Generation, texts_per_feature: int) -> Pairs:
    """The pairs of each feature and its first `texts_per_feature` top texts."""
    rows = pq.read_table(generation.need(TOP_TEXT_ROWS), columns=["feature_id", "rank", "text_id"])
    rows = rows.filter(pc.field("rank") <= texts_per_feature)
    rows = rows.sort_by([("text_id", "ascending"), ("feature_id", "ascending")])
    return Pairs(rows["text_id"].to_numpy(), rows["feature_id"].to_numpy())


def part_files(generation: Generation, number: int) -> tuple[Path, Path]:
    """Where the words of a part lie, and where its attributions."""
    folder = generation.work("attributions")
    return folder / f"words-{number:05d}.parquet", folder / f"rows-{number:05d}.parquet"


def read_texts_in_parts(generation: Generation, text_ids: np.ndarray) -> Iterator[tuple[np.ndarray, list[str]]]:
    """Yield the texts with these ids, which ascend, 64 at a time; the corpus is read once from end to end."""
    waiting: list[str] = []
    start = n_yielded = 0
    with pq.ParquetFile(generation.need(TEXTS)) as opened:
        for batch in opened.iter_batches(columns=["text"]):
            inside = text_ids[(text_ids >= start) & (text_ids < start + batch.num_rows)] - start
            waiting += batch["text"].take(pa.array(inside)).to_pylist()
            start += batch.num_rows
            while len(waiting) >= TEXTS_PER_PART or (waiting and n_yielded + len(waiting) == len(text_ids)):
                n = min(TEXTS_PER_PART, len(waiting))
                yield text_ids[n_yielded : n_yielded + n], waiting[:n]
                waiting, n_yielded = waiting[n:], n_yielded + n

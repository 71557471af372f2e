"""Texts of a generation by their ids."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from featurelib.schema import TEXTS
from featurelib.storage.runs import Generation

BATCH = 4_096
"""Texts that are decoded at a time."""


def read_texts(generation: Generation, text_ids: np.ndarray) -> list[str]:
    """Return the texts with these ids, which ascend; of the others, one batch is in memory at a time."""
    return [text for texts in stream_texts(generation, text_ids) for text in texts]


def stream_texts(generation: Generation, text_ids: np.ndarray) -> Iterator[list[str]]:
    """Yield the texts with these ids, which ascend, in their order, a batch at a time.

    Groups of rows that hold none of them are not read.
    """
    with pq.ParquetFile(generation.need(TEXTS)) as opened:
        sizes = [opened.metadata.row_group(number).num_rows for number in range(opened.num_row_groups)]
        starts = np.cumsum([0, *sizes])
        for number in np.flatnonzero(np.diff(np.searchsorted(text_ids, starts))).tolist():
            start = int(starts[number])
            for batch in opened.iter_batches(BATCH, row_groups=[number], columns=["text"]):
                first, last = np.searchsorted(text_ids, (start, start + batch.num_rows))
                if last > first:
                    yield batch["text"].take(pa.array(text_ids[first:last] - start)).to_pylist()
                start += batch.num_rows

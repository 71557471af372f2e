"""Texts of a generation by their ids."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from featurelib.schema import TEXTS
from featurelib.storage.runs import Generation


def read_texts(generation: Generation, text_ids: np.ndarray) -> list[str]:
    """Return the texts with these ids, which ascend; of the others, one batch is in memory at a time."""
    texts: list[str] = []
    start = 0
    with pq.ParquetFile(generation.need(TEXTS)) as opened:
        for batch in opened.iter_batches(columns=["text"]):
            inside = text_ids[(text_ids >= start) & (text_ids < start + batch.num_rows)] - start
            texts += batch["text"].take(pa.array(inside)).to_pylist()
            start += batch.num_rows
    return texts

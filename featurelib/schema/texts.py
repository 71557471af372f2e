"""The tables of the texts: what they are, their embeddings, what the SAE makes of each."""

from __future__ import annotations

import pyarrow as pa

from featurelib.schema.table import table

TEXTS = table(
    "texts",
    "texts.parquet",
    "ingest",
    {"text_id": pa.int64(), "source_row": pa.int64(), "source_id": pa.string(), "text": pa.string()},
)
DROPPED = table(
    "dropped",
    "dropped.parquet",
    "ingest",
    {"source_row": pa.int64(), "source_id": pa.string(), "reason": pa.string()},
)
EMBEDDINGS = table(
    "embeddings",
    "embeddings",
    "embed",
    {
        "text_id": pa.int64(),
        "embedding": pa.list_(pa.float32()),
        "n_tokens": pa.int32(),
        "truncated": pa.bool_(),
        "cut": pa.int32(),
    },
    parts=True,
)
SAE_SPLIT = table("split", "split.parquet", "train", {"text_id": pa.int64(), "sae_split": pa.string()})
"""Whether the SAE was trained on a text: train, held_out or unknown."""
TEXT_SUMMARIES = table(
    "text_summaries",
    "summaries/texts.parquet",
    "encode",
    {
        "text_id": pa.int64(),
        "n_active": pa.int32(),
        "fvu": pa.float32(),
        "cosine": pa.float32(),
        "n_tokens": pa.int32(),
        "truncated": pa.bool_(),
        "cut": pa.int32(),
        "sae_split": pa.string(),
    },
)

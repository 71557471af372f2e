"""The tables of the stages ingest to encode: texts, embeddings, activations, what the SAE does to each."""

from __future__ import annotations

import pyarrow as pa

from featurelib.schema.names import table

ACTIVATION_ROWS = {"text_id": pa.int64(), "feature_id": pa.int32(), "activation": pa.float32()}

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
SPLIT = table("split", "split.parquet", "train", {"text_id": pa.int64(), "sae_split": pa.string()})
BY_TEXT = table("activations_by_text", "activations/by_text", "encode", ACTIVATION_ROWS, parts=True)
BY_FEATURE = table("activations_by_feature", "activations/by_feature", "encode", ACTIVATION_ROWS, parts=True)
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
NEIGHBOUR_ROWS = table(
    "neighbours",
    "summaries/neighbours.parquet",
    "encode",
    {"feature_id": pa.int32(), "rank": pa.int32(), "neighbour_id": pa.int32(), "cosine": pa.float32()},
)
OPPOSITE_ROWS = table(
    "opposites",
    "summaries/opposites.parquet",
    "encode",
    {"feature_id": pa.int32(), "rank": pa.int32(), "neighbour_id": pa.int32(), "cosine": pa.float32()},
)
EVALUATION = table(
    "evaluation",
    "summaries/evaluation.parquet",
    "encode",
    {
        "metric": pa.string(),
        "value": pa.float64(),
        "low": pa.float64(),
        "high": pa.float64(),
        "split": pa.string(),
        "space": pa.string(),
        "n_texts": pa.int64(),
        "formula": pa.string(),
    },
)
GATES = table(
    "gates",
    "summaries/gates.parquet",
    "encode",
    {"feature_id": pa.int32(), "gate": pa.float32(), "alignment": pa.float32()},
)

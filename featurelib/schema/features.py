"""The tables of the features: their densities, top texts and thresholds; the evaluation of the SAE."""

from __future__ import annotations

import pyarrow as pa

from featurelib.schema.table import table

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
THRESHOLDS = table(
    "gates",
    "summaries/gates.parquet",
    "encode",
    {"feature_id": pa.int32(), "gate": pa.float32(), "alignment": pa.float32()},
)
"""What each feature must exceed to fire, in the column gate, and the cosine of its encoder and direction."""
SOURCE_DENSITIES = table(
    "source_densities",
    "summaries/source_densities.parquet",
    "train",
    {"feature_id": pa.int32(), "log10_density": pa.float64()},
    came_later=True,
)
"""log10 of each feature's density in the training of an SAE that was taken, as a file beside it says; else no rows."""
WEIGHTS = table(
    "weights",
    "summaries/weights.parquet",
    "encode",
    {"feature_id": pa.int32(), "encoder_bias": pa.float32(), "b_dec_projection": pa.float32()},
    came_later=True,
)
"""Each feature's bias in the encoder, and b_dec along its direction: W_dec[f]·b_dec / ‖W_dec[f]‖."""
FEATURES = table(
    "features",
    "summaries/features.parquet",
    "summarise",
    {
        "feature_id": pa.int32(),
        "n_active": pa.int64(),
        "density": pa.float64(),
        "log10_density": pa.float64(),
        "max_activation": pa.float32(),
        "mean_activation": pa.float64(),
        "dead": pa.bool_(),
    },
)
TOP_TEXT_ROWS = table(
    "top_texts",
    "summaries/top_texts.parquet",
    "summarise",
    {"feature_id": pa.int32(), "rank": pa.int32(), "text_id": pa.int64(), "activation": pa.float32()},
)
HISTOGRAMS = table(
    "histograms",
    "summaries/histograms.parquet",
    "summarise",
    {
        "feature_id": pa.int32(),
        "bin": pa.int32(),
        "left": pa.float64(),
        "right": pa.float64(),
        "n_texts": pa.int64(),
    },
)
NEAR_MISSES = table(
    "near_misses",
    "summaries/near_misses.parquet",
    "near_misses",
    {
        "feature_id": pa.int32(),
        "rank": pa.int32(),
        "text_id": pa.int64(),
        "pre_activation": pa.float32(),
        "needed": pa.float32(),
    },
)

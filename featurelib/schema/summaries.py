"""The tables of the stages summarise, label and arrange: what is counted, keywords, maps; and the labels."""

from __future__ import annotations

import pyarrow as pa

from featurelib.schema.names import table

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
COACTIVATION_ROWS = table(
    "coactivations",
    "summaries/coactivations.parquet",
    "summarise",
    {
        "feature_id": pa.int32(),
        "rank": pa.int32(),
        "other_id": pa.int32(),
        "n_both": pa.int64(),
        "jaccard": pa.float64(),
        "conditional": pa.float64(),
        "lift": pa.float64(),
    },
)
EVIDENCE_PARTS = table(
    "evidence_parts",
    "summaries/evidence_parts.parquet",
    "summarise",
    {"text_id": pa.int64(), "part": pa.string()},
)
KEYWORDS = table(
    "keywords",
    "summaries/keywords.parquet",
    "keywords",
    {
        "feature_id": pa.int32(),
        "rank": pa.int32(),
        "keyword": pa.string(),
        "score": pa.float64(),
        "n_texts": pa.int32(),
    },
)
LABELS = table(
    "labels",
    "summaries/labels.parquet",
    "labels",
    {"feature_id": pa.int32(), "label": pa.string(), "source": pa.string()},
)
LAYOUT = table(
    "layout",
    "summaries/layout.parquet",
    "layout",
    {"feature_id": pa.int32(), "x": pa.float32(), "y": pa.float32(), "cluster": pa.int32()},
)
TEXT_LAYOUT = table(
    "text_layout",
    "summaries/text_layout.parquet",
    "layout",
    {"text_id": pa.int64(), "x": pa.float32(), "y": pa.float32()},
)

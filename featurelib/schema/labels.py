"""The tables of keywords, labels and explanations, and of how good they are."""

from __future__ import annotations

import pyarrow as pa

from featurelib.schema.table import table

LABEL_SPLIT = table(
    "evidence_parts",
    "summaries/evidence_parts.parquet",
    "summarise",
    {"text_id": pa.int64(), "part": pa.string()},
)
"""Whether labels are made from a text ("named"), chosen on it ("chosen") or tested on it ("judged")."""
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
FIDELITY = table(
    "fidelity",
    "summaries/fidelity.parquet",
    "labels",
    {
        "feature_id": pa.int32(),
        "method": pa.string(),
        "label": pa.string(),
        "predictor": pa.string(),
        "auroc": pa.float64(),
        "auroc_low": pa.float64(),
        "auroc_high": pa.float64(),
        "ap": pa.float64(),
        "ap_low": pa.float64(),
        "ap_high": pa.float64(),
        "n_fires": pa.int64(),
        "n_texts": pa.int64(),
    },
)
"""How well labels predict firing on the label test texts; in the column method "seed" is the baseline."""
KEYWORD_EVIDENCE = table(
    "keyword_evidence",
    "summaries/keyword_evidence.parquet",
    "labels",
    {
        "feature_id": pa.int32(),
        "rank": pa.int32(),
        "keyword": pa.string(),
        "origin": pa.string(),
        "pre_activation": pa.float32(),
        "fires": pa.bool_(),
        "auroc": pa.float64(),
        "ap": pa.float64(),
        "chosen": pa.bool_(),
    },
)
LABEL_VECTORS = table(
    "label_vectors",
    "summaries/label_vectors.parquet",
    "labels",
    {"feature_id": pa.int32(), "embedding": pa.list_(pa.float32())},
)
EXPLANATIONS = table(
    "explanations",
    "summaries/explanations.parquet",
    "explanations",
    {
        "feature_id": pa.int32(),
        "explanation": pa.string(),
        "model": pa.string(),
        "scorer": pa.string(),
        "score": pa.float64(),
        "low": pa.float64(),
        "high": pa.float64(),
        "n_texts": pa.int64(),
        "n_fires": pa.int64(),
        "n_unread": pa.int64(),
        "accuracy": pa.float64(),
        "precision": pa.float64(),
        "recall": pa.float64(),
        "specificity": pa.float64(),
        "f1": pa.float64(),
        "reason": pa.string(),
    },
)

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
REGIONS = table(
    "regions",
    "summaries/regions.parquet",
    "labels",
    {
        "level": pa.int32(),
        "region_id": pa.int32(),
        "parent_id": pa.int32(),
        "label": pa.string(),
        "x": pa.float32(),
        "y": pa.float32(),
        "n_features": pa.int32(),
        "n_texts": pa.int64(),
        "share": pa.float64(),
        "n_strongest": pa.int32(),
        "n_holding": pa.int32(),
        "auroc": pa.float64(),
        "ap": pa.float64(),
    },
    came_later=True,
)
"""The regions of firing_layout: the region of the next coarser level, the label (null where nothing tells it apart),
the median place, the features, the texts that belong to it and their share of all, the label's coverage, and how well
it tells which label test texts belong to the region."""
NAME_COVERAGE = table(
    "name_coverage",
    "summaries/name_coverage.parquet",
    "labels",
    {"feature_id": pa.int32(), "method": pa.string(), "n_strongest": pa.int32(), "n_holding": pa.int32()},
    came_later=True,
)
"""How many of the feature's (up to twenty) strongest label test texts hold a keyword of its label, by method."""
FEATURE_THEMES = table(
    "feature_themes",
    "summaries/feature_themes.parquet",
    "labels",
    {
        "feature_id": pa.int32(),
        "rank": pa.int32(),
        "label": pa.string(),
        "share": pa.float64(),
        "n_texts": pa.int32(),
        "n_tested": pa.int32(),
        "n_holding": pa.int32(),
    },
    came_later=True,
)
"""The themes of features whose texts are of two or three: a phrase, the share of the texts that it is made from, their
number, the label test texts that are nearest to it, and how many of these hold the phrase."""
NAME_FAILURES = table(
    "name_failures",
    "summaries/name_failures.parquet",
    "labels",
    {
        "feature_id": pa.int32(),
        "kind": pa.string(),
        "rank": pa.int32(),
        "text_id": pa.int64(),
        "cosine": pa.float32(),
        "n_held": pa.int32(),
    },
    came_later=True,
)
"""Label test texts that the label predicts and the feature passes over, and firing ones that hold no keyword of it."""
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

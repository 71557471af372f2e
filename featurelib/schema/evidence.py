"""The tables of the stages judge to audit: how good names are, words, near misses, families, flags."""

from __future__ import annotations

import pyarrow as pa

from featurelib.schema.names import table

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
TEXT_WORDS = table(
    "text_words",
    "summaries/text_words.parquet",
    "attributions",
    {"text_id": pa.int64(), "starts": pa.list_(pa.int32()), "ends": pa.list_(pa.int32())},
)
CONTRIBUTIONS = table(
    "contributions",
    "summaries/contributions.parquet",
    "attributions",
    {
        "feature_id": pa.int32(),
        "text_id": pa.int64(),
        "parts": pa.list_(pa.float32()),
        "special": pa.float32(),
        "constant": pa.float32(),
        "pre_activation": pa.float32(),
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
FAMILIES = table(
    "families",
    "summaries/families.parquet",
    "families",
    {
        "feature_id": pa.int32(),
        "family_id": pa.int32(),
        "parent_id": pa.int32(),
        "depth": pa.int32(),
        "n_both": pa.int64(),
        "conditional": pa.float64(),
        "share_of_parent": pa.float64(),
        "nesting": pa.float64(),
    },
)
FAMILY_METRICS = table(
    "family_metrics",
    "summaries/family_metrics.parquet",
    "families",
    {
        "family_id": pa.int32(),
        "root_id": pa.int32(),
        "size": pa.int32(),
        "depth": pa.int32(),
        "r_parent_child": pa.float64(),
        "r_children": pa.float64(),
        "in_block": pa.float64(),
        "off_block": pa.float64(),
        "block_ratio": pa.float64(),
        "shuffled_ratio": pa.float64(),
    },
)
KEYWORD_CLUSTERS = table(
    "keyword_clusters",
    "summaries/keyword_clusters.parquet",
    "families",
    {"feature_id": pa.int32(), "cluster": pa.int32()},
)
AUDIT = table(
    "audit",
    "summaries/audit.parquet",
    "audit",
    {
        "feature_id": pa.int32(),
        "check": pa.string(),
        "value": pa.float64(),
        "low": pa.float64(),
        "high": pa.float64(),
        "expected": pa.float64(),
        "n_texts": pa.int64(),
        "flagged": pa.bool_(),
        "detail": pa.string(),
    },
)
COPIES = table(
    "copies",
    "summaries/copies.parquet",
    "audit",
    {"text_id": pa.int64(), "copy_of": pa.int64(), "n_copies": pa.int32(), "exact": pa.bool_()},
)

"""The tables of features beside each other: directions, coactivations, families."""

from __future__ import annotations

import pyarrow as pa

from featurelib.schema.table import table

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

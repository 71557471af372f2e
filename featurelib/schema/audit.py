"""The tables of the audit: what features may fire by instead of meaning, and copies of texts."""

from __future__ import annotations

import pyarrow as pa

from featurelib.schema.table import table

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

"""The tables of the maps: where features and texts lie."""

from __future__ import annotations

import pyarrow as pa

from featurelib.schema.table import table

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

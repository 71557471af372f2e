"""The tables of the maps: where features and texts lie, and the regions of the map of what fires features."""

from __future__ import annotations

import pyarrow as pa

from featurelib.schema.table import table

LAYOUT = table(
    "layout",
    "summaries/layout.parquet",
    "layout",
    {"feature_id": pa.int32(), "x": pa.float32(), "y": pa.float32(), "cluster": pa.int32()},
)
FIRING_LAYOUT = table(
    "firing_layout",
    "summaries/firing_layout.parquet",
    "layout",
    {"feature_id": pa.int32(), "x": pa.float32(), "y": pa.float32()},
    came_later=True,
)
"""Live features by the texts on which they fire: UMAP of their mean embeddings (featurelib.layout.FiringMeans)."""
REGION_FEATURES = table(
    "region_features",
    "summaries/region_features.parquet",
    "layout",
    {"level": pa.int32(), "region_id": pa.int32(), "feature_id": pa.int32()},
    came_later=True,
)
"""The region of firing_layout that each live feature lies in, at each level: 0 is the coarsest."""
REGION_TEXTS = table(
    "region_texts",
    "summaries/region_texts.parquet",
    "layout",
    {"level": pa.int32(), "region_id": pa.int32(), "text_id": pa.int64(), "strength": pa.float32()},
    came_later=True,
)
"""The region of each text on which features fire: that with the greatest strength, Σ a/max a·ln(1/density) over its
features; the strongest text of a region first."""
TEXT_LAYOUT = table(
    "text_layout",
    "summaries/text_layout.parquet",
    "layout",
    {"text_id": pa.int64(), "x": pa.float32(), "y": pa.float32()},
)

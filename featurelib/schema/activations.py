"""The tables of the activations: the same rows in two orders."""

from __future__ import annotations

import pyarrow as pa

from featurelib.schema.table import table

ROWS = {"text_id": pa.int64(), "feature_id": pa.int32(), "activation": pa.float32()}

BY_TEXT = table("activations_by_text", "activations/by_text", "encode", ROWS, parts=True)
BY_FEATURE = table("activations_by_feature", "activations/by_feature", "encode", ROWS, parts=True)

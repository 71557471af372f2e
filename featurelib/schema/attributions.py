"""The tables of what words add to pre-activations."""

from __future__ import annotations

import pyarrow as pa

from featurelib.schema.table import table

TEXT_WORDS = table(
    "text_words",
    "summaries/text_words.parquet",
    "attributions",
    {"text_id": pa.int64(), "starts": pa.list_(pa.int32()), "ends": pa.list_(pa.int32())},
)
ATTRIBUTIONS = table(
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
"""The attributions of a text's words to a feature: what each adds to its pre-activation, in the list column parts."""

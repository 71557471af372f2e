"""The tables of a token run that come from its language model: what directions write, what reconstructions cost."""

from __future__ import annotations

import pyarrow as pa

from featurelib.schema.table import table

STAGE = "language_model"

LOGIT_LENS = table(
    "logit_lens",
    "summaries/logit_lens.parquet",
    STAGE,
    {
        "feature_id": pa.int32(),
        "side": pa.string(),
        "rank": pa.int32(),
        "token_id": pa.int32(),
        "logit": pa.float32(),
    },
    only_tokens=True,
)
"""The ten tokens that a feature's direction raises most (side raised) and lowers most (lowered, lowest first)."""
LOGIT_HISTOGRAMS = table(
    "logit_histograms",
    "summaries/logit_histograms.parquet",
    STAGE,
    {
        "feature_id": pa.int32(),
        "mean_logit": pa.float32(),
        "deviation": pa.float32(),
        "skewness": pa.float32(),
        "kurtosis": pa.float32(),
        "lowest": pa.float32(),
        "highest": pa.float32(),
        "counts": pa.list_(pa.int32()),
    },
    only_tokens=True,
)
"""How a feature's logits are spread over the vocabulary: 40 equal bins from the lowest to the highest."""
RAISING_FEATURES = table(
    "raising_features",
    "summaries/raising_features.parquet",
    STAGE,
    {"token_id": pa.int32(), "rank": pa.int32(), "feature_id": pa.int32(), "logit": pa.float32()},
    only_tokens=True,
)
"""The ten features that raise each token of the vocabulary most, among all features of the SAE."""
CROSS_ENTROPY = table(
    "cross_entropy",
    "summaries/cross_entropy.parquet",
    STAGE,
    {
        "metric": pa.string(),
        "value": pa.float64(),
        "low": pa.float64(),
        "high": pa.float64(),
        "split": pa.string(),
        "n_texts": pa.int64(),
        "n_tokens": pa.int64(),
        "formula": pa.string(),
    },
    only_tokens=True,
)
"""The model's next-token loss with hidden states left alone, reconstructed, at zero and at their mean."""
TOKEN_LOSSES = table(
    "token_losses",
    "summaries/token_losses.parquet",
    STAGE,
    {
        "rank": pa.int32(),
        "text_id": pa.int64(),
        "position": pa.int32(),
        "token_id": pa.int32(),
        "start": pa.int32(),
        "end": pa.int32(),
        "clean": pa.float32(),
        "reconstructed": pa.float32(),
    },
    only_tokens=True,
)
"""The tokens whose loss the reconstruction raises most, and that loss before and after."""

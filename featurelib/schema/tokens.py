"""The tables of a token run, whose SAE reads the hidden state of each token: tokens, their states and activations.

`position` counts the tokens of a text that the run has, from 0.
"""

from __future__ import annotations

import pyarrow as pa

from featurelib.schema.table import table

PLACE = {"text_id": pa.int64(), "position": pa.int32()}
ROWS = PLACE | {"feature_id": pa.int32(), "activation": pa.float32()}

TOKENS = table(
    "tokens",
    "tokens",
    "embed",
    PLACE | {"token_id": pa.int32(), "start": pa.int32(), "end": pa.int32()},
    parts=True,
    only_tokens=True,
)
"""Where each token stands in its text, in characters; start is end for a token that stands for none, such as BOS."""
TOKEN_STATES = table(
    "token_states",
    "token_states",
    "embed",
    PLACE | {"embedding": pa.list_(pa.float32())},
    parts=True,
    only_tokens=True,
)
"""The hidden states; not there in a run that was built with --no-keep-embeddings."""
VOCABULARY = table(
    "vocabulary",
    "vocabulary.parquet",
    "embed",
    {"token_id": pa.int32(), "token": pa.string()},
    only_tokens=True,
)
"""The words of the model's tokens; a token that is part of a character is written as <0xE2>."""
TOKEN_BY_TEXT = table(
    "token_activations_by_text", "token_activations/by_text", "encode", ROWS, parts=True, only_tokens=True
)
TOKEN_BY_FEATURE = table(
    "token_activations_by_feature", "token_activations/by_feature", "encode", ROWS, parts=True, only_tokens=True
)
TOKEN_FEATURES = table(
    "token_features",
    "summaries/token_features.parquet",
    "summarise",
    {
        "feature_id": pa.int32(),
        "n_tokens": pa.int64(),
        "density": pa.float64(),
        "log10_density": pa.float64(),
        "mean_activation": pa.float64(),
    },
    only_tokens=True,
)
"""On how many tokens a feature fires, and the share of all; the mean is over those on which it fires."""
MOST_FEATURE_TOKENS = 20
FEATURE_TOKENS = table(
    "feature_tokens",
    "summaries/feature_tokens.parquet",
    "summarise",
    {
        "feature_id": pa.int32(),
        "token_id": pa.int32(),
        "often": pa.int32(),
        "strong": pa.int32(),
        "n_fired": pa.int64(),
        "n_corpus": pa.int64(),
        "mean_activation": pa.float64(),
        "max_activation": pa.float32(),
    },
    only_tokens=True,
)
"""The tokens of the vocabulary on which a feature fires most often or most strongly: their ranks by both, from 1; the
20 first of each. It fires on n_fired of the token's n_corpus places in the corpus; the mean is over these."""

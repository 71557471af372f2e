"""The worker on the tokens of a text, in a token run. Only the worker imports this file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from featurelib.embedder import TokenEmbedder, TokenRows
from featurelib.live.results import Attribution
from featurelib.live.worker.models import embedder_facts, mean_token, open_sae
from featurelib.sae.evaluation import measure_texts
from featurelib.sae.near_misses import nearest_at_gate
from featurelib.sae.pooling import DEFAULT, Fired, pool
from featurelib.schema import Refusal
from featurelib.storage.runs import Generation


class EncodedText(NamedTuple):
    """What the SAE makes of the tokens of one text."""

    tokens: TokenRows
    """The tokens, and their states rounded as the run's own are."""
    fired: Fired
    """The activations of the tokens; rows count tokens."""
    feature_ids: np.ndarray
    """The features of the text, int32, ascending."""
    activations: np.ndarray
    """Their pooled activations, float32."""
    fvu: float
    """Σ‖x−x̂‖²/Σ‖x−x̄‖² over its tokens, x̄ the mean of the run's."""
    cosine: float
    """The mean over its tokens of cos(x, x̂)."""


def encode_texts(generation: Path, embedder: TokenEmbedder, texts: Sequence[str]) -> list[EncodedText]:
    """Return what the SAE makes of each of some texts; Refusal for one without a token."""
    done = Generation(generation).done("encode")
    how = done.facts.get("pool", DEFAULT) if done else DEFAULT
    return [_encoded(generation, rows, how) for rows in read_tokens(generation, embedder, texts)]


def read_tokens(generation: Path, embedder: TokenEmbedder, texts: Sequence[str]) -> list[TokenRows]:
    """Return the tokens of some texts, their states rounded as the run's own are; Refusal for one without a token."""
    dtype = embedder_facts(generation)["dtype"]
    rows = embedder.token_rows(texts)
    for each in rows:
        if not len(each.ids):
            raise Refusal("the model finds no token in this text; type a word.")
        if not np.isfinite(each.states).all():
            raise Refusal("a hidden state of this text holds NaN or infinity; try another text.")
    return [TokenRows(each.ids, each.starts, each.ends, each.states.astype(dtype).astype(np.float32)) for each in rows]


def _encoded(generation: Path, tokens: TokenRows, how: str) -> EncodedText:
    sae, x = open_sae(generation), tokens.states
    sparse = sae.encode_sparse(x)
    fired = Fired(sparse.rows.numpy(), sparse.feature_ids.numpy().astype(np.int32), sparse.activations.numpy())
    pooled = pool(fired, np.zeros(len(x), np.int64), 1, sae.n_features, how)
    mean = mean_token(generation)
    quality = measure_texts(x, sae.rebuild(x, sparse).numpy(), np.zeros(len(x)), mean, mean[None])
    spread = float(quality.spread.sum())
    fvu = float(quality.error.sum()) / spread if spread else float("inf")
    return EncodedText(tokens, fired, pooled.feature_ids, pooled.activations, fvu, float(quality.cosine.mean()))


def attributions(generation: Path, embedder: TokenEmbedder, text: str, feature_ids: Sequence[int]) -> list[Attribution]:
    """Return the activation of some features on each token of a text: no sum, but values of single tokens."""
    sae = open_sae(generation)
    encoded = encode_texts(generation, embedder, [text])[0]
    tokens, fired = encoded.tokens, encoded.fired
    at_gate = nearest_at_gate(sae, tokens.states)
    return [
        Attribution(
            feature_id=feature_id,
            starts=tokens.starts[rows],
            ends=tokens.ends[rows],
            by_word=fired.activations[fired.feature_ids == feature_id],
            special=0.0,
            constant=0.0,
            pre_activation=float(at_gate.pre_activations[0, feature_id]),
            threshold=float(at_gate.thresholds[0, feature_id]),
            is_sum=False,
        )
        for feature_id in feature_ids
        for rows in [fired.rows[fired.feature_ids == feature_id]]
    ]

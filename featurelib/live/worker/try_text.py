"""The worker on texts of the user's own: which features fire on them. Only the worker imports this file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from featurelib.live.results import FeatureOnText, TriedClosely, TriedText
from featurelib.live.worker.models import (
    check_features,
    embed_texts,
    mean_embedding,
    open_embedder,
    open_sae,
    token_embedder,
)
from featurelib.live.worker.tokens import EncodedText, encode_texts, read_tokens
from featurelib.sae.evaluation import measure_texts
from featurelib.sae.model import AtGate
from featurelib.sae.near_misses import nearest_at_gate

MOST_MISSED = 20
"""Features that do not fire, but nearly, of which the answer tells."""


def try_text(generation: Path, text: str) -> TriedText:
    """Return the features that fire on a text, how much of it was read and what the SAE lost."""
    return try_lines(generation, [text])[0]


def try_lines(generation: Path, texts: Sequence[str]) -> list[TriedText]:
    """Return the same for each of several texts, in their order."""
    embedder = token_embedder(generation)
    if embedder is not None:
        return _tried_tokens(generation, texts, encode_texts(generation, embedder, texts))
    return _tried(generation, texts, embed_texts(generation, texts))


def try_closely(generation: Path, text: str) -> TriedClosely:
    """Return the same for a text, with its embedding and the features that nearly fire on it."""
    x = embed_texts(generation, [text])
    tried = try_text(generation, text)
    ids, pre_activations, thresholds = _nearly_firing(_at_gate(generation, text))
    return TriedClosely(
        **vars(tried),
        embedding=x[0],
        missed_ids=ids,
        missed_pre_activations=pre_activations,
        missed_thresholds=thresholds,
    )


def embed(generation: Path, text: str) -> np.ndarray:
    """Return the embedding of a text, float32 [d]."""
    return embed_texts(generation, [text]).ravel()


def pre_activation(generation: Path, text: str, feature_id: int) -> FeatureOnText:
    """Return what a text does to one feature."""
    sae = open_sae(generation)
    check_features(sae, [feature_id])
    tried = try_text(generation, text)
    at_gate = _at_gate(generation, text)
    activation = float(tried.activations[tried.feature_ids == feature_id].sum())
    return FeatureOnText(
        activation=activation,
        pre_activation=float(at_gate.pre_activations[0, feature_id]),
        threshold=float(sae.thresholds()[feature_id]),
        fires=activation > 0,
    )


def _tried_tokens(generation: Path, texts: Sequence[str], encoded: Sequence[EncodedText]) -> list[TriedText]:
    counts = open_embedder(generation).tokens([*texts, ""])
    tried = []
    for row, of_text in enumerate(encoded):
        order = np.lexsort((of_text.feature_ids, -of_text.activations))
        tried.append(
            TriedText(
                feature_ids=of_text.feature_ids[order],
                activations=of_text.activations[order],
                n_tokens=int(counts.n_tokens[row]),
                truncated=bool(counts.truncated[row]),
                cut=int(counts.cut[row]),
                fvu=of_text.fvu,
                cosine=of_text.cosine,
                wordless=False,
            )
        )
    return tried


def _tried(generation: Path, texts: Sequence[str], x: np.ndarray) -> list[TriedText]:
    sae = open_sae(generation)
    sparse = sae.encode_sparse(x)
    rows, feature_ids, activations = (column.numpy() for column in sparse)
    n_active = np.bincount(rows, minlength=len(texts))
    mean = mean_embedding(generation)
    quality = measure_texts(x, sae.rebuild(x, sparse).numpy(), n_active, mean, mean[None])
    # the tokens of the empty text are the prompt's and the special ones, which every text has
    tokens = open_embedder(generation).tokens([*texts, ""])
    ends = np.cumsum(n_active)
    tried = []
    for row, (start, end) in enumerate(zip(ends - n_active, ends, strict=True)):
        order = start + np.lexsort((feature_ids[start:end], -activations[start:end]))
        tried.append(
            TriedText(
                feature_ids=feature_ids[order],
                activations=activations[order],
                n_tokens=int(tokens.n_tokens[row]),
                truncated=bool(tokens.truncated[row]),
                cut=int(tokens.cut[row]),
                fvu=float(quality.fvu[row]),
                cosine=float(quality.cosine[row]),
                wordless=bool(tokens.n_tokens[row] <= tokens.n_tokens[-1]),
            )
        )
    return tried


def _at_gate(generation: Path, text: str) -> AtGate:
    """What happens at the gate for a text, each [1, n_features]; in a token run for its token nearest to firing."""
    sae, embedder = open_sae(generation), token_embedder(generation)
    if embedder is not None:
        return nearest_at_gate(sae, read_tokens(generation, embedder, [text])[0].states)
    return next(iter(sae.at_gate(embed_texts(generation, [text]))))


def _nearly_firing(at_gate: AtGate) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return ids, pre-activations and thresholds of features that are silent, the nearest to firing first."""
    pre_activations, thresholds, fires = (column[0].numpy() for column in at_gate)
    silent = np.flatnonzero(~fires)
    nearest = silent[np.lexsort((silent, (thresholds - pre_activations)[silent]))][:MOST_MISSED]
    return nearest, pre_activations[nearest], thresholds[nearest]

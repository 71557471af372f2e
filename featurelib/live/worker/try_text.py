"""The worker on texts of the user's own: which features fire on them. Only the worker imports this file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from featurelib.live.results import FeatureOnText, TriedClosely, TriedText
from featurelib.live.worker.models import check_features, embed_texts, mean_embedding, open_embedder, open_sae
from featurelib.sae.evaluation import measure_texts

MOST_MISSED = 20
"""Features that do not fire, but nearly, of which the answer tells."""


def try_text(generation: Path, text: str) -> TriedText:
    """Return the features that fire on a text, how much of it was read and what the SAE lost."""
    return try_lines(generation, [text])[0]


def try_lines(generation: Path, texts: Sequence[str]) -> list[TriedText]:
    """Return the same for each of several texts, in their order."""
    return _tried(generation, texts, embed_texts(generation, texts))


def try_closely(generation: Path, text: str) -> TriedClosely:
    """Return the same for a text, with its embedding and the features that nearly fire on it."""
    x = embed_texts(generation, [text])
    tried = _tried(generation, [text], x)[0]
    ids, pre_activations, thresholds = _nearly_firing(generation, x)
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
    x = embed_texts(generation, [text])
    activation = float(sae.encode(x)[0, feature_id])
    return FeatureOnText(
        activation=activation,
        pre_activation=float(sae.pre_activations(x)[0, feature_id]),
        threshold=float(sae.thresholds()[feature_id]),
        fires=activation > 0,
    )


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


def _nearly_firing(generation: Path, x: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return ids, pre-activations and thresholds of features silent on x [1, d], the nearest to firing first."""
    at_gate = next(iter(open_sae(generation).at_gate(x)))
    pre_activations, thresholds, fires = (column[0].numpy() for column in at_gate)
    silent = np.flatnonzero(~fires)
    nearest = silent[np.lexsort((silent, (thresholds - pre_activations)[silent]))][:MOST_MISSED]
    return nearest, pre_activations[nearest], thresholds[nearest]

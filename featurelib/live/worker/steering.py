"""The worker on steering and on the similarity of two texts. Only the worker imports this file."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import numpy as np

from featurelib import steering
from featurelib.live.results import Steered
from featurelib.live.worker.models import Stamp, check_features, embed_texts, embedder_facts, open_sae, stamp
from featurelib.sae.model import SAE
from featurelib.schema import EMBEDDINGS, Refusal
from featurelib.storage.embeddings import read_embeddings
from featurelib.storage.runs import Generation

UNIT = 1e-3
"""How far a length may lie from 1: float16 rounds an embedding of dimension 384 by some 3e-4."""
CHECKED = 8


def steer(generation: Path, text: str | list[float], feature_ids: list[int], activations: list[float]) -> Steered:
    """Return the embedding of a text, typed or stored, before and after features are set to `activations`."""
    _refuse_tokens(generation)
    sae = open_sae(generation)
    x = _embedding(generation, text, sae)
    _check(sae, feature_ids, activations)
    ids, strengths = _firing(sae, x)
    own = np.zeros(sae.n_features, np.float32)
    own[ids] = strengths
    scale = steering.row_scale(sae, x)[0]
    renormalise = _has_unit_length(generation)
    directions = sae.W_dec[feature_ids].numpy()
    wanted = np.array(activations, np.float32)
    after = steering.steer(x, own[feature_ids], wanted, directions, scale=scale, renormalise=renormalise)
    after_ids, after_activations = _firing(sae, after)
    return Steered(
        before=x,
        after=after,
        cosine=_cosine(x, after),
        renormalised=renormalise,
        scale=scale,
        feature_ids=ids,
        activations=strengths,
        after_ids=after_ids,
        after_activations=after_activations,
    )


def similarity(generation: Path, a: str | list[float], b: str | list[float]) -> steering.Similarity:
    """Return the cosine of two texts, typed or stored, as a sum."""
    _refuse_tokens(generation)
    sae = open_sae(generation)
    first, second = (steering.decompose(sae, _embedding(generation, text, sae)) for text in (a, b))
    return steering.similarity(first, second)


def _refuse_tokens(generation: Path) -> None:
    if embedder_facts(generation).get("pooling") == "none":
        raise Refusal(
            "the features of this run are those of single tokens, and a text has no embedding that they add up to; "
            "change them in the model itself, on the page Intervene."
        )


def _embedding(generation: Path, text: str | list[float], sae: SAE) -> np.ndarray:
    """Return the embedding of a typed text, made as the run's own were, or the given numbers; float32 [d]."""
    x = embed_texts(generation, [text])[0] if isinstance(text, str) else np.array(text, dtype=np.float32)
    if x.shape != (sae.d_in,) or not np.isfinite(x).all():
        raise Refusal(f"an embedding of {sae.d_in} finite numbers is expected; verify the run.")
    return x


def _check(sae: SAE, feature_ids: list[int], activations: list[float]) -> None:
    check_features(sae, feature_ids)
    if not all(np.isfinite(activation) and activation >= 0 for activation in activations):
        raise Refusal("an activation is a finite number from 0; a feature cannot be set to anything else.")


def _firing(sae: SAE, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the features that fire on an embedding, the most strongly active first, and their activations."""
    sparse = sae.encode_sparse(x[None])
    ids, strengths = sparse.feature_ids.numpy(), sparse.activations.numpy()
    order = np.lexsort((ids, -strengths))
    return ids[order], strengths[order]


def _cosine(x: np.ndarray, y: np.ndarray) -> float | None:
    """Return the cosine of two embeddings: exactly 1 for equal ones, None where one of them is zero."""
    if np.array_equal(x, y):
        return 1.0
    lengths = np.linalg.norm(x.astype(np.float64)) * np.linalg.norm(y.astype(np.float64))
    return float(x.astype(np.float64) @ y / lengths) if lengths else None


def _has_unit_length(generation: Path) -> bool:
    """Return whether the run's embeddings have length 1: as the embedder says, else as measured."""
    normalize = embedder_facts(generation)["normalize"]
    return (
        _measured_unit(generation, stamp(Generation(generation).file(EMBEDDINGS)))
        if normalize is None
        else bool(normalize)
    )


@lru_cache(maxsize=CHECKED)
def _measured_unit(generation: Path, stamp: Stamp) -> bool:
    """Return whether every embedding of the first part file that is not zero has length 1."""
    first = Generation(generation).parts(EMBEDDINGS)[0]
    lengths = np.linalg.norm(read_embeddings(first).astype(np.float64), axis=1)
    lengths = lengths[lengths > 0]
    return len(lengths) > 0 and bool((np.abs(lengths - 1) < UNIT).all())

"""What the worker answers about turned features and about similarity. Only the worker imports this file."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from featurelib import steering
from featurelib.live.worker.models import _embedded, _open_sae, _stamp, _told
from featurelib.sae.model import SAE
from featurelib.schema import EMBEDDINGS, Refusal
from featurelib.storage.embeddings import read_embeddings

UNIT = 1e-3
"""How far a length may lie from 1: float16 rounds an embedding of dimension 384 by some 3e-4."""
CHECKED = 8


def steer(
    generation: Path, given: str | list[float], feature_ids: list[int], activations: list[float]
) -> dict[str, Any]:
    """The embedding of a text, or a stored one, before and after features were turned to `activations`."""
    sae = _open_sae(generation)
    x = _embedding(generation, given, sae)
    _check(sae, feature_ids, activations)
    ids, strengths = _firing(sae, x)
    own = np.zeros(sae.n_features, np.float32)
    own[ids] = strengths
    scale = steering.row_scale(sae, x)[0]
    unit = _has_unit_length(generation)
    directions = sae.W_dec[feature_ids].numpy()
    after = steering.steer(x, own[feature_ids], activations, directions, scale=scale, renormalise=unit)
    again_ids, again = _firing(sae, after)
    return {
        "before": x.tolist(),
        "after": after.tolist(),
        "cosine": _cosine(x, after),
        "renormalised": unit,
        "scale": scale,
        "feature_ids": ids.tolist(),
        "activations": strengths.tolist(),
        "again_ids": again_ids.tolist(),
        "again_activations": again.tolist(),
    }


def similarity(generation: Path, a: str | list[float], b: str | list[float]) -> dict[str, Any]:
    """The cosine of two texts, typed or stored, and its parts."""
    sae = _open_sae(generation)
    embeddings = [_embedding(generation, given, sae) for given in (a, b)]
    first, second = (steering.pieces(sae, x) for x in embeddings)
    found = steering.similarity(first, second)
    strengths = sae.encode(np.stack(embeddings)).numpy()
    return {
        **{name: getattr(found, name) for name in ("cosine", "shared", "cross", "constant", "skip", "unexplained")},
        "feature_ids": found.feature_ids.tolist(),
        "shares": found.shares.tolist(),
        "activations": strengths[:, found.feature_ids].T.tolist(),
        "pairs": found.pairs.tolist(),
        "pair_shares": found.pair_shares.tolist(),
        "n_active": [len(first.feature_ids), len(second.feature_ids)],
        "has_skip": sae.W_skip is not None,
    }


def _embedding(generation: Path, given: str | list[float], sae: SAE) -> np.ndarray:
    """Float32 [d]: that of a typed text, made as the run's own were, or one that was given."""
    x = _embedded(generation, given)[0] if isinstance(given, str) else np.array(given, dtype=np.float32)
    if x.shape != (sae.d_in,) or not np.isfinite(x).all():
        raise Refusal(f"an embedding of {sae.d_in} finite numbers is expected; verify the run.")
    return x


def _check(sae: SAE, feature_ids: list[int], activations: list[float]) -> None:
    for feature_id in feature_ids:
        if not 0 <= feature_id < sae.n_features:
            raise Refusal(f"there is no feature {feature_id}; this run has the features 0 to {sae.n_features - 1}.")
    if not all(np.isfinite(one) and one >= 0 for one in activations):
        raise Refusal("an activation is a finite number from 0; a feature cannot be turned to anything else.")


def _firing(sae: SAE, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The features that fire on an embedding, the strongest first, and their activations."""
    found = sae.encode_sparse(x[None])
    ids, strengths = found.feature_ids.numpy(), found.activations.numpy()
    order = np.lexsort((ids, -strengths))
    return ids[order], strengths[order]


def _cosine(x: np.ndarray, y: np.ndarray) -> float | None:
    """Exactly 1 for equal embeddings, None where one of them is zero."""
    if np.array_equal(x, y):
        return 1.0
    lengths = np.linalg.norm(x.astype(np.float64)) * np.linalg.norm(y.astype(np.float64))
    return float(x.astype(np.float64) @ y / lengths) if lengths else None


def _has_unit_length(generation: Path) -> bool:
    """Whether the run's embeddings have length 1: as the embedder says, or as those that were given are."""
    told = _told(generation)["normalize"]
    return _measured_unit(generation, _stamp(generation / EMBEDDINGS.path)) if told is None else bool(told)


@lru_cache(maxsize=CHECKED)
def _measured_unit(generation: Path, stamp: tuple[tuple[str, int, int], ...]) -> bool:
    """Whether every embedding of the first part that is not zero has length 1."""
    first = min((generation / EMBEDDINGS.path).glob("part-*.parquet"))
    lengths = np.linalg.norm(read_embeddings(first).astype(np.float64), axis=1)
    lengths = lengths[lengths > 0]
    return len(lengths) > 0 and bool((np.abs(lengths - 1) < UNIT).all())

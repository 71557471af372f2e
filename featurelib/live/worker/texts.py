"""Texts of the user's own through embedder and SAE: one, one closely, several. Only the worker imports this file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from featurelib.live.worker.models import _embedded_all, _mean, _open_embedder, _open_sae, _stamp
from featurelib.sae.evaluation import measure_texts
from featurelib.sae.model import SAE
from featurelib.schema import EMBEDDINGS

BELOW = 20
"""Features just below their gates that are told of."""


def try_text(generation: Path, text: str) -> dict[str, Any]:
    """The features that a text turns on, what the embedder read of it and what the SAE lost."""
    return _tried(generation, [text], _embedded_all(generation, [text]))[0]


def try_lines(generation: Path, texts: Sequence[str]) -> dict[str, Any]:
    """What each of several texts does, in their order."""
    return {"lines": _tried(generation, texts, _embedded_all(generation, texts))}


def try_closely(generation: Path, text: str) -> dict[str, Any]:
    """What a text does, with its embedding and the features that it only just does not turn on."""
    x = _embedded_all(generation, [text])
    below = _just_below(_open_sae(generation), x)
    return _tried(generation, [text], x)[0] | {"embedding": x[0].tolist()} | below


def _tried(generation: Path, texts: Sequence[str], x: np.ndarray) -> list[dict[str, Any]]:
    sae = _open_sae(generation)
    found = sae.encode_sparse(x)
    rows, feature_ids, activations = (column.numpy() for column in found)
    n_active = np.bincount(rows, minlength=len(texts))
    mean = _mean(generation, _stamp(generation / EMBEDDINGS.path))
    quality = measure_texts(x, sae.rebuild(x, found).numpy(), n_active, mean, mean[None])
    # the empty text has the prompt and the special tokens, which are of no text's own
    counts = _open_embedder(generation).tokens([*texts, ""])
    ends = np.cumsum(n_active)
    told = []
    for row, (start, end) in enumerate(zip(ends - n_active, ends, strict=True)):
        order = start + np.lexsort((feature_ids[start:end], -activations[start:end]))
        told.append(
            {
                "feature_ids": feature_ids[order].tolist(),
                "activations": activations[order].tolist(),
                "n_tokens": int(counts.n_tokens[row]),
                "truncated": bool(counts.truncated[row]),
                "cut": int(counts.cut[row]),
                "wordless": bool(counts.n_tokens[row] <= counts.n_tokens[-1]),
                "fvu": float(quality.fvu[row]),
                "cosine": float(quality.cosine[row]),
            }
        )
    return told


def _just_below(sae: SAE, x: np.ndarray) -> dict[str, Any]:
    """The silent features of one text, x [1, d], by how much their pre-activations miss what was needed."""
    gate = next(sae.at_gate(x))
    z, needed, fires = (column[0].numpy() for column in gate)
    silent = np.flatnonzero(~fires)
    nearest = silent[np.lexsort((silent, (needed - z)[silent]))][:BELOW]
    return {"below_ids": nearest.tolist(), "below": z[nearest].tolist(), "needed": needed[nearest].tolist()}

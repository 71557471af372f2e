"""Where a training begins: the texts' mean and spread, and directions of training texts drawn by seed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from featurelib.schema import Refusal

if TYPE_CHECKING:
    import torch

    from featurelib.sae.training.base import Method, Parameters
    from featurelib.sae.training.recipe import Recipe
    from featurelib.storage.embeddings import EmbeddingParts

MOST_LONGER = 4.0
"""The encoder grows by this factor at most. Where nearly all texts are the same a vanilla SAE's first activations are
rounding errors; brought to the length of the texts, they ended at an FVU of 10¹⁰."""


def find_moments(embeddings: EmbeddingParts) -> tuple[np.ndarray, float]:
    """Return the mean, float64 [d], and the root of the mean square distance from it; Refusal when all are the same."""
    total = np.zeros(embeddings.d)
    for rows in embeddings.in_order():
        total += rows.sum(axis=0, dtype=np.float64)
    mean = total / embeddings.n
    square = sum(float(((rows - mean) ** 2).sum()) for rows in embeddings.in_order())
    spread = (square / embeddings.n) ** 0.5
    if not spread > 1e-6 * max(1e-6, float(np.linalg.norm(mean))):
        raise Refusal(f"the {embeddings.n} embeddings are all the same; there is nothing to learn: check the embedder.")
    return mean, spread


def draw_directions(embeddings: EmbeddingParts, recipe: Recipe, mean: np.ndarray, spread: float) -> np.ndarray:
    """Return the embeddings of texts drawn by seed, centred, float64 [n_features, d]: each fires from the start."""
    draw = np.random.default_rng([recipe.seed, 1])
    chosen = np.sort(draw.choice(embeddings.n, recipe.n_features, replace=False))
    rows, start = [], 0
    for part in embeddings.in_order():
        inside = chosen[(chosen >= start) & (chosen < start + len(part))] - start
        rows.append(part[inside])
        start += len(part)
    first = (np.concatenate(rows) - mean) / spread
    # Equal texts would stay equal features for ever; a trace of noise parts them.
    noise: np.ndarray = draw.normal(0, 1e-3, first.shape) / first.shape[1] ** 0.5
    return np.asarray(first + noise)


def first_parameters(first: torch.Tensor) -> Parameters:
    """Return the directions `first`, float32 [n_features, d], at unit norm, and as encoder the decoder transposed."""
    import torch

    directions = torch.nn.functional.normalize(first, dim=1)
    return {
        "E": directions.clone(),
        "b_enc": first.new_zeros(len(first)),
        "D": directions,
        "c": first.new_zeros(first.shape[1]),
    }


def shrink_encoder(parameters: Parameters, method: Method, x: torch.Tensor) -> None:
    """Scale the encoder so that the first reconstructions, of texts x [n, d], have the length that fits best.

    Directions of real texts point the same way more often than random ones: unscaled, the many features of a text
    add up to thirty times too much, and most of the training goes into undoing it.
    """
    rebuilt = method.activate(parameters, x, method.recipe.k_at(0)).times(parameters["D"])
    square = rebuilt.square().sum()
    factor = min(MOST_LONGER, float((x * rebuilt).sum() / square)) if square > 0 else 1.0
    for name in parameters.keys() - {"D", "c", "r_mag"}:
        parameters[name] *= factor

"""Ours: our training with the recipe that find_recipe gives, but for samples, batch and learning rate.

Option "shipped" keeps batch and learning rate as they are in the recipe too, and what is asked for them is not used.

Embeddings are read from a part file, as in a build; writing that file is not counted as training, reading it is.
"""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch

from benchmarks.peer.plan import SHIPPED
from benchmarks.peer.trial import Asked, Clock, run
from featurelib.sae.model import SAE
from featurelib.sae.training.recipe import find_recipe
from featurelib.sae.training.trainer import train as train_sae
from featurelib.storage.embeddings import EmbeddingParts


class Inference:
    """The trained SAE, a JumpReLU with one threshold."""

    def __init__(self, sae: SAE) -> None:
        """Keep the SAE."""
        self.sae = sae

    def activations(self, x: np.ndarray) -> np.ndarray:
        """See figures.Trained."""
        return self.sae.encode(x).numpy()

    def positive(self, x: np.ndarray) -> np.ndarray:
        """See figures.Trained."""
        return self.sae.pre_activations(x).relu().numpy()

    def rebuild(self, a: np.ndarray) -> np.ndarray:
        """See figures.Trained."""
        return (torch.from_numpy(a) @ self.sae.W_dec + self.sae.b_dec).numpy()


def write_part(rows: np.ndarray, folder: Path) -> EmbeddingParts:
    """Write rows [n, d] as a run keeps them."""
    column = pa.FixedSizeListArray.from_arrays(pa.array(rows.ravel()), rows.shape[1])
    path = folder / "part-00000.parquet"
    pq.write_table(pa.table({"text_id": pa.array(np.arange(len(rows))), "embedding": column}), path)
    return EmbeddingParts((path,), np.ones(len(rows), bool))


def train(rows: np.ndarray, asked: Asked, clock: Clock) -> Inference:
    """Train on rows [n, d]."""
    with tempfile.TemporaryDirectory() as folder:
        embeddings = write_part(rows, Path(folder))
        with clock:
            recipe = find_recipe(
                *rows.shape,
                n_features=asked.n_features,
                k=asked.k,
                seed=asked.seed,
                epochs=asked.samples / len(rows),
            )
            if asked.option != SHIPPED:
                recipe = replace(recipe, lr=asked.lr, batch=asked.batch)
            return Inference(train_sae(embeddings, recipe))


if __name__ == "__main__":
    run(train, "")

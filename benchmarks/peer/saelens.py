"""SAELens' BatchTopK (`pip install sae-lens`), saved for inference and loaded again as its users do.

Recipe: SAETrainer's own defaults (Adam 0.9/0.999, gradients clipped at 1, auxiliary loss 1.0, decoder rows of norm
0.1), and the learning rate falling to 0 in the last fifth of the steps, as in its tutorials. Options: "short" cuts its
window of 1,000 steps, after which a feature counts as dead, to a tenth of the run: with fewer steps than that the
auxiliary loss never acts. "norm" adds its normalisation expected_average_only_in, which multiplies the embeddings by
√d.
"""

from __future__ import annotations

import tempfile

import numpy as np
import torch
from sae_lens import SAE, BatchTopKTrainingSAE, BatchTopKTrainingSAEConfig
from sae_lens.config import SAETrainerConfig
from sae_lens.training.sae_trainer import SAETrainer

from benchmarks.peer.trial import Asked, Clock, run, shuffled

WINDOW = 1000


class Inference:
    """The loaded SAE, a JumpReLU with one threshold."""

    def __init__(self, sae: SAE) -> None:
        """Keep the SAE and its threshold."""
        self.sae, self.threshold = sae, sae.threshold.data.clone()

    def activations(self, x: np.ndarray) -> np.ndarray:
        """See figures.Trained."""
        self.sae.threshold.data = self.threshold
        return self.sae.encode(torch.from_numpy(x)).numpy()

    def positive(self, x: np.ndarray) -> np.ndarray:
        """See figures.Trained."""
        self.sae.threshold.data = torch.zeros_like(self.threshold)
        return self.sae.encode(torch.from_numpy(x)).numpy()

    def rebuild(self, a: np.ndarray) -> np.ndarray:
        """See figures.Trained."""
        return self.sae.decode(torch.from_numpy(a)).numpy()


def train(rows: np.ndarray, asked: Asked, clock: Clock) -> Inference:
    """Train on rows [n, d]."""
    norm = "expected_average_only_in" if "norm" in asked.option else "none"
    with clock:
        sae = BatchTopKTrainingSAE(
            BatchTopKTrainingSAEConfig(
                d_in=rows.shape[1], d_sae=asked.n_features, k=asked.k, normalize_activations=norm, device="cpu"
            )
        )
        settings = SAETrainerConfig(
            total_training_samples=asked.steps * asked.batch,
            train_batch_size_samples=asked.batch,
            lr=asked.lr,
            lr_end=asked.lr / 10,
            lr_decay_steps=asked.steps // 5,
            dead_feature_window=asked.at_most(WINDOW) if "short" in asked.option else WINDOW,
            # Its estimate of the mean norm needs no more than one epoch of these embeddings, which are all of norm 1.
            n_batches_for_norm_estimate=min(1000, len(rows) // asked.batch),
            device="cpu",
        )
        SAETrainer(settings, sae, shuffled(rows, asked.batch, asked.seed)).fit()
    with tempfile.TemporaryDirectory() as folder:
        sae.save_inference_model(folder)
        return Inference(SAE.load_from_disk(folder, device="cpu"))


if __name__ == "__main__":
    run(train, "sae-lens")

"""dictionary_learning's BatchTopKTrainer (`pip install dictionary-learning`), driven by its own trainSAE.

Recipe: its own defaults (Adam 0.9/0.999, auxiliary loss 1/32, gradients clipped at 1, decoder bias at the geometric
median) and the decay from 80 % of the steps on that its demonstration uses. Its warm-up of 1,000 steps and its
threshold, which starts after 1,000 steps and moves by a thousandth per step, are longer than a run of this size: the
warm-up is cut to a tenth of the run, the threshold starts at half of it and moves by a hundredth. Option "short" also
cuts the 10,000,000 samples after which a feature counts as dead to a tenth of the run, or the auxiliary loss never
acts.
"""

from __future__ import annotations

import numpy as np
import torch
from dictionary_learning.trainers.batch_top_k import BatchTopKSAE, BatchTopKTrainer
from dictionary_learning.training import trainSAE

from benchmarks.peer.trial import Asked, Clock, run, shuffled


class Inference:
    """The trained dictionary with its threshold."""

    def __init__(self, sae: BatchTopKSAE) -> None:
        """Keep the dictionary."""
        self.sae, self.threshold = sae, sae.threshold.clone()

    def activations(self, x: np.ndarray) -> np.ndarray:
        """See figures.Trained."""
        self.sae.threshold = self.threshold
        return self.sae.encode(torch.from_numpy(x)).numpy()

    def positive(self, x: np.ndarray) -> np.ndarray:
        """See figures.Trained."""
        self.sae.threshold = torch.zeros_like(self.threshold)
        return self.sae.encode(torch.from_numpy(x)).numpy()

    def rebuild(self, a: np.ndarray) -> np.ndarray:
        """See figures.Trained."""
        return self.sae.decode(torch.from_numpy(a)).numpy()


def train(rows: np.ndarray, asked: Asked, clock: Clock) -> Inference:
    """Train on rows [n, d]."""
    made = []

    def make(**settings: object) -> BatchTopKTrainer:
        made.append(BatchTopKTrainer(**settings))
        if "short" in asked.option:
            made[0].dead_feature_threshold = asked.samples // 10
        return made[0]

    settings = {
        "trainer": make,
        "steps": asked.steps,
        "activation_dim": rows.shape[1],
        "dict_size": asked.n_features,
        "k": asked.k,
        "layer": 0,
        "lm_name": "embeddings",
        "lr": asked.lr,
        "warmup_steps": asked.at_most(1000),
        "decay_start": int(0.8 * asked.steps),
        "threshold_start_step": asked.at_most(1000, 0.5),
        "threshold_beta": 0.99,
        "seed": asked.seed,
        "device": "cpu",
    }
    with clock:
        trainSAE(shuffled(rows, asked.batch, asked.seed), [settings], asked.steps, device="cpu")
    return Inference(made[0].ae)


if __name__ == "__main__":
    run(train, "dictionary-learning")

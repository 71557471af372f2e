"""HypotheSAEs' SparseAutoencoder (`pip install hypothesaes`) with use_batch_topk, trained by its own fit.

Recipe: its own defaults (Adam, auxiliary loss 1/32 on 2·k dead features, dead after 256 steps, gradients clipped at 1).
No validation texts are given to fit: they would cost time and stop it early only. Samples must make full epochs.
"""

from __future__ import annotations

import numpy as np
import torch
from hypothesaes.sae import SparseAutoencoder

from benchmarks.peer.trial import Asked, Clock, run


class Inference:
    """The trained model in eval mode: one threshold."""

    def __init__(self, sae: SparseAutoencoder) -> None:
        """Keep the model and its threshold."""
        self.sae, self.threshold = sae.eval(), sae.threshold.clone()

    def activations(self, x: np.ndarray) -> np.ndarray:
        """See figures.Trained."""
        self.sae.threshold.copy_(self.threshold)
        return self.sae.get_activations(x, show_progress=False)

    def positive(self, x: np.ndarray) -> np.ndarray:
        """See figures.Trained."""
        self.sae.threshold.zero_()
        return self.sae.get_activations(x, show_progress=False)

    def rebuild(self, a: np.ndarray) -> np.ndarray:
        """See figures.Trained."""
        return (self.sae.decoder(torch.from_numpy(a)) + self.sae.input_bias).numpy()


def train(rows: np.ndarray, asked: Asked, clock: Clock) -> Inference:
    """Train on rows [n, d]."""
    epochs, rest = divmod(asked.samples, len(rows))
    if rest:
        raise SystemExit(f"{asked.samples} samples are no whole epochs of {len(rows)} texts; fit counts in epochs.")
    with clock:
        sae = SparseAutoencoder(rows.shape[1], asked.n_features, asked.k, use_batch_topk=True, device="cpu")
        sae.fit(
            torch.from_numpy(rows),
            batch_size=asked.batch,
            learning_rate=asked.lr,
            n_epochs=epochs,
            show_progress=False,
        )
    return Inference(sae)


if __name__ == "__main__":
    run(train, "hypothesaes")

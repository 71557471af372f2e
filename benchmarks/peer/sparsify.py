"""sparsify's SparseCoder (`pip install eai-sparsify`), TopK, in a plain loop.

Its Trainer takes a language model and a dataset of tokens, so this loop stands in for it on embeddings and follows it
line by line: decoder bias at the first batch's mean, decoder rows of unit norm before each step, loss = its FVU plus
its auxiliary loss, the gradient along the decoder's rows taken out, its optimiser. Options: "signum" (its default:
sign of the gradient, schedule-free, momentum 0.95, no auxiliary loss) or "adam" (its other one, with a linear decay;
the warm-up of 1,000 steps cut to a tenth of the run); "aux" adds auxk_alpha 1/32 with dead features counted after a
tenth of the run.
"""

from __future__ import annotations

import numpy as np
import torch
from schedulefree import ScheduleFreeWrapper
from sparsify import SparseCoder, SparseCoderConfig
from sparsify.sign_sgd import SignSGD
from transformers import get_linear_schedule_with_warmup

from benchmarks.peer.trial import Asked, Clock, run, shuffled


class Inference:
    """The trained coder: each text keeps its own k largest."""

    def __init__(self, coder: SparseCoder) -> None:
        """Keep the coder."""
        self.coder = coder

    def activations(self, x: np.ndarray) -> np.ndarray:
        """See figures.Trained."""
        encoded = self.coder.encode(torch.from_numpy(x))
        return torch.zeros_like(encoded.pre_acts).scatter_(1, encoded.top_indices, encoded.top_acts).numpy()

    def positive(self, x: np.ndarray) -> None:
        """See figures.Trained."""

    def rebuild(self, a: np.ndarray) -> np.ndarray:
        """See figures.Trained."""
        top = torch.from_numpy(a).topk(self.coder.cfg.k, dim=1)
        return self.coder.decode(top.values, top.indices).numpy()


def train(rows: np.ndarray, asked: Asked, clock: Clock) -> Inference:
    """Train on rows [n, d]."""
    with clock:
        coder = SparseCoder(rows.shape[1], SparseCoderConfig(num_latents=asked.n_features, k=asked.k))
        learn(coder, rows, asked)
    return Inference(coder)


def learn(coder: SparseCoder, rows: np.ndarray, asked: Asked) -> None:
    """Train the coder as sparsify's Trainer does."""
    schedule_free = "signum" in asked.option
    if schedule_free:
        optimizer = ScheduleFreeWrapper(SignSGD(coder.parameters(), lr=asked.lr), momentum=0.95)
        optimizer.train()
    else:
        optimizer = torch.optim.Adam(coder.parameters(), lr=asked.lr)
        schedule = get_linear_schedule_with_warmup(optimizer, asked.at_most(1000), asked.steps)
    silent = torch.zeros(asked.n_features, dtype=torch.int64)
    batches = shuffled(rows, asked.batch, asked.seed)
    for step in range(asked.steps):
        x = next(batches)
        if step == 0:
            coder.b_dec.data = x.mean(0)
        coder.set_decoder_norm_to_unit_norm()
        dead = silent > asked.samples // 10 if "aux" in asked.option else None
        out = coder(x, dead_mask=dead)
        (out.fvu + out.auxk_loss / 32).backward()
        coder.remove_gradient_parallel_to_decoder_directions()
        optimizer.step()
        optimizer.zero_grad()
        silent += len(x)
        silent[out.latent_indices.flatten()] = 0
        if not schedule_free:
            schedule.step()
    if schedule_free:
        optimizer.eval()


if __name__ == "__main__":
    run(train, "eai-sparsify")

"""Training an SAE on the embeddings of a run: one loop, and a method for each architecture.

x is centred by the data mean and scaled to mean square norm 1. The encoder starts as the decoder transposed, the
directions keep unit norm, and the L0 of the training comes down to k within the first steps, whatever brings it there.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from featurelib.sae.training.loop import Reading, Training
from featurelib.sae.training.recipe import check_sizes
from featurelib.schema import Refusal

if TYPE_CHECKING:
    from featurelib.sae.model import SAE
    from featurelib.sae.training.recipe import Recipe
    from featurelib.storage.embeddings import EmbeddingParts


STATE_SECONDS = 60.0
"""How often the state of a training is saved, so a killed one loses at most this much."""
SMALL_STEP = 1 << 29
"""Multiplications of a step's largest product below which one thread does it all: with more, a busy machine spends its
time in waiting for the last thread (ten times slower, measured), and an idle one gains little."""


def train(
    embeddings: EmbeddingParts,
    recipe: Recipe,
    *,
    set_aside: EmbeddingParts | None = None,
    state_file: Path | None = None,
    device: str = "cpu",
    report: Callable[[Reading], None] = lambda reading: None,
) -> SAE:
    """Return an SAE trained on `embeddings`, with its threshold, norms and means folded in.

    A recipe with patience needs `set_aside`: training texts set aside, on which training is stopped early. They are
    not the held-out texts, whose FVU would no longer be honest once it had chosen the weights.
    With `state_file` the state is kept there every STATE_SECONDS, and a training that was stopped goes on from it to
    the same weights. On the CPU equal arguments give equal bits.
    """
    check_sizes(recipe, embeddings.n)
    with _threads_for(recipe, embeddings.d):
        training = Training.begin(embeddings, recipe, device, set_aside)
        if state_file is not None and state_file.is_file():
            training.load(state_file)
        saved = time.monotonic()
        stream = embeddings.batches(recipe.batch, seed=recipe.seed, start=training.state.step)
        while not training.ends:
            reading = training.learn(next(stream))
            if not math.isfinite(reading.loss):
                raise Refusal(
                    f"at step {reading.step} the loss is {reading.loss} and no longer a number; look for embeddings "
                    "that are far from all others, or give another --architecture."
                )
            report(reading)
            if state_file is not None and not training.ends and time.monotonic() - saved > STATE_SECONDS:
                training.save(state_file)
                saved = time.monotonic()
    return training.finish(embeddings)


def find_device(wanted: str) -> str:
    """Return "cuda" or "cpu"; Refusal when cuda is wanted and not there."""
    import torch

    available = torch.cuda.is_available()
    if wanted == "cuda" and not available:
        raise Refusal("--device is cuda but torch finds no GPU here; use --device cpu or auto.")
    if wanted == "cpu" or not available:
        return "cpu"
    # TF32 keeps ten bits of each factor, more than the noise of a batch, and multiplies several times as fast.
    torch.set_float32_matmul_precision("high")
    return "cuda"


@contextmanager
def _threads_for(recipe: Recipe, d: int) -> Iterator[None]:
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1 if recipe.batch * recipe.n_features * d < SMALL_STEP else before)
    try:
        yield
    finally:
        torch.set_num_threads(before)

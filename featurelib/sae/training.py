"""Training a BatchTopK SAE on the embeddings of a run.

The loss of a batch is the mean of ‖x − x̂‖² where x is centred by the data mean and scaled to mean square norm 1, and
only the k·n largest pre-activations of the n texts of a batch are kept (Bussmann et al., arXiv 2412.06410). At
inference one threshold takes the place of that choice. Gradients are written out by hand: of the five matrix products
of a step four touch only activations that are not zero, about one in sixty, and as sparse products cost little.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from featurelib import files
from featurelib.sae.gates import JumpReLU
from featurelib.sae.kept import Kept
from featurelib.sae.model import SAE
from featurelib.sae.recipe import Recipe, check_sizes
from featurelib.sae.threshold import find_threshold, with_threshold
from featurelib.schema import Refusal

if TYPE_CHECKING:
    import torch

    from featurelib.sae.embeddings import EmbeddingParts

STATE_SECONDS = 60.0
"""How often the state of a training is saved, so a killed one loses at most this much."""
SMALL_STEP = 1 << 29
"""Multiplications of a step's largest product below which one thread does it all: with more, a busy machine spends its
time in waiting for the last thread (ten times slower, measured), and an idle one gains little."""


class Reading(NamedTuple):
    """How a training stands."""

    step: int
    """Steps done."""
    loss: float
    """What was minimised in the last batch: FVU plus the auxiliary loss."""
    fvu: float
    """Mean of ‖x − x̂‖² over the last batch, in units of that of ‖x − x̄‖², with the noise and the batch's own choice."""
    l0: float
    """Active features per text in the last batch."""
    dead: int
    """Features that are dead now."""


def train(
    embeddings: EmbeddingParts,
    recipe: Recipe,
    *,
    state_file: Path | None = None,
    device: str = "cpu",
    report: Callable[[Reading], None] = lambda reading: None,
) -> SAE:
    """Return a SAE trained on `embeddings`, with its threshold, norms and means folded in.

    With `state_file` the state is kept there every STATE_SECONDS, and a training that was stopped goes on from it to
    the same weights. On the CPU equal arguments give equal bits.
    """
    check_sizes(recipe, embeddings.n)
    with _threads_for(recipe, embeddings.d):
        training = Training.begin(embeddings, recipe, device)
        if state_file is not None and state_file.is_file():
            training.load(state_file)
        saved = time.monotonic()
        stream = embeddings.batches(recipe.batch, seed=recipe.seed, start=training.step)
        while training.step < recipe.steps:
            report(training.learn(next(stream)))
            if state_file is not None and time.monotonic() - saved > STATE_SECONDS:
                training.save(state_file)
                saved = time.monotonic()
    return training.finish(embeddings)


def find_device(wanted: str) -> str:
    """Return "cuda" or "cpu"; Refusal when cuda is wanted and not there."""
    import torch

    found = torch.cuda.is_available()
    if wanted == "cuda" and not found:
        raise Refusal("--device is cuda but torch finds no GPU here; use --device cpu or auto.")
    if wanted == "cpu" or not found:
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


class Training:
    """The state of a training: parameters, Adam's moments, how long each feature has been silent, the step.

    It works on (x − mean) / spread. `parameters` holds E [F, d] (the encoder, transposed), b_enc [F], D [F, d] (the
    directions, unit norm) and c [d] (the decoder's bias).
    """

    def __init__(self, recipe: Recipe, mean: torch.Tensor, spread: float, first: torch.Tensor) -> None:
        """Begin with the directions `first`, float32 [n_features, d]; the encoder is the decoder transposed."""
        import torch

        self.recipe, self.mean, self.spread = recipe, mean, spread
        directions = torch.nn.functional.normalize(first, dim=1)
        self.parameters = {
            "E": directions.clone(),
            "b_enc": first.new_zeros(len(first)),
            "D": directions,
            "c": first.new_zeros(first.shape[1]),
        }
        self.moments = {name: torch.zeros_like(value) for name, value in self.parameters.items()}
        self.squares = {name: torch.zeros_like(value) for name, value in self.parameters.items()}
        self.silent = torch.zeros(len(first), dtype=torch.int64, device=first.device)
        self.step = 0

    @classmethod
    def begin(cls, embeddings: EmbeddingParts, recipe: Recipe, device: str) -> Training:
        """Begin with the directions of training texts drawn by seed: such a feature fires from the start."""
        import torch

        mean, spread = find_moments(embeddings)
        draw = np.random.default_rng([recipe.seed, 1])
        chosen = np.sort(draw.choice(embeddings.n, recipe.n_features, replace=False))
        rows, start = [], 0
        for part in embeddings.in_order():
            inside = chosen[(chosen >= start) & (chosen < start + len(part))] - start
            rows.append(part[inside])
            start += len(part)
        first = (np.concatenate(rows) - mean) / spread
        # Equal texts would stay equal features for ever; a trace of noise parts them.
        first += draw.normal(0, 1e-3, first.shape) / first.shape[1] ** 0.5
        mean, first = (torch.tensor(array, dtype=torch.float32, device=device) for array in (mean, first))
        training = cls(recipe, mean, spread, first)
        training.shrink_encoder(next(embeddings.batches(recipe.batch, seed=recipe.seed)))
        return training

    def shrink_encoder(self, rows: np.ndarray) -> None:
        """Scale the encoder so that the first reconstructions have the length that fits best.

        Directions of real texts point the same way more often than random ones: unscaled, the many features of a text
        add up to thirty times too much, and most of the training goes into undoing it.
        """
        x = self._centred(rows)
        kept = Kept.largest(x @ self.parameters["E"].T, round(self.recipe.k_at(0) * len(x)))
        rebuilt = kept.times(self.parameters["D"])
        self.parameters["E"] *= float((x * rebuilt).sum() / rebuilt.square().sum())

    def _centred(self, rows: np.ndarray) -> torch.Tensor:
        import torch

        return (torch.from_numpy(rows).to(self.mean.device) - self.mean) / self.spread

    def _noisy(self, x: torch.Tensor) -> torch.Tensor:
        """Return x with noise that depends on seed and step alone, so a resumed training draws the same."""
        import torch

        if not self.recipe.noise:
            return x
        draw = torch.Generator(x.device).manual_seed(self.recipe.seed * 1_000_003 + self.step)
        return x + torch.randn(x.shape, generator=draw, device=x.device) * (self.recipe.noise / x.shape[1] ** 0.5)

    def save(self, path: Path) -> None:
        """Write the whole state to `path`, whole or not at all."""
        from safetensors.torch import save

        stored = save(self._state())
        files.write_aside(path, lambda aside: aside.write_bytes(stored))

    def load(self, path: Path) -> None:
        """Go on from what `save` wrote."""
        from safetensors.torch import load_file

        state = load_file(path)
        self.step = int(state["step"])
        for name, tensor in self._state().items():
            tensor.copy_(state[name])

    def _state(self) -> dict[str, torch.Tensor]:
        import torch

        groups = {"": self.parameters, "moment.": self.moments, "square.": self.squares}
        state = {prefix + name: value for prefix, group in groups.items() for name, value in group.items()}
        return state | {"silent": self.silent, "step": torch.tensor(self.step)}

    def learn(self, rows: np.ndarray) -> Reading:
        """Take one step on embeddings `rows`, float32 [n, d]."""
        import torch

        x, p = self._centred(rows), self.parameters
        seen = self._noisy(x)
        z = torch.addmm(p["b_enc"], seen, p["E"].T)
        kept = Kept.largest(z, round(self.recipe.k_at(self.step) * len(x)))
        e = kept.times(p["D"]) + p["c"] - x
        fvu = float(e.square().sum()) / len(x)
        gradients = self._gradients(seen, e, kept)
        self.silent += len(x)
        self.silent[kept.columns] = 0
        dead = (self.silent > self.recipe.dead_after).nonzero()[:, 0]
        loss = fvu + (self._add_auxiliary(gradients, seen, e, z[:, dead], dead) if len(dead) else 0.0)
        self._move(gradients)
        self.step += 1
        return Reading(self.step, loss, fvu, len(kept.columns) / len(x), len(dead))

    def _gradients(self, seen: torch.Tensor, e: torch.Tensor, kept: Kept) -> dict[str, torch.Tensor]:
        """Return the gradients of the mean of ‖e‖² where only `kept` activations count."""
        da = kept.with_values(kept.dots(e, self.parameters["D"]))
        scale = 2 / len(e)
        return {
            "E": da.transposed_times(seen) * scale,
            "b_enc": da.column_sums() * scale,
            "D": kept.transposed_times(e) * scale,
            "c": e.sum(0) * scale,
        }

    def _add_auxiliary(
        self,
        gradients: dict[str, torch.Tensor],
        seen: torch.Tensor,
        e: torch.Tensor,
        z: torch.Tensor,
        dead: torch.Tensor,
    ) -> float:
        """Let the dead features nearest to firing rebuild the residual −e; return the loss, relative to ‖e‖².

        z [n, number of dead] holds the pre-activations of the features `dead`.
        """
        import torch

        top = z.topk(min(self.recipe.k_aux, len(dead)), dim=1)
        a = torch.zeros_like(z).scatter_(1, top.indices, top.values.relu())
        directions = self.parameters["D"][dead]
        rest = a @ directions + e
        weight = self.recipe.aux * min(1.0, len(dead) / self.recipe.k_aux) / max(float(e.square().sum()), 1e-12)
        da = (rest @ directions.T) * (a > 0)
        gradients["E"][dead] += da.T @ seen * (2 * weight)
        gradients["b_enc"][dead] += da.sum(0) * (2 * weight)
        gradients["D"][dead] += a.T @ rest * (2 * weight)
        return float(rest.square().sum()) * weight

    def _move(self, gradients: dict[str, torch.Tensor]) -> None:
        """One step of Adam; the directions keep unit norm, and the gradient along them is taken out before."""
        import torch

        directions = self.parameters["D"]
        gradients["D"] -= (gradients["D"] * directions).sum(1, keepdim=True) * directions
        first, second = self.recipe.betas
        t = self.step + 1
        rate = self.recipe.rate_at(self.step) / (1 - first**t)
        for name, gradient in gradients.items():
            moment = self.moments[name].lerp_(gradient, 1 - first)
            square = self.squares[name].mul_(second).addcmul_(gradient, gradient, value=1 - second)
            root = (square / (1 - second**t)).sqrt_().add_(1e-8)
            self.parameters[name].addcdiv_(moment, root, value=-rate)
        directions.copy_(torch.nn.functional.normalize(directions, dim=1))

    def finish(self, embeddings: EmbeddingParts) -> SAE:
        """Return the SAE for raw embeddings: b_dec takes the mean, the other biases and the threshold the spread."""
        import torch

        p = {name: value.cpu() for name, value in self.parameters.items()}
        n_features = len(p["b_enc"])
        sae = SAE(
            W_enc=p["E"].T.contiguous(),
            b_enc=self.spread * (p["b_enc"] + p["E"] @ p["c"]),
            W_dec=p["D"].contiguous(),
            b_dec=self.mean.cpu() + self.spread * p["c"],
            gate=JumpReLU(torch.zeros(n_features)),
            trained_as="batchtopk",
            target_k=self.recipe.k,
        )
        return with_threshold(sae, find_threshold(sae, embeddings, self.recipe.k))

"""The loop that all architectures share: batches in, steps of Adam, a state that is saved and resumed."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from featurelib.sae.model import SAE
from featurelib.sae.training.base import Method, Parameters, State
from featurelib.sae.training.early_stop import EarlyStop
from featurelib.sae.training.registry import find_method
from featurelib.sae.training.start import draw_directions, find_moments, first_parameters, shrink_encoder
from featurelib.sae.weights.prefixes import prefixes_of
from featurelib.schema import Refusal
from featurelib.storage import files

if TYPE_CHECKING:
    import torch

    from featurelib.sae.training.recipe import Recipe
    from featurelib.storage.embeddings import EmbeddingParts


class Reading(NamedTuple):
    """How a training stands."""

    step: int
    """Steps done."""
    loss: float
    """What was minimised in the last batch: FVU plus what the architecture adds to it."""
    fvu: float
    """Mean of ‖x − x̂‖² over the last batch, in units of that of ‖x − x̄‖², with the noise and the batch's own choice."""
    l0: float
    """Active features per text in the last batch."""
    dead: int
    """Features that are dead now."""
    rate: float
    """Adam's rate in the last step."""


class Training:
    """A training on (x − mean) / spread: an architecture's method, its state, and the early stop if there is one."""

    def __init__(
        self, recipe: Recipe, mean: torch.Tensor, spread: float, first: torch.Tensor, rows: np.ndarray
    ) -> None:
        """Begin with the directions `first`, float32 [n_features, d], scaled to the embeddings `rows` of a batch."""
        self.recipe, self.mean, self.spread = recipe, mean, spread
        self.method: Method = find_method(recipe)
        parameters, x = first_parameters(first), self._centred(rows)
        self.method.begin(parameters, x)
        shrink_encoder(parameters, self.method, x)
        self.state = State.begin(parameters, self.method.numbers())
        self.early_stop: EarlyStop | None = None

    @classmethod
    def begin(
        cls, embeddings: EmbeddingParts, recipe: Recipe, device: str, set_aside: EmbeddingParts | None
    ) -> Training:
        """Begin on `embeddings`; `set_aside` is what the recipe's patience needs."""
        import torch

        mean, spread = find_moments(embeddings)
        directions = draw_directions(embeddings, recipe, mean, spread)
        centre, first = (torch.tensor(array, dtype=torch.float32, device=device) for array in (mean, directions))
        training = cls(recipe, centre, spread, first, next(embeddings.batches(recipe.batch, seed=recipe.seed)))
        if recipe.patience is not None:
            if set_aside is None or not set_aside.n:
                raise Refusal("patience needs texts to be measured on; set some training texts aside and give them.")
            texts = training._centred(np.concatenate(list(set_aside.in_order())))
            training.early_stop = EarlyStop(training.method, training.state.parameters, texts)
        return training

    def _centred(self, rows: np.ndarray) -> torch.Tensor:
        import torch

        raw: torch.Tensor = torch.from_numpy(rows).to(self.mean.device)
        return (raw - self.mean) / self.spread

    def _noisy(self, x: torch.Tensor) -> torch.Tensor:
        """Return x with noise that depends on seed and step alone, so a resumed training draws the same."""
        import torch

        if not self.recipe.noise:
            return x
        draw = torch.Generator(x.device).manual_seed(self.recipe.seed * 1_000_003 + self.state.step)
        length: float = self.recipe.noise / x.shape[1] ** 0.5
        return x + torch.randn(x.shape, generator=draw, device=x.device) * length

    @property
    def ends(self) -> bool:
        """Whether all steps are done, or patience is at an end."""
        return self.state.step >= self.recipe.steps or (self.early_stop is not None and self.early_stop.stops)

    def save(self, path: Path) -> None:
        """Write the whole state to `path`, whole or not at all."""
        from safetensors.torch import save

        stored = save(self._tensors())
        files.write_aside(path, lambda aside: aside.write_bytes(stored))

    def load(self, path: Path) -> None:
        """Go on from what `save` wrote."""
        from safetensors.torch import load_file

        state, expected = load_file(path), self._tensors()
        if {name: tensor.shape for name, tensor in state.items()} != {
            name: tensor.shape for name, tensor in expected.items()
        }:
            raise Refusal(f"{path.name} holds the state of another training; remove it and train from the start.")
        self.state.step = int(state["step"])
        for name, tensor in expected.items():
            tensor.copy_(state[name])

    def _tensors(self) -> dict[str, torch.Tensor]:
        watched = self.early_stop.tensors() if self.early_stop else {}
        return self.state.tensors() | {f"early_stop.{name}": value for name, value in watched.items()}

    def learn(self, rows: np.ndarray) -> Reading:
        """Take one step on embeddings `rows`, float32 [n, d]."""
        x, rate = self._centred(rows), self.recipe.rate_at(self.state.step)
        step = self.method.learn(self.state, x, self._noisy(x))
        move(self.state, step.gradients, rate, self.recipe.betas)
        if self.early_stop:
            self.early_stop.look(self.state)
        return Reading(self.state.step, step.loss, step.fvu, step.l0, step.dead, rate)

    def finish(self, embeddings: EmbeddingParts) -> SAE:
        """Return the SAE for raw embeddings, with what is found on the training texts once the weights are known."""
        trained = self.state.parameters
        best = self.early_stop.best(trained) if self.early_stop else trained
        return self.method.settle(self.fold({name: value.cpu() for name, value in best.items()}), embeddings)

    def fold(self, parameters: Parameters) -> SAE:
        """Return the SAE of some parameters: b_dec takes the mean, the other biases and the thresholds the spread."""
        b_enc, gate = self.method.fold(parameters, self.spread)
        return SAE(
            W_enc=parameters["E"].T.contiguous(),
            b_enc=b_enc,
            W_dec=parameters["D"].contiguous(),
            b_dec=self.mean.cpu() + self.spread * parameters["c"],
            gate=gate,
            trained_as=self.recipe.architecture,
            target_k=self.recipe.k,
            prefixes=prefixes_of(getattr(self.method, "widths", None), self.recipe.n_features),
        )


def move(state: State, gradients: Parameters, rate: float, betas: tuple[float, float]) -> None:
    """One step of Adam; the directions keep unit norm, and the gradient along them is taken out before."""
    import torch
    from torch.optim.adam import adam

    directions = state.parameters["D"]
    along = torch.linalg.vecdot(gradients["D"], directions)
    gradients["D"].addcmul_(along[:, None], directions, value=-1)
    names = list(gradients)
    steps = [torch.tensor(float(state.step), device=directions.device) for _ in names]
    adam(
        [state.parameters[name] for name in names],
        # the fused step reads memory in order, whatever a tensor says of its strides
        [gradients[name].contiguous() for name in names],
        [state.moments[name] for name in names],
        [state.squares[name] for name in names],
        [],
        steps,
        fused=True,
        amsgrad=False,
        beta1=betas[0],
        beta2=betas[1],
        lr=rate,
        weight_decay=0.0,
        eps=1e-8,
        maximize=False,
    )
    directions.div_(torch.linalg.vector_norm(directions, dim=1, keepdim=True).clamp_(min=1e-12))
    state.step += 1

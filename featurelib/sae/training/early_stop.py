"""Early stop: when texts set aside are no longer reconstructed better, training ends with the best weights."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from featurelib.sae.training.base import Method, Parameters, State, missing

if TYPE_CHECKING:
    import torch

    from featurelib.sae.training.recipe import Recipe

MEASUREMENTS = 20
"""How often over a whole training the texts set aside are rebuilt."""
BLOCK = 1024
"""Texts rebuilt at a time."""
DENSEST = 1.1
"""A measurement counts only where the L0 is at most this many times k: a denser SAE always reconstructs better."""


class EarlyStop:
    """The best weights so far, and how many measurements in a row were no better.

    It counts from the step on at which the L0 of the training has come down to k.
    """

    def __init__(self, method: Method, parameters: Parameters, texts: torch.Tensor) -> None:
        """Measure on `texts`, float32 [n, d], centred and scaled as in training."""
        import torch

        self._method, self._texts = method, texts
        self._best = {name: torch.zeros_like(value) for name, value in parameters.items()}
        self._fvu = torch.tensor(math.inf, dtype=torch.float64)
        self._waited = torch.tensor(0)

    @property
    def stops(self) -> bool:
        """Whether the recipe's patience is at an end."""
        patience = self._method.recipe.patience
        return patience is not None and int(self._waited) >= patience

    def look(self, state: State) -> None:
        """Measure when it is time to, and keep the weights if they are the best."""
        if not counts(self._method.recipe, state):
            return
        fvu = self.measure(state.parameters)
        if fvu < float(self._fvu):
            self._fvu.fill_(fvu)
            self._waited.zero_()
            for name, value in state.parameters.items():
                self._best[name].copy_(value)
        else:
            self._waited += 1

    def measure(self, parameters: Parameters) -> float:
        """Return the mean of ‖x − x̂‖² over the texts set aside, relative to that of ‖x − mean‖² if it is not 0."""
        batches = [self._texts[start : start + BLOCK] for start in range(0, len(self._texts), BLOCK)]
        batches_of_activations = (self._method.activate(parameters, x, self._method.recipe.k) for x in batches)
        errors = (missing(parameters, active, x) for active, x in zip(batches_of_activations, batches, strict=True))
        spread = float(self._texts.square().sum()) or 1.0
        return sum(float(e.square().sum()) for e in errors) / spread

    def best(self, parameters: Parameters) -> Parameters:
        """Return the best weights, or `parameters` where nothing has counted yet."""
        return self._best if math.isfinite(float(self._fvu)) else parameters

    def tensors(self) -> dict[str, torch.Tensor]:
        """Return all that must be saved, the tensors themselves."""
        return {"fvu": self._fvu, "waited": self._waited} | {
            f"best.{name}": value for name, value in self._best.items()
        }


def counts(recipe: Recipe, state: State) -> bool:
    """Tell whether the texts set aside are rebuilt now: at the end, and twenty times before, once the L0 is down to k.

    The L0 is that of the training texts: on others a dictionary learnt by heart stays denser for ever.
    """
    every = max(1, recipe.steps // MEASUREMENTS)
    due = state.step % every == 0 or state.step == recipe.steps
    dense = "l0" in state.numbers and float(state.numbers["l0"]) > DENSEST * recipe.k
    return due and state.step >= recipe.k_steps * recipe.steps and not dense

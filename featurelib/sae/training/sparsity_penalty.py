"""Architectures with a sparsity penalty: its weight λ follows the L0, so that the target L0 is reached.

The loss is the mean of ‖x − x̂‖² + λ·(penalty on the activations). The logarithm of λ moves by how far the running L0 is
from the L0 of the step. Features that are dead begin anew at what the worst texts lack, at moments known beforehand.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, NamedTuple

import numpy as np

from featurelib.sae.training.base import Parameters, State, Step, missing
from featurelib.sae.training.sparse_batch import SparseBatch

if TYPE_CHECKING:
    import torch

    from featurelib.sae.training.recipe import Recipe

MEMORY = 0.9
"""How much of the running L0 is left after a step."""


class Slopes(NamedTuple):
    """What a penalised method makes of one batch."""

    gradients: Parameters
    """Of fvu + λ·penalised + auxiliary."""
    fvu: float
    """Mean of ‖x − x̂‖²."""
    penalised: float
    """Mean over the texts of what λ weighs."""
    auxiliary: float
    """What else is minimised."""
    active: SparseBatch
    """What fired."""


@dataclass(frozen=True)
class Penalised(ABC):
    """What vanilla, gated and JumpReLU have in common."""

    recipe: Recipe
    biases: ClassVar[tuple[str, ...]] = ()
    """The parameters [F] that begin anew, with a dead feature, at the mean of the living ones."""

    @abstractmethod
    def slopes(self, parameters: Parameters, x: torch.Tensor, noisy: torch.Tensor, penalty: float) -> Slopes:
        """Return gradients and losses for texts x [n, d], which the encoder reads as `noisy`."""

    @abstractmethod
    def activate(self, parameters: Parameters, x: torch.Tensor, k: float) -> SparseBatch:
        """Return the activations of x [n, d]; k is what training aims at."""

    def numbers(self) -> dict[str, float]:
        """Return the logarithm of λ and the running L0."""
        return {"log_penalty": math.log(self.recipe.penalty), "l0": self.recipe.k_at(0)}

    def learn(self, state: State, x: torch.Tensor, noisy: torch.Tensor) -> Step:
        """Return the gradients for texts x [n, d], which the encoder reads as `noisy`; note what fired in `state`."""
        if self._revives_at(state.step):
            self._revive(state, x)
        penalty = self._penalty(state)
        slopes = self.slopes(state.parameters, x, noisy, penalty)
        l0 = len(slopes.active.columns) / len(x)
        state.numbers["l0"].mul_(MEMORY).add_((1 - MEMORY) * l0)
        dead = state.count(slopes.active, self.recipe.dead_after)
        loss = slopes.fvu + penalty * slopes.penalised + slopes.auxiliary
        return Step(slopes.gradients, loss, slopes.fvu, l0, len(dead))

    def _penalty(self, state: State) -> float:
        """Return λ: higher where more features fire than the step asks for, now (grip) and in the long run (follow)."""
        off = math.log(max(float(state.numbers["l0"]), 1e-3) / self.recipe.k_at(state.step))
        state.numbers["log_penalty"] += self.recipe.follow / self.recipe.steps * max(-1.0, min(1.0, off))
        return math.exp(float(state.numbers["log_penalty"]) + self.recipe.grip * off)

    def _revives_at(self, step: int) -> bool:
        every = max(1, round(self.recipe.revive_every * self.recipe.steps))
        return 0 < step <= self.recipe.revive_until * self.recipe.steps and step % every == 0

    def _revive(self, state: State, x: torch.Tensor) -> None:
        """Turn dead features to what texts x [n, d] lack most, as Bricken et al. (2023) resample them."""
        import torch

        p = state.parameters
        alive = state.silent <= self.recipe.dead_after
        dead = (~alive).nonzero()[:, 0][: len(x)]
        if not len(dead) or not alive.any():
            return
        e = missing(p, self.activate(p, x, self.recipe.k), x)
        weights = e.square().sum(1).double().cpu().numpy() + 1e-12
        draw = np.random.default_rng([self.recipe.seed, 2, state.step])
        rows = torch.from_numpy(draw.choice(len(x), len(dead), replace=False, p=weights / weights.sum())).to(x.device)
        directions = torch.nn.functional.normalize(-e[rows], dim=1)
        anew = {"D": directions, "E": directions * p["E"][alive].norm(dim=1).mean()}
        anew |= {name: p[name][alive].mean() for name in self.biases}
        for name, value in anew.items():
            p[name][dead] = value
            state.moments[name][dead] = 0
            state.squares[name][dead] = 0
        state.silent[dead] = 0


def start_at(parameters: Parameters, x: torch.Tensor, k: float) -> float:
    """Return the pre-activation above which k features per text of x [n, d] lie."""
    values = SparseBatch.largest(x @ parameters["E"].T, round(k * len(x))).values
    return float(values.min()) if len(values) else 0.0

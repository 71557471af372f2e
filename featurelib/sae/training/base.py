"""What differs between architectures in training: their own parameters, their gradients, how they become an SAE."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, Protocol

from featurelib.sae.training.sparse_batch import SparseBatch

if TYPE_CHECKING:
    import torch

    from featurelib.sae.gates import Gate
    from featurelib.sae.model import SAE
    from featurelib.sae.training.recipe import Recipe
    from featurelib.storage.embeddings import EmbeddingParts

Parameters = dict[str, "torch.Tensor"]


@dataclass
class State:
    """The state of a training on (x − mean) / spread: all that is saved and resumed.

    `parameters` holds E [F, d] (the encoder, transposed), D [F, d] (the directions, unit norm), c [d] (the decoder's
    bias), b_enc [F] where the method has it, and the method's own.
    """

    parameters: Parameters
    """What is trained, float32."""
    moments: Parameters
    """Adam's running mean of the gradients."""
    squares: Parameters
    """Adam's running mean of their squares."""
    silent: torch.Tensor
    """On how many embeddings in a row each feature has not fired, int64 [F]."""
    numbers: dict[str, torch.Tensor]
    """What the method carries from step to step beside, float64 scalars."""
    step: int = 0
    """Steps done."""

    @classmethod
    def begin(cls, parameters: Parameters, numbers: dict[str, float]) -> State:
        """Return the state before the first step."""
        import torch

        return cls(
            parameters,
            {name: torch.zeros_like(value) for name, value in parameters.items()},
            {name: torch.zeros_like(value) for name, value in parameters.items()},
            torch.zeros(len(parameters["E"]), dtype=torch.int64, device=parameters["E"].device),
            {name: torch.tensor(value, dtype=torch.float64) for name, value in numbers.items()},
        )

    def count(self, active: SparseBatch, dead_after: int) -> torch.Tensor:
        """Count a batch in which `active` fired; return the ids of the features that are dead now, int64."""
        self.silent += active.shape[0]
        self.silent[active.columns] = 0
        return (self.silent > dead_after).nonzero()[:, 0]

    def tensors(self) -> dict[str, torch.Tensor]:
        """Return all of it by name, the tensors themselves; `step` is a copy."""
        import torch

        groups = {"": self.parameters, "moment.": self.moments, "square.": self.squares, "number.": self.numbers}
        tensors = {prefix + name: value for prefix, group in groups.items() for name, value in group.items()}
        return tensors | {"silent": self.silent, "step": torch.tensor(self.step)}


class Step(NamedTuple):
    """What a method makes of one batch."""

    gradients: Parameters
    """Of the loss, by parameter."""
    loss: float
    """What is minimised."""
    fvu: float
    """Mean of ‖x − x̂‖² over the batch; x has mean square norm 1."""
    l0: float
    """Active features per text."""
    dead: int
    """Features that are dead now."""


class Method(Protocol):
    """One architecture in training."""

    @property
    def recipe(self) -> Recipe:
        """Its sizes and rates."""

    def begin(self, parameters: Parameters, x: torch.Tensor) -> None:
        """Add or take away parameters so that the first activations of x [n, d] have the L0 of the first step."""

    def numbers(self) -> dict[str, float]:
        """Return what the method carries from step to step, as it is before the first."""

    def activate(self, parameters: Parameters, x: torch.Tensor, k: float) -> SparseBatch:
        """Return the activations of x [n, d] in a batch with target L0 k."""

    def learn(self, state: State, x: torch.Tensor, noisy: torch.Tensor) -> Step:
        """Return the gradients for texts x [n, d], which the encoder reads as `noisy`; note what fired in `state`."""

    def fold(self, parameters: Parameters, spread: float) -> tuple[torch.Tensor, Gate]:
        """Return b_enc and the gate for x in its own unit, centred by the decoder's bias."""

    def settle(self, sae: SAE, embeddings: EmbeddingParts) -> SAE:
        """Return the SAE with what is only found once training is over, on the training texts."""


def missing(parameters: Parameters, active: SparseBatch, x: torch.Tensor) -> torch.Tensor:
    """Return e = x̂ − x, [n, d]."""
    return active.times(parameters["D"]) + parameters["c"] - x


def shifted(bias: torch.Tensor, parameters: Parameters, spread: float) -> torch.Tensor:
    """Return an encoder's bias in the raw unit, for an input from which the decoder's bias is taken."""
    return spread * (bias + parameters["E"] @ parameters["c"])

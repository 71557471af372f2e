"""Vanilla: ReLU, and a penalty on the sum of the activations (L1)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar

from featurelib.sae.gates import Relu
from featurelib.sae.threshold import find_shift
from featurelib.sae.training.base import Parameters, missing, shifted
from featurelib.sae.training.sparse_batch import SparseBatch
from featurelib.sae.training.sparsity_penalty import Penalised, Slopes, start_at

if TYPE_CHECKING:
    import torch

    from featurelib.sae.gates import Gate
    from featurelib.sae.model import SAE
    from featurelib.storage.embeddings import EmbeddingParts


@dataclass(frozen=True)
class VanillaMethod(Penalised):
    """a = max(z, 0); loss = mean of ‖x − x̂‖² + λ·Σa, directions of unit norm."""

    biases: ClassVar[tuple[str, ...]] = ("b_enc",)

    def begin(self, parameters: Parameters, x: torch.Tensor) -> None:
        """Begin with a bias at which as many features fire as the first step asks for, not half of them."""
        parameters["b_enc"] -= start_at(parameters, x, self.recipe.k_at(0))

    def activate(self, parameters: Parameters, x: torch.Tensor, k: float) -> SparseBatch:
        """Return max(z, 0) of x [n, d]."""
        import torch

        z = torch.addmm(parameters["b_enc"], x, parameters["E"].T)
        return SparseBatch.where(z > 0, z)

    def slopes(self, parameters: Parameters, x: torch.Tensor, noisy: torch.Tensor, penalty: float) -> Slopes:
        """Return gradients and losses for texts x [n, d], which the encoder reads as `noisy`."""
        n = len(x)
        active = self.activate(parameters, noisy, self.recipe.k)
        e = missing(parameters, active, x)
        da = active.with_values((2 * active.dots(e, parameters["D"]) + penalty) / n)
        gradients = {
            "E": da.transposed_times(noisy),
            "b_enc": da.column_sums(),
            "D": active.transposed_times(e) * (2 / n),
            "c": e.sum(0) * (2 / n),
        }
        return Slopes(gradients, float(e.square().sum()) / n, float(active.values.sum()) / n, 0.0, active)

    def fold(self, parameters: Parameters, spread: float) -> tuple[torch.Tensor, Gate]:
        """Return b_enc and the gate."""
        return shifted(parameters["b_enc"], parameters, spread), Relu()

    def settle(self, sae: SAE, embeddings: EmbeddingParts) -> SAE:
        """Return the SAE with its biases moved together until it has its L0 on the training texts.

        Without the noise fewer features fire: of 60 texts 3.2 and not 4, with FVU 0.78 held out instead of 0.69. Where
        not even half of k fire the biases stay: raised so far, they would add up to more than the texts.
        """
        if find_shift(sae, embeddings, self.recipe.k / 2) < 0:
            return sae
        return replace(sae, b_enc=sae.b_enc - find_shift(sae, embeddings, self.recipe.k))

"""JumpReLU: a threshold per feature, and a penalty on the number of activations (L0)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar

from featurelib.sae.gates import JumpReLU
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
class JumpReLUMethod(Penalised):
    """a = z·[z > θ]; loss = mean of ‖x − x̂‖² + λ·(number of z > θ) (Rajamanoharan et al., arXiv 2407.14435).

    Neither step has a slope in θ; both are given that of a ramp as wide as the bandwidth ε around θ (straight-through):
    ∂a/∂θ = −θ/ε and ∂[z > θ]/∂θ = −1/ε where |z − θ| < ε/2. What is trained is θ itself: Adam moves the logarithm of a
    threshold so slowly that it never becomes sparse (SAELens issue 494).
    """

    biases: ClassVar[tuple[str, ...]] = ("b_enc", "threshold")

    def begin(self, parameters: Parameters, x: torch.Tensor) -> None:
        """Begin with one threshold, at which as many features fire as the first step asks for."""
        import torch

        first = start_at(parameters, x, self.recipe.k_at(0))
        parameters["threshold"] = torch.full_like(parameters["b_enc"], first)

    def activate(self, parameters: Parameters, x: torch.Tensor, k: float) -> SparseBatch:
        """Return the activations of x [n, d]."""
        return self._open(parameters, self._z(parameters, x))

    def _z(self, parameters: Parameters, x: torch.Tensor) -> torch.Tensor:
        import torch

        return torch.addmm(parameters["b_enc"], x, parameters["E"].T)

    def _open(self, parameters: Parameters, z: torch.Tensor) -> SparseBatch:
        return SparseBatch.where(z > parameters["threshold"].clamp(min=0), z)

    def slopes(self, parameters: Parameters, x: torch.Tensor, noisy: torch.Tensor, penalty: float) -> Slopes:
        """Return gradients and losses for texts x [n, d], which the encoder reads as `noisy`."""
        n, threshold, width = len(x), parameters["threshold"], self.recipe.bandwidth
        z = self._z(parameters, noisy)
        active = self._open(parameters, z)
        e = missing(parameters, active, x)
        da = active.with_values(active.dots(e, parameters["D"]) * (2 / n))
        near = SparseBatch.where((z - threshold).abs() < width / 2, z)
        slope = 2 * threshold[near.columns] * near.dots(e, parameters["D"]) + penalty
        gradients = {
            "E": da.transposed_times(noisy),
            "b_enc": da.column_sums(),
            "D": active.transposed_times(e) * (2 / n),
            "c": e.sum(0) * (2 / n),
            "threshold": near.with_values(slope / (-width * n)).column_sums(),
        }
        return Slopes(gradients, float(e.square().sum()) / n, len(active.values) / n, 0.0, active)

    def fold(self, parameters: Parameters, spread: float) -> tuple[torch.Tensor, Gate]:
        """Return b_enc and the gate."""
        gate = JumpReLU(spread * parameters["threshold"].clamp(min=0))
        return shifted(parameters["b_enc"], parameters, spread), gate

    def settle(self, sae: SAE, embeddings: EmbeddingParts) -> SAE:
        """Return the SAE with its thresholds raised together until it has its L0 on the training texts."""
        threshold = sae.thresholds()
        shift = find_shift(replace(sae, b_enc=sae.b_enc - threshold), embeddings, self.recipe.k)
        return replace(sae, gate=JumpReLU((threshold + shift).clamp(min=0)))

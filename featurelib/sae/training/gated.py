"""Gated: one path decides whether a feature fires, another how strongly; only the first is penalised."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar

from featurelib.sae.gates import Gated
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
class GatedMethod(Penalised):
    """a = [g > 0]·max(m, 0) with g = z + b_gate, m = z·exp(r_mag) + b_mag (Rajamanoharan et al., arXiv 2404.16014).

    loss = mean of ‖x − x̂‖² + λ·Σmax(g, 0) + ‖x − x̂'‖², where x̂' is decoded from max(g, 0) by a decoder that is taken as
    given: so the gates learn although the step has no slope.
    """

    biases: ClassVar[tuple[str, ...]] = ("b_gate", "b_mag", "r_mag")

    def begin(self, parameters: Parameters, x: torch.Tensor) -> None:
        """Begin with gates that let as many features fire as the first step asks for, and with magnitudes z."""
        zeros = parameters.pop("b_enc")
        first = start_at(parameters, x, self.recipe.k_at(0))
        parameters |= {"b_gate": zeros - first, "b_mag": zeros.clone(), "r_mag": zeros.clone()}

    def activate(self, parameters: Parameters, x: torch.Tensor, k: float) -> SparseBatch:
        """Return the activations of x [n, d]."""
        z = x @ parameters["E"].T
        return self._magnitudes(parameters, SparseBatch.where(z + parameters["b_gate"] > 0, z))

    def _magnitudes(self, parameters: Parameters, z: SparseBatch) -> SparseBatch:
        scale, bias = parameters["r_mag"].exp()[z.columns], parameters["b_mag"][z.columns]
        a = z.values * scale + bias
        return SparseBatch(z.shape, z.rows[a > 0], z.columns[a > 0], a[a > 0])

    def slopes(self, parameters: Parameters, x: torch.Tensor, noisy: torch.Tensor, penalty: float) -> Slopes:
        """Return gradients and losses for texts x [n, d], which the encoder reads as `noisy`."""
        n, p = len(x), parameters
        z = noisy @ p["E"].T
        gate = z + p["b_gate"]
        opened, g = SparseBatch.where(gate > 0, z), SparseBatch.where(gate > 0, gate)
        a = self._magnitudes(p, opened)
        e, aside = missing(p, a, x), missing(p, g, x)
        # The open gates' entries include those that fire, so both paths' slopes meet on them.
        scale = p["r_mag"].exp()[g.columns]
        fires = opened.values * scale + p["b_mag"][g.columns] > 0
        dm = g.with_values(g.dots(e, p["D"]) * fires * (2 / n))
        dg = g.with_values((2 * g.dots(aside, p["D"]) + penalty) / n)
        gradients = {
            "E": g.with_values(dm.values * scale + dg.values).transposed_times(noisy),
            "b_gate": dg.column_sums(),
            "b_mag": dm.column_sums(),
            "r_mag": dm.with_values(dm.values * opened.values * scale).column_sums(),
            "D": a.transposed_times(e) * (2 / n),
            "c": e.sum(0) * (2 / n),
        }
        fvu, beside = (float(errors.square().sum()) / n for errors in (e, aside))
        return Slopes(gradients, fvu, float(g.values.sum()) / n, beside, a)

    def fold(self, parameters: Parameters, spread: float) -> tuple[torch.Tensor, Gate]:
        """Return a b_enc of zeros and the gate, whose biases take what b_enc would."""
        p = parameters
        offset = shifted(p["b_gate"] * 0, p, spread)
        b_mag = spread * p["b_mag"] + offset * p["r_mag"].exp()
        return offset * 0, Gated(spread * p["b_gate"] + offset, b_mag, p["r_mag"])

    def settle(self, sae: SAE, embeddings: EmbeddingParts) -> SAE:
        """Return the SAE with its gates' biases lowered together until it has its L0 on the training texts."""
        gate = sae.gate
        if not isinstance(gate, Gated):
            raise TypeError(f"the gate is {gate.name}; a gated SAE has a Gated one")
        shift = find_shift(replace(sae, b_enc=gate.b_gate), embeddings, self.recipe.k)
        return replace(sae, gate=replace(gate, b_gate=gate.b_gate - shift))

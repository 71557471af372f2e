"""Gates: what turns a feature's pre-activation into its activation.

Every gate maps z, float32 [n, n_features], to activations of the same shape that are zero where the feature does not
fire; all comparisons are strict. No gate looks at more than one row, so a text's features never depend on its
batch-mates.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from featurelib.sae.device import find_true, take
from featurelib.sae.sparse import Sparse

if TYPE_CHECKING:
    import torch


class Gate(Protocol):
    """What all gates can do."""

    name: str
    """The architecture's name in SAELens' layout (standard, topk, jumprelu or gated), or one that it lacks."""
    by_threshold: bool
    """Whether a feature fires exactly where its pre-activation is above `row_thresholds`, to the last bit."""

    def pre_activations(self, z: torch.Tensor) -> torch.Tensor:
        """Return what the activation would be were the gate open, float32 [n, n_features]."""

    def __call__(self, z: torch.Tensor) -> torch.Tensor:
        """Return the activations of z, float32 [n, n_features]."""

    def entries(self, z: torch.Tensor) -> Sparse:
        """Return those activations of z that are not zero, bit for bit the same."""

    def row_thresholds(self, z: torch.Tensor) -> torch.Tensor:
        """Return what each pre-activation must exceed to fire on its row, float32, broadcastable to [n, n_features].

        A feature fires exactly where its pre-activation is above that, but for ties: of features that are equal where
        only some may fire, those that do are not above it either.
        """

    def thresholds(self, n_features: int) -> torch.Tensor:
        """Return the pre-activation that each feature must pass to fire, float32 [n_features]."""

    def tensors(self) -> dict[str, torch.Tensor]:
        """Return the gate's own parameters by their names in SAELens' layout, each [n_features]."""


class Relu:
    """a = max(z, 0)."""

    name = "standard"
    by_threshold = True

    def pre_activations(self, z: torch.Tensor) -> torch.Tensor:
        """Return z itself."""
        return z

    def __call__(self, z: torch.Tensor) -> torch.Tensor:
        """Return max(z, 0)."""
        return z.relu()

    def entries(self, z: torch.Tensor) -> Sparse:
        """Return the activations that are not zero."""
        return Sparse.of(self(z))

    def row_thresholds(self, z: torch.Tensor) -> torch.Tensor:
        """Return 0, [1, 1]."""
        return z.new_zeros(1, 1)

    def thresholds(self, n_features: int) -> torch.Tensor:
        """Return zeros."""
        import torch

        return torch.zeros(n_features)

    def tensors(self) -> dict[str, torch.Tensor]:
        """Return nothing: the gate has no parameters."""
        return {}


@dataclass(frozen=True)
class TopK(Relu):
    """The k largest z of each row, then max(·, 0): fewer than k fire where fewer are positive.

    What a feature must pass depends on the row; `thresholds` gives the part of it that holds for all rows, 0.
    """

    k: int
    """How many features may fire on a text."""
    name = "topk"
    by_threshold = False

    def __call__(self, z: torch.Tensor) -> torch.Tensor:
        """Return max(z, 0) at each row's k largest entries and 0 elsewhere."""
        import torch

        top = z.topk(self.k, dim=1)
        return torch.zeros_like(z).scatter_(1, top.indices, top.values.relu())

    def entries(self, z: torch.Tensor) -> Sparse:
        """Return the positive ones of each row's k largest entries."""
        top = z.topk(self.k, dim=1)
        feature_ids, order = top.indices.sort(dim=1)
        values = top.values.gather(1, order)
        rows, columns = find_true(values > 0)
        return Sparse(rows, take(feature_ids, rows, columns), take(values, rows, columns))

    def row_thresholds(self, z: torch.Tensor) -> torch.Tensor:
        """Return the k-th largest z of the row's other features, at least 0: [n, n_features].

        For a feature that is not among the k largest that is the row's k-th largest, for one that is the next one.
        """
        return _of_others(z, self.k)


@dataclass(frozen=True, eq=False)
class JumpReLU:
    """a = max(z, 0)·[z > θ], with a threshold θ per feature.

    BatchTopK (Bussmann et al., arXiv 2412.06410) is this gate at inference, with one θ for all features.
    """

    threshold: torch.Tensor
    """θ, float32 [n_features], in the unit of z."""
    name = "jumprelu"
    by_threshold = True

    def pre_activations(self, z: torch.Tensor) -> torch.Tensor:
        """Return z itself."""
        return z

    def __call__(self, z: torch.Tensor) -> torch.Tensor:
        """Return max(z, 0) where z > θ."""
        return z.relu() * (z > self.threshold)

    def entries(self, z: torch.Tensor) -> Sparse:
        """Return z where it is above θ and 0: compared first, then gathered."""
        rows, feature_ids = find_true(z > self.threshold.clamp(min=0))
        return Sparse(rows, feature_ids, take(z, rows, feature_ids))

    def row_thresholds(self, z: torch.Tensor) -> torch.Tensor:
        """Return θ, or 0 where it is negative: [1, n_features]."""
        return self.threshold.clamp(min=0)[None]

    def thresholds(self, n_features: int) -> torch.Tensor:
        """Return θ, or 0 where it is negative."""
        return self.threshold.clamp(min=0)

    def tensors(self) -> dict[str, torch.Tensor]:
        """Return θ as `threshold`."""
        return {"threshold": self.threshold}


@dataclass(frozen=True, eq=False)
class Gated:
    """a = [z + b_gate > 0]·max(m, 0) with the magnitude m = z·exp(r_mag) + b_mag.

    Rajamanoharan et al., arXiv 2404.16014. Its pre-activation is m; z + b_gate > 0 is the same as
    m > b_mag − b_gate·exp(r_mag).
    """

    b_gate: torch.Tensor
    """The gate's bias, float32 [n_features]."""
    b_mag: torch.Tensor
    """The magnitude's bias, float32 [n_features]."""
    r_mag: torch.Tensor
    """The logarithm of the magnitude's scale, float32 [n_features]."""
    name = "gated"
    by_threshold = False

    def pre_activations(self, z: torch.Tensor) -> torch.Tensor:
        """Return the magnitudes m."""
        return z * self.r_mag.exp() + self.b_mag

    def __call__(self, z: torch.Tensor) -> torch.Tensor:
        """Return max(m, 0) where z + b_gate > 0."""
        return self.pre_activations(z).relu() * (z + self.b_gate > 0)

    def entries(self, z: torch.Tensor) -> Sparse:
        """Return the magnitudes above 0 where the gate is open; a sum is above 0 exactly where z is above −b_gate."""
        rows, feature_ids = find_true(z > -self.b_gate)
        magnitudes = take(z, rows, feature_ids) * self.r_mag.exp()[feature_ids] + self.b_mag[feature_ids]
        fires = magnitudes > 0
        return Sparse(rows[fires], feature_ids[fires], magnitudes[fires])

    def row_thresholds(self, z: torch.Tensor) -> torch.Tensor:
        """Return max(b_mag − b_gate·exp(r_mag), 0), [1, n_features]: in the space of m, and so up to its rounding."""
        return self.thresholds(z.shape[1])[None]

    def thresholds(self, n_features: int) -> torch.Tensor:
        """Return max(b_mag − b_gate·exp(r_mag), 0)."""
        return (self.b_mag - self.b_gate * self.r_mag.exp()).clamp(min=0)

    def tensors(self) -> dict[str, torch.Tensor]:
        """Return b_gate, b_mag and r_mag."""
        return {"b_gate": self.b_gate, "b_mag": self.b_mag, "r_mag": self.r_mag}


@dataclass(frozen=True)
class GroupMax(Relu):
    """max(z, 0) at the largest z of each of k groups of n_features/k features in a row (sparsify's groupmax)."""

    k: int
    """How many groups there are; so many features fire at most."""
    name = "groupmax"
    by_threshold = False

    def __call__(self, z: torch.Tensor) -> torch.Tensor:
        """Return max(z, 0) at each group's largest entry and 0 elsewhere."""
        import torch

        groups = z.reshape(len(z), self.k, z.shape[1] // self.k)
        top = groups.max(dim=2, keepdim=True)
        return torch.zeros_like(groups).scatter_(2, top.indices, top.values.relu()).flatten(1)

    def entries(self, z: torch.Tensor) -> Sparse:
        """Return the activations that are not zero: at most one of a group, and groups lie in the order of features."""
        size = z.shape[1] // self.k
        top = z.reshape(len(z), self.k, size).max(dim=2)
        rows, groups = find_true(top.values > 0)
        return Sparse(rows, groups * size + take(top.indices, rows, groups), take(top.values, rows, groups))

    def row_thresholds(self, z: torch.Tensor) -> torch.Tensor:
        """Return the largest z of the others of the feature's group, at least 0: [n, n_features]."""
        groups = z.reshape(len(z), self.k, z.shape[1] // self.k)
        return _of_others(groups.flatten(0, 1), 1).expand(len(z) * self.k, groups.shape[2]).reshape(z.shape)


@dataclass(frozen=True, eq=False)
class KeepsMax(JumpReLU):
    """JumpReLU under which each text keeps its largest feature: θ is lowered to just under the row's maximum.

    OpenSAE's jumprelu (sparse_activations.py): θ' = max − 1e-6 where the row's maximum is below θ. A maximum above 32
    is equal to that in float32, and its text keeps nothing, there as here.
    """

    name = "keepsmax"

    def __call__(self, z: torch.Tensor) -> torch.Tensor:
        """Return max(z, 0) where it is above θ, or above the row's maximum − 1e-6 where that maximum is below θ."""
        a = z.relu()
        return a * (a > self._lowered(a))

    def entries(self, z: torch.Tensor) -> Sparse:
        """Return the activations that are not zero."""
        return Sparse.of(self(z))

    def row_thresholds(self, z: torch.Tensor) -> torch.Tensor:
        """Return the row's θ', or 0 where it is negative: [n, n_features]."""
        return self._lowered(z.relu()).clamp(min=0)

    def _lowered(self, a: torch.Tensor) -> torch.Tensor:
        import torch

        largest = a.amax(1, keepdim=True)
        return torch.where(largest < self.threshold, largest - 1e-6, self.threshold)


@dataclass(frozen=True, eq=False)
class Capped(JumpReLU):
    """JumpReLU of which at most the k largest activations of a row stay (latent-sae's jumprelu and batchtopk)."""

    k: int
    """How many features may fire on a text."""
    name = "capped"
    by_threshold = False

    def __call__(self, z: torch.Tensor) -> torch.Tensor:
        """Return JumpReLU's activations where they are among the row's k largest."""
        import torch

        a = super().__call__(z)
        top = a.topk(self.k, dim=1)
        return torch.zeros_like(a).scatter_(1, top.indices, top.values)

    def entries(self, z: torch.Tensor) -> Sparse:
        """Return the activations that are not zero."""
        return Sparse.of(self(z))

    def row_thresholds(self, z: torch.Tensor) -> torch.Tensor:
        """Return θ, or the k-th largest JumpReLU activation of the row's other features where that is more."""
        return _of_others(super().__call__(z), self.k).maximum(super().row_thresholds(z))


def _of_others(z: torch.Tensor, k: int) -> torch.Tensor:
    """Return, for each entry, the k-th largest of the others in its row, at least 0; 0, [1, 1], with fewer others."""
    import torch

    if k >= z.shape[1]:
        return z.new_zeros(1, 1)
    top = z.topk(k + 1, dim=1)
    among = torch.zeros_like(z, dtype=torch.bool).scatter_(1, top.indices[:, :k], True)
    return torch.where(among, top.values[:, k:], top.values[:, k - 1 : k]).clamp(min=0)

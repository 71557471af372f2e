"""Architectures that choose which activations count: TopK in each text, BatchTopK and Matryoshka in the whole batch.

Gradients are written out by hand: of the five matrix products of a step four touch only activations that are not zero,
about one in sixty, and as sparse products cost little.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from featurelib.sae.gates import JumpReLU, TopK
from featurelib.sae.threshold import find_threshold, with_threshold
from featurelib.sae.training.base import Parameters, State, Step, shifted
from featurelib.sae.training.sparse_batch import SparseBatch

if TYPE_CHECKING:
    import torch

    from featurelib.sae.gates import Gate
    from featurelib.sae.model import SAE
    from featurelib.sae.training.recipe import Recipe
    from featurelib.storage.embeddings import EmbeddingParts


@dataclass(frozen=True)
class BatchTopKMethod:
    """The k·n largest pre-activations of a batch of n texts (Bussmann et al., arXiv 2412.06410).

    The loss is the mean of ‖x − x̂‖² and an auxiliary loss for dead features. At inference one threshold takes the place
    of the choice.
    """

    recipe: Recipe

    @property
    def widths(self) -> tuple[int, ...]:
        """The prefixes of the dictionary that each rebuild the texts, ascending, the last one whole."""
        return (self.recipe.n_features,)

    def choose(self, z: torch.Tensor, k: float) -> SparseBatch:
        """Keep k activations per text."""
        return SparseBatch.largest(z, round(k * len(z)))

    def begin(self, parameters: Parameters, x: torch.Tensor) -> None:
        """Leave the parameters as they are: the choice has none."""

    def numbers(self) -> dict[str, float]:
        """Return nothing."""
        return {}

    def activate(self, parameters: Parameters, x: torch.Tensor, k: float) -> SparseBatch:
        """Return the chosen activations of x [n, d]."""
        return self.choose(pre_activations(parameters, x), k)

    def learn(self, state: State, x: torch.Tensor, noisy: torch.Tensor) -> Step:
        """Return the gradients for texts x [n, d], which the encoder reads as `noisy`; note what fired in `state`."""
        z = pre_activations(state.parameters, noisy)
        active = self.choose(z, self.recipe.k_at(state.step))
        shares, errors = prefix_shares(state.parameters, active, x, self.widths)
        fvus = [float(e.square().sum()) / len(x) for e in errors]
        dead = state.count(active, self.recipe.dead_after)
        loss = sum(fvus) / len(fvus)
        slope_of_c = shares[0].error.sum(0) * (2 / (len(x) * len(errors)))
        if len(dead):
            auxiliary, share = dead_share(state.parameters, errors[-1], z[:, dead], dead, self.recipe)
            loss += auxiliary
            shares.append(share)
        gradients = {**gradients_of(shares, noisy), "c": slope_of_c}
        return Step(gradients, loss, fvus[-1], len(active.columns) / len(x), len(dead))

    def fold(self, parameters: Parameters, spread: float) -> tuple[torch.Tensor, Gate]:
        """Return b_enc, and a gate whose threshold is still to be found."""
        import torch

        return shifted(parameters["b_enc"], parameters, spread), JumpReLU(torch.zeros(self.recipe.n_features))

    def settle(self, sae: SAE, embeddings: EmbeddingParts) -> SAE:
        """Return the SAE with the one threshold at which it has its L0 on the training texts."""
        return with_threshold(sae, find_threshold(sae, embeddings, self.recipe.k))


@dataclass(frozen=True)
class MatryoshkaMethod(BatchTopKMethod):
    """BatchTopK whose loss is the mean over prefixes of the dictionary (Bussmann et al., arXiv 2503.17547).

    Each prefix rebuilds the texts alone, so the first features stay general and are not split by later ones.
    """

    @property
    def widths(self) -> tuple[int, ...]:
        """The recipe's prefixes in features, each at least one."""
        n = self.recipe.n_features
        return tuple(sorted({max(1, round(share * n)) for share in self.recipe.prefixes} | {n}))


@dataclass(frozen=True)
class TopKMethod(BatchTopKMethod):
    """The k largest pre-activations of each text, in training as at inference (Gao et al., arXiv 2406.04093)."""

    def choose(self, z: torch.Tensor, k: float) -> SparseBatch:
        """Keep the k largest of each text."""
        return SparseBatch.largest_of_rows(z, round(k))

    def fold(self, parameters: Parameters, spread: float) -> tuple[torch.Tensor, Gate]:
        """Return b_enc and the gate."""
        return shifted(parameters["b_enc"], parameters, spread), TopK(self.recipe.k)

    def settle(self, sae: SAE, embeddings: EmbeddingParts) -> SAE:
        """Return the SAE as it is."""
        return sae


def pre_activations(parameters: Parameters, x: torch.Tensor) -> torch.Tensor:
    """Return x @ Eᵀ + b_enc, [n, F]."""
    import torch

    return torch.addmm(parameters["b_enc"], x, parameters["E"].T)


class Share(NamedTuple):
    """What some activations bring to the gradients of the loss."""

    back: SparseBatch
    """The slope of each pre-activation, [n, n_features]."""
    forward: SparseBatch
    """The activations times the weight of their error in the loss, [n, n_features]."""
    error: torch.Tensor
    """What the reconstruction has too much, [n, d]."""


def gradients_of(shares: list[Share], noisy: torch.Tensor) -> Parameters:
    """Return the gradients of E, b_enc and D for texts that the encoder reads as `noisy` [n, d].

    All shares go into one product for each matrix: most of its time is spent on the rows of features that do not fire.
    """
    import torch

    back = SparseBatch.joined([share.back for share in shares])
    forward = SparseBatch.stacked([share.forward for share in shares])
    return {
        "E": back.transposed_times(noisy),
        "b_enc": back.column_sums(),
        "D": forward.transposed_times(torch.cat([share.error for share in shares])),
    }


def prefix_shares(
    parameters: Parameters, active: SparseBatch, x: torch.Tensor, widths: tuple[int, ...]
) -> tuple[list[Share], list[torch.Tensor]]:
    """Return the shares in the mean over texts and prefixes of ‖x̂ − x‖², and each prefix's x̂ − x, [n, d].

    The features of one block are in the same prefixes: their slopes come from the sum of those prefixes' errors. The
    first share is that of the first block, whose features are in all of them.
    """
    rebuilt, errors, blocks = parameters["c"], [], []
    for first, last in zip((0, *widths), widths, strict=False):
        block = active if len(widths) == 1 else active.within(first, last)
        rebuilt = block.times(parameters["D"]) + rebuilt
        errors.append(rebuilt - x)
        blocks.append(block)
    scale = 2 / (len(x) * len(widths))
    shares, above = [], errors[0].new_zeros(errors[0].shape)
    for block, e in zip(reversed(blocks), reversed(errors), strict=True):
        above = above + e
        slopes = block.dots(above, parameters["D"]) * scale
        shares.append(Share(block.with_values(slopes), block.with_values(block.values * scale), above))
    return shares[::-1], errors


def dead_share(
    parameters: Parameters, e: torch.Tensor, z: torch.Tensor, dead: torch.Tensor, recipe: Recipe
) -> tuple[float, Share]:
    """Let the dead features nearest to firing rebuild the residual −e; return the loss, relative to ‖e‖², and a share.

    z [n, number of dead] holds the pre-activations of the features `dead`. The residual is taken as given.
    """
    nearest = SparseBatch.largest_of_rows(z, min(recipe.k_aux, len(dead)))
    nearest = SparseBatch((len(z), recipe.n_features), nearest.rows, dead[nearest.columns], nearest.values)
    rest = nearest.times(parameters["D"]) + e
    weight = recipe.aux * min(1.0, len(dead) / recipe.k_aux) / max(float(e.square().sum()), 1e-12)
    slopes = nearest.dots(rest, parameters["D"]) * (2 * weight)
    share = Share(nearest.with_values(slopes), nearest.with_values(nearest.values * (2 * weight)), rest)
    return float(rest.square().sum()) * weight, share

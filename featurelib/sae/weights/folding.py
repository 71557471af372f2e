"""What other libraries compute beside their weights, put into the weights: the same features, in canonical form."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from featurelib.schema import Refusal

if TYPE_CHECKING:
    import torch

    from featurelib.sae.model import SAE


def lengths(sae: SAE) -> torch.Tensor:
    """Return the length of each direction, [n_features]; Refusal when one is 0, for all callers divide by them."""
    norms: torch.Tensor = sae.W_dec.norm(dim=1)
    if not bool((norms > 0).all()):
        raise Refusal("W_dec has a direction of length 0, by which its feature is divided; this SAE is damaged.")
    return norms


def scaled_activations(sae: SAE, factor: torch.Tensor) -> SAE:
    """Return `sae` with each activation z multiplied by its `factor` [n_features], and each direction divided by it.

    The reconstruction stays where the gate does not choose otherwise; the gate itself is left as it is.
    """
    return replace(sae, W_enc=sae.W_enc * factor, b_enc=sae.b_enc * factor, W_dec=sae.W_dec / factor[:, None])


def scaled_inputs(sae: SAE, factor: float) -> SAE:
    """Return an SAE whose activations for x are those of `sae` for x·factor, and whose output is divided by factor.

    So SAELens folds a fixed scale of the inputs (SAE.fold_activation_norm_scaling_factor): b_enc and thresholds stay.
    """
    return replace(sae, W_enc=sae.W_enc * factor, W_dec=sae.W_dec / factor, b_dec=sae.b_dec / factor)


def scaled_decoder(sae: SAE, factor: torch.Tensor, name: str) -> SAE:
    """Return `sae` whose activations are multiplied by `factor` [n_features] when decoded; `name` is the factor's."""
    if tuple(factor.shape) != (sae.n_features,) or not bool(factor.isfinite().all()):
        raise Refusal(
            f"{name} has shape {tuple(factor.shape)} or is not finite; expected {sae.n_features} numbers, one for each "
            "feature: fetch this SAE again."
        )
    return replace(sae, W_dec=sae.W_dec * factor[:, None])

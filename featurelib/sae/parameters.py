"""What the parameters of an SAE must be: of shapes that fit together, and finite."""

from __future__ import annotations

from typing import TYPE_CHECKING

from featurelib.schema import Refusal

if TYPE_CHECKING:
    from featurelib.sae.model import SAE

NORMS = ("none", "layer_norm", "standardise", "constant_norm_rescale")


def check_parameters(sae: SAE) -> None:
    """Refuse an SAE whose parameters do not fit together, or are not finite."""
    import torch

    if sae.W_enc.ndim != 2:
        raise Refusal(f"W_enc has shape {tuple(sae.W_enc.shape)}; expected [d_in, n_features].")
    d_in, n_features = sae.W_enc.shape
    expected = {"b_enc": (n_features,), "W_dec": (n_features, d_in), "b_dec": (d_in,)}
    named = {name: getattr(sae, name) for name in expected} | sae.gate.tensors()
    if sae.W_skip is not None:
        expected["W_skip"], named["W_skip"] = (d_in, d_in), sae.W_skip
    if not d_in or not n_features:
        raise Refusal(f"W_enc has shape {(d_in, n_features)}; an SAE has at least one dimension and one feature.")
    for name, tensor in named.items():
        shape = expected.get(name, (n_features,))
        if tuple(tensor.shape) != shape:
            raise Refusal(
                f"{name} has shape {tuple(tensor.shape)} but W_enc {(d_in, n_features)} asks for {shape}: "
                "the weights are transposed or belong to different SAEs; save them again as W_enc [d_in, n_features]."
            )
    for name, tensor in {"W_enc": sae.W_enc, **named}.items():
        if tensor.dtype != torch.float32:
            raise Refusal(f"{name} is {tensor.dtype}; expected float32.")
        if not torch.isfinite(tensor).all():
            raise Refusal(f"{name} holds NaN or infinite values; this SAE is damaged, fetch or train it again.")
    _check_settings(sae, d_in, n_features)


def _check_settings(sae: SAE, d_in: int, n_features: int) -> None:
    """Refuse a gate or a norm that does not fit these sizes."""
    k = getattr(sae.gate, "k", None)
    if k is not None and not 1 <= k <= n_features:
        raise Refusal(f"k is {k} but the SAE has {n_features} features; k must be between 1 and {n_features}.")
    if k is not None and sae.gate.name == "groupmax" and n_features % k:
        raise Refusal(f"{n_features} features do not fall into {k} groups of one size; k must divide their number.")
    if sae.norm not in NORMS:
        raise Refusal(f"the normalisation '{sae.norm}' is not known; expected one of {', '.join(NORMS)}.")
    if sae.norm in ("layer_norm", "standardise") and d_in < 2:
        raise Refusal(f"the normalisation '{sae.norm}' divides by a spread that one dimension has not; d_in is {d_in}.")

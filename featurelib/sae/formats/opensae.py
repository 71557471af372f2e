"""OpenSAE (THU-KEG): config.json with `"architectures": ["OpenSae"]` and model.safetensors.

Source: THU-KEG/OpenSAE, modeling_open_sae.py, configuration_open_sae.py, sparse_activations.py, sae_trainer.py. Its
trainer's iter_*.pt is the bare state_dict, with the same names; it needs that config.json beside it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from featurelib.sae.formats.checkpoint import Checkpoint, LoadOptions
from featurelib.sae.model import NORM_EPS, SAE
from featurelib.sae.weights.settings import LARGEST, flag
from featurelib.schema import Refusal

if TYPE_CHECKING:
    from featurelib.sae.gates import Gate
    from featurelib.sae.weights.contents import Contents

NAME = "OpenSAE"
TENSORS = ("encoder.weight", "encoder.bias", "W_dec", "b_dec")
ACTIVATIONS = ("topk", "jumprelu")


def matches(contents: Contents) -> bool:
    """Tell whether the config names OpenSAE's class."""
    return contents.config.get("architectures") == ["OpenSae"]


def read(contents: Contents, options: LoadOptions) -> Checkpoint:
    """Return the SAE; a setting that the config leaves out is OpenSAE's default, k is asked for."""
    config, file = contents.config, contents.config_file
    _check_settings(contents)
    normalises = flag(config, "input_normalize", True, file)
    shifts_back = flag(config, "normalize_shift_back", False, file)
    contents.only(TENSORS)
    sae = SAE(
        W_enc=contents.floats("encoder.weight", transposed=True),
        b_enc=contents.floats("encoder.bias"),
        W_dec=contents.floats("W_dec"),
        b_dec=contents.floats("b_dec"),
        gate=_gate(contents, options),
        # its way back multiplies by std + eps, where the others' multiply by std
        norm="standardise" if normalises else "none",
        shift_back=shifts_back or not normalises,
    )
    contents.says(hidden_size=sae.d_in, feature_size=sae.n_features)
    return Checkpoint(sae, NAME)


def _check_settings(contents: Contents) -> None:
    """Refuse what a canonical SAE cannot do."""
    config, file = contents.config, contents.config_file
    eps = config.get("input_normalize_eps", NORM_EPS)
    if eps != NORM_EPS:
        raise Refusal(
            f"{file} says input_normalize_eps = {eps!r}; only {NORM_EPS}, which all published SAEs have, is supported: "
            "choose an SAE that was trained with it."
        )
    experts = config.get("num_experts", 1)
    if experts != 1:
        raise Refusal(
            f"{file} says num_experts = {experts!r}: a router chooses which features a text may have, and no gate here "
            "can do that; choose an SAE without experts."
        )


def _gate(contents: Contents, options: LoadOptions) -> Gate:
    import torch

    from featurelib.sae.gates import KeepsMax, TopK

    config, file = contents.config, contents.config_file
    activation = config.get("activation", "topk")
    if activation not in ACTIVATIONS:
        raise Refusal(f"{file} says activation = {activation!r}; expected {' or '.join(ACTIVATIONS)}.")
    if activation == "topk":
        return TopK(options.agreed_k(config.get("k"), file))
    theta = config.get("jumprelu_theta")
    if isinstance(theta, bool) or not isinstance(theta, int | float) or not abs(theta) <= LARGEST:
        raise Refusal(f"{file} says jumprelu_theta = {theta!r:.40}; expected the number that activations must pass.")
    return KeepsMax(torch.full((len(contents.tensors["encoder.weight"]),), float(theta)))

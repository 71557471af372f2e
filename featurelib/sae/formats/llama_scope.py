"""Llama Scope and later SAEs of OpenMOSS' lm_saes: hyperparams.json (or config.json) and safetensors.

Read from src/lm_saes/sae.py (commit 00366e2) and from sae_lens 6.54, whose loader this follows in the unit of the
activations: inputs are scaled by s = √d/‖x‖ (the mean length in training), which is folded into the weights. The
threshold of hyperparams.json stands for unscaled inputs, hence its factor s; log_jumprelu_threshold for scaled ones.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from featurelib.sae.formats.checkpoint import Checkpoint, LoadOptions
from featurelib.sae.weights.folding import lengths, scaled_activations, scaled_inputs
from featurelib.sae.weights.scalars import from_logarithm
from featurelib.sae.weights.settings import flag, positive
from featurelib.sae.weights.without_threshold import without_threshold
from featurelib.schema import Refusal

if TYPE_CHECKING:
    import torch

    from featurelib.sae.model import SAE
    from featurelib.sae.weights.contents import Contents

NAME = "Llama Scope"
WEIGHTS = ("encoder.weight", "encoder.bias", "decoder.weight")
LOG_THRESHOLD = "log_jumprelu_threshold"
MEAN_NORM = "dataset_average_activation_norm"
BY_LENGTH = "sparsity_include_decoder_norm"
ACTIVATIONS = ("jumprelu", "relu", "topk", "batchtopk")


def matches(contents: Contents) -> bool:
    """Tell by the tensors; `read` says when the config is missing."""
    return contents.kind == "safetensors" and contents.has(*WEIGHTS)


def read(contents: Contents, options: LoadOptions) -> Checkpoint:
    """Return the SAE; Refusal for a transcoder, or when a switch asks for something that we would do wrong."""
    from featurelib.sae.gates import JumpReLU, TopK

    _check_config(contents)
    config, scale = contents.config, _scale(contents)
    sae = _weights(contents)
    _check_sizes(contents, sae)
    by_length = flag(config, BY_LENGTH, False, contents.config_file)
    lengthened = lengths(sae) if by_length else sae.b_enc.new_ones(sae.n_features)
    activation = str(config.get("act_fn", "jumprelu")).lower()
    remarks: tuple[str, ...] = ()
    if activation == "jumprelu":
        threshold = _threshold(contents, scale)
        sae = replace(sae, gate=JumpReLU(threshold / lengthened if len(threshold) == len(lengthened) else threshold))
        if bool(((lengthened - 1).abs() > 0.01).any()):
            remarks = (
                f"a feature fires by its activation times the length of its direction, as {BY_LENGTH} says; SAELens' "
                "loader leaves that length out.",
            )
    if activation not in ("topk", "batchtopk"):
        return Checkpoint(scaled_inputs(sae, scale), NAME, remarks)
    k = options.agreed_k(config.get("top_k"), contents.config_file)
    sae = scaled_inputs(scaled_activations(sae, lengthened), scale)
    return Checkpoint(replace(sae, gate=TopK(k)), NAME) if activation == "topk" else without_threshold(sae, k, NAME)


def _check_config(contents: Contents) -> None:
    config = contents.config
    if not config:
        raise Refusal(
            f"no config lies beside or above {contents.path.name}; put its hyperparams.json (or config.json) there."
        )
    name = contents.config_file
    read_at, written_at = config.get("hook_point_in"), config.get("hook_point_out")
    if written_at is not None and written_at != read_at:
        raise Refusal(
            f"{name} describes a transcoder from {read_at} to {written_at}, which rebuilds something else than its "
            "input; give an SAE."
        )
    if config.get("use_glu_encoder"):
        raise Refusal(f"{name} says use_glu_encoder, a second encoder that is not read; give an SAE without.")
    if str(config.get("act_fn", "jumprelu")).lower() not in ACTIVATIONS:
        raise Refusal(f"{name} says act_fn = {config['act_fn']!r}; expected one of {', '.join(ACTIVATIONS)}.")


def _weights(contents: Contents) -> SAE:
    """Return the SAE for inputs that are scaled already, with every positive pre-activation let through."""
    from featurelib.sae.gates import Relu
    from featurelib.sae.model import SAE

    config = contents.config
    norms = tuple(name for name in contents.tensors if name.startswith(f"{MEAN_NORM}."))
    biased = flag(config, "use_decoder_bias", True, contents.config_file)
    contents.only((*WEIGHTS, *(["decoder.bias"] if biased else [])), (LOG_THRESHOLD, *norms))
    W_dec = contents.floats("decoder.weight", transposed=True)
    return SAE(
        W_enc=contents.floats("encoder.weight", transposed=True),
        b_enc=contents.floats("encoder.bias"),
        W_dec=W_dec,
        b_dec=contents.floats("decoder.bias") if biased else W_dec.new_zeros(W_dec.shape[1]),
        gate=Relu(),
        subtract_b_dec=flag(config, "apply_decoder_bias_to_pre_encoder", False, contents.config_file),
        norm="constant_norm_rescale" if config.get("norm_activation") == "token-wise" else "none",
    )


def _scale(contents: Contents) -> float:
    """Return what all inputs were multiplied by in training; 1 where they were not, or each by its own length."""
    config = contents.config
    way = config.get("norm_activation", "dataset-wise")
    if way in ("inference", "token-wise"):
        return 1.0
    if way != "dataset-wise":
        raise Refusal(
            f"{contents.config_file} says norm_activation = {way!r}, with which a text's features depend on its "
            "batch-mates; expected dataset-wise, token-wise or inference."
        )
    mean = config.get(MEAN_NORM)
    mean = mean.get("in") if isinstance(mean, dict) else mean
    named = f"{MEAN_NORM}.{config.get('hook_point_in')}"
    if mean is None and named in contents.tensors:
        mean = contents.number(named)
    d_in = contents.floats("encoder.weight", transposed=True).shape[0]
    return float(d_in**0.5) / positive(mean, MEAN_NORM, contents.config_file)


def _threshold(contents: Contents, scale: float) -> torch.Tensor:
    """Return the threshold of each feature, for scaled inputs."""
    import torch

    if contents.has(LOG_THRESHOLD):
        return from_logarithm(contents, LOG_THRESHOLD)
    threshold = positive(contents.config.get("jump_relu_threshold"), "jump_relu_threshold", contents.config_file)
    return torch.full(contents.tensors["encoder.bias"].shape, threshold) * scale


def _check_sizes(contents: Contents, sae: SAE) -> None:
    contents.says(d_model=sae.d_in, d_sae=sae.n_features)
    factor = contents.config.get("expansion_factor")
    if factor is not None and (not isinstance(factor, int | float) or factor * sae.d_in != sae.n_features):
        raise Refusal(
            f"{contents.config_file} says expansion_factor = {factor!r} but the tensors have {sae.n_features} "
            f"features for {sae.d_in} dimensions; config and weights belong to different SAEs: fetch both again."
        )

"""HypotheSAEs (`pip install hypothesaes`): one file of torch.save's, {"config", "state_dict"}.

Source: hypothesaes/sae.py of 2.0. A BatchTopK's threshold starts at 0 and is learned in training; files from before
BatchTopK hold none and are TopK.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from featurelib.sae.formats.checkpoint import Checkpoint, LoadOptions
from featurelib.sae.weights.prefixes import prefixes_of
from featurelib.sae.weights.settings import LARGEST, flag
from featurelib.sae.weights.without_threshold import without_threshold
from featurelib.schema import Refusal

if TYPE_CHECKING:
    from featurelib.sae.weights.contents import Contents

NAME = "HypotheSAEs"
TENSORS = ("encoder.weight", "decoder.weight", "neuron_bias", "input_bias")
INSIDE = "state_dict"


def matches(contents: Contents) -> bool:
    """Tell whether one of the two biases has this library's name."""
    return contents.has(f"{INSIDE}.input_bias") or contents.has(f"{INSIDE}.neuron_bias")


def read(contents: Contents, options: LoadOptions) -> Checkpoint:
    """Return the SAE; a BatchTopK that never learned a threshold lacks one."""
    from featurelib.sae.gates import TopK
    from featurelib.sae.model import SAE
    from featurelib.sae.threshold import with_threshold

    file, config = contents.path.name, _config(contents)
    batchwise = flag(config, "use_batch_topk", False, file)
    weights = contents.under(INSIDE)
    always = "use_batch_topk" in config and not batchwise
    weights.only((*TENSORS, "threshold") if always else TENSORS, ("threshold",))
    k, threshold = options.agreed_k(config.get("k_active_neurons"), file), _threshold(weights)
    sae = SAE(
        W_enc=weights.floats("encoder.weight", transposed=True),
        b_enc=weights.floats("neuron_bias"),
        W_dec=weights.floats("decoder.weight", transposed=True),
        b_dec=weights.floats("input_bias"),
        gate=TopK(k),
        trained_as=_trained_as(config, batchwise),
        target_k=k,
    )
    sae = replace(sae, prefixes=prefixes_of(config.get("prefix_lengths"), sae.n_features))
    contents.says(config, input_dim=sae.d_in, m_total_neurons=sae.n_features)
    if batchwise and not threshold:
        return without_threshold(sae, k, NAME)
    return Checkpoint(with_threshold(sae, threshold) if batchwise else sae, NAME)


def _config(contents: Contents) -> dict[str, Any]:
    """Return the settings beside the state_dict."""
    config = contents.plain.get("config") if isinstance(contents.plain, dict) else None
    if not isinstance(config, dict):
        raise Refusal(
            f"{contents.path.name} holds no config beside its state_dict; save it with HypotheSAEs' own save."
        )
    return config


def _threshold(weights: Contents) -> float:
    """Return the learned threshold; 0 where there is none."""
    if not weights.has("threshold"):
        return 0.0
    threshold = weights.number("threshold")
    if not weights.tensors["threshold"].is_floating_point() or not 0 <= threshold <= LARGEST:
        raise Refusal(f"threshold in {weights.path.name} is {threshold}; expected a float from 0: fetch it again.")
    return threshold


def _trained_as(config: dict[str, Any], batchwise: bool) -> str:
    prefixes = config.get("prefix_lengths")
    if isinstance(prefixes, list) and len(prefixes) > 1:
        return "matryoshka"
    return "batchtopk" if batchwise else "topk"

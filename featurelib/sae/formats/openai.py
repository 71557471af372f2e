"""OpenAI's sparse_autoencoder: one dict of torch.save's, tensors and the name of the activation beside them.

Source: openai/sparse_autoencoder, sparse_autoencoder/model.py. Its loader normalises where the activation is TopK, and
takes ReLU for any name it does not know; here such a name is refused.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from featurelib.sae.formats.checkpoint import Checkpoint, LoadOptions
from featurelib.sae.weights.settings import LAST_SEEN, check_counters
from featurelib.schema import Refusal

if TYPE_CHECKING:
    from featurelib.sae.gates import Gate
    from featurelib.sae.weights.contents import Contents

NAME = "OpenAI"
TENSORS = ("encoder.weight", "decoder.weight", "latent_bias", "pre_bias")
COUNTERS = (LAST_SEEN, "latents_activation_frequency", "latents_mean_square")
ARCHITECTURES = {"ReLU": "vanilla", "TopK": "topk"}


def matches(contents: Contents) -> bool:
    """Tell whether a counter that only this library keeps is there, or its activation's name beside its biases."""
    beside = contents.plain if isinstance(contents.plain, dict) else {}
    named = "activation" in beside and (contents.has("latent_bias") or contents.has("pre_bias"))
    return named or contents.has("latents_mean_square") or contents.has("latents_activation_frequency")


def read(contents: Contents, options: LoadOptions) -> Checkpoint:
    """Return the SAE; normalised per text where its activation is TopK."""
    from featurelib.sae.model import SAE

    contents.only((*TENSORS, *COUNTERS))
    gate = _gate(contents, options)
    sae = SAE(
        W_enc=contents.floats("encoder.weight", transposed=True),
        b_enc=contents.floats("latent_bias"),
        W_dec=contents.floats("decoder.weight", transposed=True),
        b_dec=contents.floats("pre_bias"),
        gate=gate,
        norm="layer_norm" if gate.name == "topk" else "none",
    )
    check_counters(contents, COUNTERS, sae.n_features)
    return Checkpoint(sae, NAME)


def _gate(contents: Contents, options: LoadOptions) -> Gate:
    from featurelib.sae.gates import Relu, TopK

    file = contents.path.name
    beside = contents.plain if isinstance(contents.plain, dict) else {}
    activation = beside.get("activation")
    if activation is not None and activation not in tuple(ARCHITECTURES):
        raise Refusal(_unknown(file, activation))
    architecture = options.agreed_architecture(ARCHITECTURES.get(str(activation)), file, tuple(ARCHITECTURES.values()))
    if architecture == "vanilla":
        return Relu()
    settings = beside.get("activation_state_dict")
    settings = settings if isinstance(settings, dict) else {}
    after = settings.get("postact_fn", "ReLU")
    if after != "ReLU":
        raise Refusal(_unknown(file, f"TopK, then {after}"))
    return TopK(options.agreed_k(settings.get("k"), file))


def _unknown(file: str, activation: Any) -> str:
    return (
        f"{file} names the activation {activation!r}; expected ReLU, or TopK with ReLU after it: without one of them "
        "activations may be negative, and a feature here either fires above 0 or not."
    )

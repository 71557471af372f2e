"""bartbussmann/BatchTopK, and the thesis on sentence embeddings that copied it: sae.pt and config.json.

Read from sae.py and logs.py there (commits b454c16 and 3ce6538) and from Yb1ku/SAEs-for-Sentence-BERT, which has the
same classes. The tensors of Vanilla, TopK and BatchTopK are the same; TopK and BatchTopK store b_enc without using it.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from featurelib.sae.formats.checkpoint import Checkpoint, LoadOptions
from featurelib.sae.weights.scalars import from_logarithm
from featurelib.sae.weights.settings import flag
from featurelib.sae.weights.without_threshold import without_threshold
from featurelib.schema import Refusal

if TYPE_CHECKING:
    from featurelib.sae.weights.contents import Contents

NAME = "BatchTopK"
WEIGHTS = ("W_enc", "b_enc", "W_dec", "b_dec")
LOG_THRESHOLD = "jumprelu.log_threshold"
ARCHITECTURES = ("vanilla", "topk", "batchtopk", "jumprelu")
EARLY = {"activation": "relu", "tied_weights": False, "use_encoder_bias": False}
"""Switches of the repository's early experiments, with the values that its classes use now."""


def matches(contents: Contents) -> bool:
    """Tell whether it is a pickled state_dict of these classes, with or without its config."""
    if contents.kind != "pickle" or not contents.has(*WEIGHTS) or "__class__" in (contents.plain or {}):
        return False
    return contents.has(LOG_THRESHOLD) or "sae_type" in contents.config or set(contents.tensors) == set(WEIGHTS)


def read(contents: Contents, options: LoadOptions) -> Checkpoint:
    """Return the SAE; Refusal when the config contradicts the tensors, or nothing says which of the classes it is."""
    from featurelib.sae.gates import JumpReLU, Relu, TopK
    from featurelib.sae.model import SAE

    architecture = _architecture(contents, options)
    contents.only((*WEIGHTS, LOG_THRESHOLD) if architecture == "jumprelu" else WEIGHTS)
    _check_early(contents)
    norm, remarks = _norm(contents)
    choosing = architecture in ("topk", "batchtopk")
    if choosing:
        k = options.agreed_k(contents.config.get("top_k"), contents.config_file)
    gate = JumpReLU(from_logarithm(contents, LOG_THRESHOLD)) if architecture == "jumprelu" else Relu()
    sae = SAE(
        W_enc=contents.floats("W_enc"),
        b_enc=contents.floats("b_enc"),
        W_dec=contents.floats("W_dec"),
        b_dec=contents.floats("b_dec"),
        gate=TopK(k) if architecture == "topk" else gate,
        subtract_b_dec=architecture != "jumprelu",
        norm=norm,
        trained_as="vanilla" if architecture == "vanilla" else None,
    )
    contents.says(act_size=sae.d_in, dict_size=sae.n_features)
    if choosing:
        remarks += ("its b_enc is left out, as in the forward of its own class.",) if sae.b_enc.any() else ()
        sae = replace(sae, b_enc=sae.b_enc.new_zeros(sae.n_features))
    if architecture == "batchtopk":
        return without_threshold(sae, k, NAME, remarks)
    return Checkpoint(sae, NAME, remarks)


def _architecture(contents: Contents, options: LoadOptions) -> str:
    named = contents.config.get("sae_type")
    if named is not None and named not in ARCHITECTURES:
        raise Refusal(f"{contents.config_file} says sae_type = {named!r}; expected one of {', '.join(ARCHITECTURES)}.")
    if contents.has(LOG_THRESHOLD):
        return options.agreed_architecture(named or "jumprelu", contents.config_file, ARCHITECTURES)
    return options.agreed_architecture(named, contents.config_file, ARCHITECTURES if named else ARCHITECTURES[:3])


def _norm(contents: Contents) -> tuple[str, tuple[str, ...]]:
    if not contents.config:
        return "layer_norm", (
            f"no config.json lies beside {contents.path.name}; it is taken to standardise its input (input_unit_norm), "
            "as the repository's own config does.",
        )
    standardised = flag(contents.config, "input_unit_norm", False, contents.config_file)
    return "layer_norm" if standardised else "none", ()


def _check_early(contents: Contents) -> None:
    for key, usual in EARLY.items():
        setting = contents.config.get(key, usual)
        if setting != usual:
            raise Refusal(
                f"{contents.config_file} says {key} = {setting!r}, an early experiment's switch; "
                f"only {usual!r} is read."
            )

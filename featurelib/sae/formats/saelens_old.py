"""SAELens' layout of versions 5 and older: the same two files, with the language model's settings among the SAE's.

What differs is told by sae_lens 6.54 (loading/pretrained_sae_loaders.py: handle_pre_6_0_config and
read_sae_components_from_disk); the rest is read as version 6.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from featurelib.sae.formats import saelens
from featurelib.sae.formats.checkpoint import Checkpoint, LoadOptions
from featurelib.sae.weights.folding import scaled_decoder
from featurelib.sae.weights.settings import flag
from featurelib.schema import Refusal

if TYPE_CHECKING:
    from featurelib.sae.weights.contents import Contents

NAME = "SAELens 5 or older"
OLD_KEYS = {
    "activation_fn",
    "activation_fn_kwargs",
    "activation_fn_str",
    "context_size",
    "dataset_path",
    "finetuning_scaling_factor",
    "hook_layer",
    "hook_name",
    "hook_point",
    "hook_point_layer",
    "model_name",
    "prepend_bos",
    "sae_lens_training_version",
    "sae_lens_version",
}
"""Keys that version 6 has in its metadata, or no longer."""
SCALE = "scaling_factor"
FINETUNED = "finetuning_scaling_factor"


def matches(contents: Contents) -> bool:
    """Tell by the keys that went with version 6, or by an architecture that is not named."""
    if contents.kind != "safetensors" or not contents.has("W_enc", "W_dec") or "d_sae" not in contents.config:
        return False
    return "architecture" not in contents.config or contents.has(SCALE) or bool(OLD_KEYS & contents.config.keys())


def read(contents: Contents, options: LoadOptions) -> Checkpoint:
    """Return the SAE; Refusal as for version 6. Keys of the training are passed over."""
    scale = contents.floats(SCALE) if contents.has(SCALE) else None
    tensors = {name: tensor for name, tensor in contents.tensors.items() if name != SCALE}
    checkpoint = replace(
        saelens.read(replace(contents, tensors=tensors, config=_modern(contents)), options), format=NAME
    )
    finetuned = flag(contents.config, FINETUNED, False, contents.config_file)
    if scale is not None and not finetuned and not bool((scale == 1).all()):
        raise Refusal(
            f"{contents.path.name} holds a {SCALE} that is not 1, but {contents.config_file} does not say "
            f"{FINETUNED}; config and weights belong to different SAEs: fetch both again."
        )
    if scale is None and finetuned:
        raise Refusal(
            f"{contents.config_file} says {FINETUNED}, but {contents.path.name} holds no {SCALE}; config and "
            "weights belong to different SAEs: fetch both again."
        )
    return checkpoint if scale is None else replace(checkpoint, sae=scaled_decoder(checkpoint.sae, scale, SCALE))


def _modern(contents: Contents) -> dict[str, Any]:
    """Return what version 6 would have written."""
    config = {key: value for key, value in contents.config.items() if key in saelens.COMMON_KEYS - {"metadata"}}
    old = contents.config
    config.setdefault("architecture", "standard")
    config.setdefault("dtype", "float32")
    config.setdefault("reshape_activations", "hook_z" if "hook_z" in str(_hook(old)) else "none")
    activation = old.get("activation_fn_str") or old.get("activation_fn") or "relu"
    if activation not in ("relu", "topk"):
        raise Refusal(f"{contents.config_file} says the activation is {activation!r}; expected relu or topk.")
    if activation == "topk" or config["architecture"] == "topk":
        config |= {"architecture": "topk", "k": _k(old)}
    if isinstance(old.get("normalize_activations"), bool):
        config["normalize_activations"] = "expected_average_only_in" if old["normalize_activations"] else "none"
    return config


def _hook(old: dict[str, Any]) -> Any:
    return old.get("hook_name", old.get("hook_point", ""))


def _k(old: dict[str, Any]) -> Any:
    """Return k, which stood among the activation's settings; the check of version 6 tells where it is missing."""
    settings = old.get("activation_fn_kwargs")
    return old.get("k", settings.get("k") if isinstance(settings, dict) else None)

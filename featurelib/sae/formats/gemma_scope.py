"""Gemma Scope: params.npz, and the second series' params.safetensors with its config.json.

Read from sae_lens 6.54 (loading/pretrained_sae_loaders.py: gemma_2_sae_huggingface_loader, gemma_3_…) and the release
on the hub: JumpReLU with a raw threshold, b_dec not taken from the input, names with a large or a small w.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from featurelib.sae.formats.checkpoint import Checkpoint, LoadOptions
from featurelib.schema import Refusal

if TYPE_CHECKING:
    from featurelib.sae.weights.contents import Contents

NAME = "Gemma Scope"
WEIGHTS = ("W_enc", "b_enc", "W_dec", "b_dec")
EMBEDDING = "embedding"
LEVELS = 3
"""How far above the weights the release names the layer, as in embedding/width_4k/average_l0_6/params.npz."""


def matches(contents: Contents) -> bool:
    """Tell whether it is an npz with an encoder, or has the second series' names."""
    return (contents.kind == "npz" and contents.has("W_enc")) or contents.has("w_enc", "w_dec", "threshold")


def read(contents: Contents, options: LoadOptions) -> Checkpoint:
    """Return the SAE; the one of the token embeddings was trained on inputs divided by √d_in, which is folded in."""
    from featurelib.sae.gates import JumpReLU
    from featurelib.sae.model import SAE

    _check_config(contents)
    contents = replace(contents, tensors={_large(name): tensor for name, tensor in contents.tensors.items()})
    contents.only((*WEIGHTS, "threshold"))
    sae = SAE(
        W_enc=contents.floats("W_enc"),
        b_enc=contents.floats("b_enc"),
        W_dec=contents.floats("W_dec"),
        b_dec=contents.floats("b_dec"),
        gate=JumpReLU(contents.floats("threshold")),
        subtract_b_dec=False,
    )
    if EMBEDDING not in contents.path.absolute().parts[-1 - LEVELS : -1]:
        return Checkpoint(sae, NAME)
    root = sae.d_in**0.5
    scaled = replace(sae, W_enc=sae.W_enc / root, W_dec=sae.W_dec * root)
    remark = f"it lies in a folder '{EMBEDDING}': its encoder is divided and its decoder multiplied by √d_in, as there."
    return Checkpoint(scaled, NAME, (remark,))


def _large(name: str) -> str:
    return "W_" + name[2:] if name.startswith("w_") else name


def _check_config(contents: Contents) -> None:
    config = contents.config
    if config.get("architecture", "jump_relu") != "jump_relu":
        raise Refusal(f"the config of this SAE says architecture = {config['architecture']!r}; expected 'jump_relu'.")
    read_at, written_at = config.get("hf_hook_point_in"), config.get("hf_hook_point_out")
    if written_at is not None and written_at != read_at:
        raise Refusal(
            f"this is a transcoder from {read_at} to {written_at}, which rebuilds something else than its input; "
            "give an SAE (resid_post, mlp_out, attn_out)."
        )

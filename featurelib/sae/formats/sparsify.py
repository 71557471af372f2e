"""EleutherAI's sparsify (`pip install eai-sparsify`): cfg.json and sae.safetensors, read and written.

Source: EleutherAI/sparsify 1.3.3, sparse_coder.py, fused_encoder.py and config.py; unknown keys are dropped there too.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from featurelib.sae.formats.checkpoint import Checkpoint, LoadOptions
from featurelib.sae.weights.settings import flag
from featurelib.schema import Refusal
from featurelib.storage import files

if TYPE_CHECKING:
    from featurelib.sae.gates import Gate
    from featurelib.sae.model import SAE
    from featurelib.sae.weights.contents import Contents

NAME = "sparsify"
CONFIG_FILE = "cfg.json"
WEIGHTS_FILE = "sae.safetensors"
TENSORS = ("encoder.weight", "encoder.bias", "W_dec", "b_dec")
ACTIVATIONS = ("topk", "groupmax")


def matches(contents: Contents) -> bool:
    """Tell whether the tensors are those of sparsify; OpenSAE and latent-sae, which share them, are asked before."""
    return contents.has("W_dec") and (contents.has("encoder.weight") or contents.has("encoder.bias"))


def read(contents: Contents, options: LoadOptions) -> Checkpoint:
    """Return the SAE; Refusal for a transcoder, whose features decode to another place than the embedding."""
    from featurelib.sae.model import SAE

    config, file = contents.config, contents.config_file
    if not config:
        raise Refusal(
            f"{file} holds the tensors that sparsify, latent-sae and OpenSAE (in its trainer's iter_*.pt) share, and "
            "nothing that says how they normalise and gate; put its cfg.json or config.json beside it."
        )
    if flag(config, "signed", False, file):
        raise Refusal(
            f"{file} says signed = true: this older SAE also has negative activations, and a feature here either "
            "fires above 0 or not; choose one that was trained without."
        )
    if flag(config, "transcode", False, file):
        raise Refusal(
            f"{file} says transcode = true: a transcoder rebuilds something else than its input, so no number about "
            "reconstruction would be right; give an SAE."
        )
    skips = flag(config, "skip_connection", False, file)
    contents.only((*TENSORS, "W_skip") if skips else TENSORS)
    sae = SAE(
        W_enc=contents.floats("encoder.weight", transposed=True),
        b_enc=contents.floats("encoder.bias"),
        W_dec=contents.floats("W_dec"),
        b_dec=contents.floats("b_dec"),
        gate=_gate(config, options, file),
        W_skip=contents.floats("W_skip", transposed=True) if skips else None,
    )
    check_sizes(contents, sae)
    return Checkpoint(sae, NAME)


def check_sizes(contents: Contents, sae: SAE) -> None:
    """Refuse a config whose d_in, num_latents, or where that is 0 expansion_factor, is not that of the tensors."""
    contents.says(d_in=sae.d_in)
    if contents.config.get("num_latents"):
        contents.says(num_latents=sae.n_features)
    else:
        contents.says(expansion_factor=sae.n_features / sae.d_in)


def expressible(sae: SAE) -> bool:
    """Tell whether the layout can hold this SAE."""
    return sae.gate.name in ACTIVATIONS and sae.norm == "none" and sae.subtract_b_dec


def save_sparsify(sae: SAE, folder: Path) -> None:
    """Write `sae` to `folder` in sparsify's layout; equal SAEs give equal bytes, what it cannot hold is a Refusal."""
    from safetensors.torch import save

    if not expressible(sae):
        raise Refusal(
            f"sparsify's layout has no place for this SAE (gate {sae.gate.name}, norm {sae.norm}, b_dec "
            f"{'' if sae.subtract_b_dec else 'not '}subtracted); it holds topk and groupmax without a norm, b_dec "
            "subtracted: try SAELens' layout."
        )
    tensors = {"encoder.weight": sae.W_enc.T, "encoder.bias": sae.b_enc, "W_dec": sae.W_dec, "b_dec": sae.b_dec}
    if sae.W_skip is not None:
        tensors["W_skip"] = sae.W_skip.T
    stored = save({name: tensor.contiguous() for name, tensor in tensors.items()})
    files.write_aside(folder / WEIGHTS_FILE, lambda aside: aside.write_bytes(stored))
    files.write_json(folder / CONFIG_FILE, _config(sae))


def _config(sae: SAE) -> dict[str, Any]:
    """The settings as sparsify's SparseCoderConfig names them; the last five say how it would go on training."""
    from featurelib.sae.gates import GroupMax, TopK

    lengths = sae.W_dec.norm(dim=1)
    return {
        "activation": sae.gate.name,
        "d_in": sae.d_in,
        "num_latents": sae.n_features,
        "k": sae.gate.k if isinstance(sae.gate, TopK | GroupMax) else sae.k,
        "skip_connection": sae.W_skip is not None,
        "transcode": False,
        "expansion_factor": max(1, sae.n_features // sae.d_in),
        "normalize_decoder": bool((lengths - 1).abs().max() < 1e-3),
        "multi_topk": False,
    }


def _gate(config: dict[str, Any], options: LoadOptions, file: str) -> Gate:
    from featurelib.sae.gates import GroupMax, TopK

    activation = config.get("activation", "topk")
    if activation not in ACTIVATIONS:
        raise Refusal(f"{file} says activation = {activation!r}; expected {' or '.join(ACTIVATIONS)}.")
    k = options.agreed_k(config.get("k"), file)
    return TopK(k) if activation == "topk" else GroupMax(k)

"""SAELens' inference layout, version 6: cfg.json and sae_weights.safetensors.

Read from sae-lens 6.54 (sae_lens/saes/{sae,standard,topk,jumprelu,gated}_sae.py). BatchTopK and Matryoshka have no
inference class there: they are saved as jumprelu, with their threshold.
"""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import TYPE_CHECKING, Any

from featurelib import files
from featurelib.schema import Refusal

if TYPE_CHECKING:
    import torch

    from featurelib.sae.gates import Gate
    from featurelib.sae.model import SAE

CONFIG_FILE = "cfg.json"
WEIGHTS_FILE = "sae_weights.safetensors"
MAX_HEADER = 1 << 20
"""Bytes; a SAE has less than ten tensors, so a longer header is not one of ours to read."""

TENSORS = {
    "standard": ("W_enc", "b_enc", "W_dec", "b_dec"),
    "topk": ("W_enc", "b_enc", "W_dec", "b_dec"),
    "jumprelu": ("W_enc", "b_enc", "W_dec", "b_dec", "threshold"),
    "gated": ("W_enc", "W_dec", "b_dec", "b_gate", "b_mag", "r_mag"),
}
"""The tensors of each architecture, no more and no less."""

COMMON_KEYS = {
    "architecture",
    "d_in",
    "d_sae",
    "dtype",
    "device",
    "apply_b_dec_to_input",
    "normalize_activations",
    "reshape_activations",
    "metadata",
}
TOPK_KEYS = {"k", "rescale_acts_by_decoder_norm"}
OLD_KEYS = {"activation_fn_str", "activation_fn", "hook_point", "hook_name", "hook_layer", "finetuning_scaling_factor"}
FLOATS = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2}


def load_saelens(folder: Path) -> SAE:
    """Return the SAE in `folder`; Refusal when a key, a tensor or a shape is not what the layout says."""
    from featurelib.sae.model import SAE

    config = read_config(folder / CONFIG_FILE)
    architecture = config["architecture"]
    shapes = read_header(folder / WEIGHTS_FILE)
    _check_tensors(config, shapes)
    tensors = _load_tensors(folder / WEIGHTS_FILE)
    if architecture == "topk" and config.get("rescale_acts_by_decoder_norm", False):
        norms = tensors["W_dec"].norm(dim=1)
        tensors |= {"W_enc": tensors["W_enc"] * norms, "b_enc": tensors["b_enc"] * norms}
        tensors["W_dec"] = tensors["W_dec"] / norms[:, None]
    metadata = config.get("metadata") or {}
    return SAE(
        W_enc=tensors["W_enc"],
        b_enc=tensors["b_enc"] if "b_enc" in tensors else tensors["b_gate"].new_zeros(len(tensors["b_gate"])),
        W_dec=tensors["W_dec"],
        b_dec=tensors["b_dec"],
        gate=_gate(config, tensors),
        subtract_b_dec=config.get("apply_b_dec_to_input", True),
        norm=config.get("normalize_activations") or "none",
        trained_as=metadata.get("trained_as"),
        target_k=metadata.get("target_l0"),
    )


def save_saelens(sae: SAE, folder: Path) -> None:
    """Write `sae` to `folder` in SAELens' inference layout; equal SAEs give equal bytes."""
    from safetensors.torch import save

    tensors = {"W_enc": sae.W_enc, "b_enc": sae.b_enc, "W_dec": sae.W_dec, "b_dec": sae.b_dec} | sae.gate.tensors()
    tensors = {name: tensors[name].contiguous() for name in TENSORS[sae.gate.name]}
    config: dict[str, Any] = {
        "architecture": sae.gate.name,
        "d_in": sae.d_in,
        "d_sae": sae.n_features,
        "dtype": "float32",
        "device": "cpu",
        "apply_b_dec_to_input": sae.subtract_b_dec,
        "normalize_activations": sae.norm,
        "reshape_activations": "none",
        "metadata": {},
    }
    if sae.gate.name == "topk":
        config |= {"k": sae.k, "rescale_acts_by_decoder_norm": False}
    if sae.trained_as:
        config["metadata"] = {"trained_as": sae.trained_as, "target_l0": sae.target_k}
    stored = save(tensors)
    files.write_aside(folder / WEIGHTS_FILE, lambda aside: aside.write_bytes(stored))
    files.write_json(folder / CONFIG_FILE, config)


def read_config(path: Path) -> dict[str, Any]:
    """Return cfg.json; Refusal when a key is unknown, missing, or asks for something that we would do wrong."""
    try:
        config = json.loads(path.read_bytes())
    except ValueError as error:
        raise Refusal(f"{path.name} is not JSON ({error}); fetch or save this SAE again.") from error
    if not isinstance(config, dict):
        raise Refusal(f"{path.name} holds no JSON object; fetch or save this SAE again.")
    old = sorted(OLD_KEYS & config.keys())
    if old:
        raise Refusal(
            f"{path.name} has the key '{old[0]}' of SAELens 5 or older; load and save it with SAELens 6 first."
        )
    architecture = config.get("architecture")
    if architecture not in TENSORS:
        raise Refusal(
            f"{path.name} names the architecture '{architecture}'; expected one of {', '.join(TENSORS)}"
            " (SAELens' save_inference_model writes BatchTopK and Matryoshka as jumprelu with their threshold)."
        )
    known = COMMON_KEYS | (TOPK_KEYS if architecture == "topk" else set())
    unknown = sorted(config.keys() - known)
    if unknown:
        raise Refusal(
            f"{path.name} has the key '{unknown[0]}', unknown for '{architecture}'; remove it if it means nothing."
        )
    _check_values(path.name, config)
    return config


def _check_values(name: str, config: dict[str, Any]) -> None:
    wanted: dict[str, type] = {"d_in": int, "d_sae": int, "dtype": str}
    wanted |= {"k": int} if config["architecture"] == "topk" else {}
    for key, kind in wanted.items():
        if not isinstance(config.get(key), kind) or isinstance(config.get(key), bool):
            raise Refusal(
                f"{name} says {key} = {config.get(key)!r}; expected {'a name' if kind is str else 'a whole number'}."
            )
    for key in ("apply_b_dec_to_input", "rescale_acts_by_decoder_norm"):
        if not isinstance(config.get(key, True), bool):
            raise Refusal(f"{name} says {key} = {config[key]!r}; expected true or false.")
    norm = config.get("normalize_activations") or "none"
    if norm == "expected_average_only_in":
        raise Refusal(
            f"{name} says normalize_activations = '{norm}', whose factor is not in the file; "
            "fold it into the weights with SAELens (fold_activation_norm_scaling_factor) and save again."
        )
    if norm not in ("none", "layer_norm", "constant_norm_rescale"):
        raise Refusal(
            f"{name} says normalize_activations = {norm!r}; expected none, layer_norm or constant_norm_rescale."
        )
    if (config.get("reshape_activations") or "none") != "none":
        raise Refusal(
            f"{name} says reshape_activations = {config['reshape_activations']!r}; embeddings are never reshaped."
        )


def read_header(path: Path) -> dict[str, tuple[int, ...]]:
    """Return the shapes of the tensors in a safetensors file, found and checked without loading it."""
    size = path.stat().st_size
    with path.open("rb") as opened:
        start = opened.read(8)
        length = struct.unpack("<Q", start)[0] if len(start) == 8 else -1
        if not 2 <= length <= min(MAX_HEADER, size - 8):
            raise Refusal(
                f"{path.name} ({size} bytes) announces a header of {length} bytes; it is cut or no safetensors file: "
                "fetch it again."
            )
        text = opened.read(length)
    try:
        header = json.loads(text)
        entries = {name: entry for name, entry in header.items() if name != "__metadata__"}
        spans = sorted(
            (*entry["data_offsets"], entry["dtype"], tuple(entry["shape"]), name) for name, entry in entries.items()
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise Refusal(f"the header of {path.name} cannot be read ({error}); fetch or save this SAE again.") from error
    end = 0
    for first, last, dtype, shape, name in spans:
        if dtype not in FLOATS:
            raise Refusal(f"{name} in {path.name} is stored as {dtype}; expected floats (F64, F32, F16 or BF16).")
        count = 1
        for length in shape:
            count *= length
        if first != end or last - first != count * FLOATS[dtype]:
            raise Refusal(
                f"{name} in {path.name} lies at bytes {first}–{last}, which does not fit its shape {shape}: "
                "fetch it again."
            )
        end = last
    if 8 + len(text) + end != size:
        raise Refusal(
            f"{path.name} has {size} bytes but its header describes {8 + len(text) + end}; it is cut: fetch it again."
        )
    return {name: shape for *_, shape, name in spans}


def _check_tensors(config: dict[str, Any], shapes: dict[str, tuple[int, ...]]) -> None:
    architecture, d_in, d_sae = config["architecture"], config["d_in"], config["d_sae"]
    expected = TENSORS[architecture]
    missing = [name for name in expected if name not in shapes]
    extra = [name for name in shapes if name not in expected]
    if missing or extra:
        found = [f"lacks {', '.join(missing)}"] * bool(missing) + [f"also holds {', '.join(extra)}"] * bool(extra)
        raise Refusal(
            f"{WEIGHTS_FILE} {' and '.join(found)}, but {CONFIG_FILE} says '{architecture}', which has exactly "
            f"{', '.join(expected)}; correct the architecture or save the SAE again."
        )
    whole = {"W_enc": (d_in, d_sae), "W_dec": (d_sae, d_in), "b_dec": (d_in,)}
    for name, shape in shapes.items():
        if shape != whole.get(name, (d_sae,)):
            raise Refusal(
                f"{name} in {WEIGHTS_FILE} has shape {shape}, but d_in {d_in} and d_sae {d_sae} in {CONFIG_FILE} ask "
                f"for {whole.get(name, (d_sae,))}; it is transposed or belongs to another SAE."
            )


def _load_tensors(path: Path) -> dict[str, torch.Tensor]:
    import torch
    from safetensors.torch import load_file

    return {name: tensor.to(torch.float32) for name, tensor in load_file(path).items()}


def _gate(config: dict[str, Any], tensors: dict[str, torch.Tensor]) -> Gate:
    from featurelib.sae.gates import Gated, JumpReLU, Relu, TopK

    match config["architecture"]:
        case "standard":
            return Relu()
        case "topk":
            return TopK(config["k"])
        case "jumprelu":
            return JumpReLU(tensors["threshold"])
        case _:
            return Gated(tensors["b_gate"], tensors["b_mag"], tensors["r_mag"])

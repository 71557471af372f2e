"""SAELens' layout, version 6: cfg.json and sae_weights.safetensors, read and written.

Read from sae-lens 6.54 (sae_lens/saes/{sae,standard,topk,jumprelu,gated}_sae.py). BatchTopK and Matryoshka have no
inference class there: they are saved as jumprelu, with their threshold.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from featurelib.sae.formats.checkpoint import Checkpoint, LoadOptions
from featurelib.sae.formats.unknown_keys import check_unknown_keys
from featurelib.sae.weights.density import saelens_density
from featurelib.sae.weights.folding import lengths, scaled_activations
from featurelib.sae.weights.prefixes import prefixes_of
from featurelib.sae.weights.settings import LARGEST
from featurelib.schema import Refusal
from featurelib.storage import files

if TYPE_CHECKING:
    from featurelib.sae.gates import Gate
    from featurelib.sae.model import SAE
    from featurelib.sae.weights.contents import Contents

NAME = "SAELens"
CONFIG_FILE = "cfg.json"
WEIGHTS_FILE = "sae_weights.safetensors"

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
NORMS = ("none", "layer_norm", "constant_norm_rescale")
TRAINED_AS = {"batchtopk": "batchtopk", "matryoshka_batchtopk": "matryoshka"}
"""What an export as jumprelu was trained as, by the training_architecture in its metadata."""


def matches(contents: Contents) -> bool:
    """Tell whether config and tensors are those of this version, or nearly so: `read` says what is wrong."""
    return "architecture" in contents.config and contents.has("W_enc", "W_dec") and contents.kind == "safetensors"


def read(contents: Contents, options: LoadOptions) -> Checkpoint:
    """Return the SAE; Refusal when a key, a tensor or a shape is not what the layout says."""
    from featurelib.sae.model import SAE

    config = contents.config
    remarks = check_config(contents.config_file, config)
    _check_tensors(contents)
    tensors = {name: contents.floats(name) for name in contents.tensors}
    trained_as, target_k = _trained(config.get("metadata") or {})
    sae = SAE(
        W_enc=tensors["W_enc"],
        b_enc=tensors["b_enc"] if "b_enc" in tensors else tensors["b_gate"].new_zeros(len(tensors["b_gate"])),
        W_dec=tensors["W_dec"],
        b_dec=tensors["b_dec"],
        gate=_gate(config, tensors, options),
        subtract_b_dec=config.get("apply_b_dec_to_input", True),
        norm=config.get("normalize_activations") or "none",
        trained_as=trained_as,
        target_k=target_k,
        prefixes=_prefixes(config.get("metadata") or {}, config["d_sae"]),
    )
    if config["architecture"] == "topk" and config.get("rescale_acts_by_decoder_norm", False):
        sae = scaled_activations(sae, lengths(sae))
    return Checkpoint(sae, NAME, remarks, log_density=saelens_density(contents.path, sae.n_features))


def expressible(sae: SAE) -> bool:
    """Tell whether the layout can hold this SAE."""
    return sae.gate.name in TENSORS and sae.norm in NORMS and sae.shift_back and sae.W_skip is None


def save_saelens(sae: SAE, folder: Path) -> None:
    """Write `sae` to `folder` in SAELens' inference layout; equal SAEs give equal bytes."""
    from safetensors.torch import save

    from featurelib.sae.gates import TopK

    if not expressible(sae):
        raise Refusal(
            f"SAELens' layout has no place for this SAE (gate {sae.gate.name}, norm {sae.norm}"
            f"{'' if sae.shift_back else ' that is not undone'}"
            f"{', a skip connection' if sae.W_skip is not None else ''}); keep it in the format it came in."
        )
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
    if isinstance(sae.gate, TopK):
        config |= {"k": sae.gate.k, "rescale_acts_by_decoder_norm": False}
    if sae.trained_as:
        config["metadata"] = {"trained_as": sae.trained_as, "target_l0": sae.target_k}
    if sae.prefixes:
        config["metadata"]["prefixes"] = list(sae.prefixes)
    stored = save(tensors)
    files.write_aside(folder / WEIGHTS_FILE, lambda aside: aside.write_bytes(stored))
    files.write_json(folder / CONFIG_FILE, config)


def check_config(file: str, config: dict[str, Any]) -> tuple[str, ...]:
    """Refuse a cfg.json with a key that is missing, or asks for something that we would do wrong.

    Return a remark about the keys that are unknown, if there are any.
    """
    architecture = config.get("architecture")
    if str(architecture) not in TENSORS:
        raise Refusal(
            f"{file} names the architecture '{architecture}'; expected one of {', '.join(TENSORS)}"
            " (SAELens' save_inference_model writes BatchTopK and Matryoshka as jumprelu with their threshold)."
        )
    known = COMMON_KEYS | (TOPK_KEYS if architecture == "topk" else set())
    _check_values(file, config)
    return check_unknown_keys(file, config, known)


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
    if norm not in NORMS:
        raise Refusal(f"{name} says normalize_activations = {norm!r}; expected {', '.join(NORMS)}.")
    if (config.get("reshape_activations") or "none") != "none":
        raise Refusal(
            f"{name} says reshape_activations = {config['reshape_activations']!r}; embeddings are never reshaped."
        )


def _check_tensors(contents: Contents) -> None:
    config = contents.config
    architecture, d_in, d_sae = config["architecture"], config["d_in"], config["d_sae"]
    contents.only(TENSORS[architecture])
    whole = {"W_enc": (d_in, d_sae), "W_dec": (d_sae, d_in), "b_dec": (d_in,)}
    for name, tensor in contents.tensors.items():
        expected = whole.get(name, (d_sae,))
        if tuple(tensor.shape) != expected:
            raise Refusal(
                f"{name} in {contents.path.name} has shape {tuple(tensor.shape)}, but d_in {d_in} and d_sae {d_sae} in "
                f"{contents.config_file} ask for {expected}; it is transposed or belongs to another SAE."
            )


def _trained(metadata: Any) -> tuple[str | None, int | None]:
    """Return what it was trained as and for which L0, where our export or SAELens' own says it."""
    if not isinstance(metadata, dict):
        raise Refusal(f"{CONFIG_FILE} says metadata = {metadata!r}; expected its own keys and values.")
    trained_as = metadata.get("trained_as") or TRAINED_AS.get(str(metadata.get("training_architecture")))
    details = metadata.get("training_architecture_details")
    k = metadata.get("target_l0", details.get("k") if isinstance(details, dict) and trained_as else None)
    target_k = round(k) if isinstance(k, int | float) and not isinstance(k, bool) and 1 <= k <= LARGEST else None
    return trained_as if isinstance(trained_as, str) else None, target_k


def _prefixes(metadata: dict[str, Any], n_features: int) -> tuple[int, ...] | None:
    """Return the prefixes of a Matryoshka, where our export or SAELens' own says them."""
    details = metadata.get("training_architecture_details")
    widths = details.get("matryoshka_widths") if isinstance(details, dict) else None
    return prefixes_of(metadata.get("prefixes", widths), n_features)


def _gate(config: dict[str, Any], tensors: dict[str, Any], options: LoadOptions) -> Gate:
    from featurelib.sae.gates import Gated, JumpReLU, Relu, TopK

    match config["architecture"]:
        case "standard":
            return Relu()
        case "topk":
            return TopK(options.agreed_k(config["k"], CONFIG_FILE))
        case "jumprelu":
            return JumpReLU(tensors["threshold"])
        case _:
            return Gated(tensors["b_gate"], tensors["b_mag"], tensors["r_mag"])

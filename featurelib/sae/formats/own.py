"""Our own layout, for what SAELens' cannot express: the same two files, with the architecture `foreign`.

SAELens refuses that name, so nobody loads such a file as something it is not. The weights are in canonical form, so no
pickle and no second convention gets into a run.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from featurelib.sae.formats.checkpoint import Checkpoint, LoadOptions
from featurelib.sae.formats.unknown_keys import check_unknown_keys
from featurelib.sae.sources.locate import CONFIG_NAMES, WEIGHT_NAMES
from featurelib.sae.weights.prefixes import prefixes_of
from featurelib.sae.weights.settings import LARGEST
from featurelib.schema import Refusal
from featurelib.storage import files

if TYPE_CHECKING:
    from featurelib.sae.gates import Gate
    from featurelib.sae.model import SAE
    from featurelib.sae.weights.contents import Contents

NAME = "featurelib"
FOREIGN = "foreign"
GATES = ("standard", "topk", "jumprelu", "gated", "groupmax", "keepsmax", "capped")
TENSORS = {
    **dict.fromkeys(("jumprelu", "keepsmax", "capped"), ("threshold",)),
    "gated": ("b_gate", "b_mag", "r_mag"),
}
"""What gates hold of their own."""
FLAGS = ("subtract_b_dec", "shift_back")
KEYS = {"architecture", "gate", "k", "d_in", "d_sae", "dtype", "norm", "trained_as", "target_k", "prefixes", *FLAGS}
"""What `save_own` writes."""


def matches(contents: Contents) -> bool:
    """Tell whether the config names the architecture `foreign`."""
    return contents.config.get("architecture") == FOREIGN


def read(contents: Contents, options: LoadOptions) -> Checkpoint:
    """Return the SAE that `save_own` wrote."""
    from featurelib.sae.model import SAE

    config = contents.config
    for name in FLAGS:
        if not isinstance(config.get(name), bool):
            raise Refusal(f"the config of this SAE says {name} = {config.get(name)!r}; expected true or false.")
    _check_origin(config)
    contents.only(("W_enc", "b_enc", "W_dec", "b_dec", *TENSORS.get(str(config.get("gate")), ())), ("W_skip",))
    sae = SAE(
        W_enc=contents.floats("W_enc"),
        b_enc=contents.floats("b_enc"),
        W_dec=contents.floats("W_dec"),
        b_dec=contents.floats("b_dec"),
        gate=_gate(contents, options),
        norm=str(config.get("norm")),
        W_skip=contents.floats("W_skip") if contents.has("W_skip") else None,
        subtract_b_dec=config["subtract_b_dec"],
        shift_back=config["shift_back"],
        trained_as=config.get("trained_as"),
        target_k=config.get("target_k"),
        prefixes=prefixes_of(config.get("prefixes"), contents.tensors["b_enc"].numel()),
    )
    contents.says(d_in=sae.d_in, d_sae=sae.n_features)
    return Checkpoint(sae, NAME, check_unknown_keys(contents.config_file, config, KEYS))


def _check_origin(config: dict[str, Any]) -> None:
    """Refuse what no SAE was trained as, or for."""
    trained_as, k = config.get("trained_as"), config.get("target_k")
    if trained_as is not None and not isinstance(trained_as, str):
        raise Refusal(f"the config of this SAE says trained_as = {trained_as!r:.40}; expected a name.")
    if k is not None and (isinstance(k, bool) or not isinstance(k, int) or not 1 <= k <= LARGEST):
        raise Refusal(f"the config of this SAE says target_k = {k!r:.40}; expected a whole number from 1.")


def save_own(sae: SAE, folder: Path) -> None:
    """Write `sae` to `folder` in this layout; equal SAEs give equal bytes."""
    from safetensors.torch import save

    named = {"W_enc": sae.W_enc, "b_enc": sae.b_enc, "W_dec": sae.W_dec, "b_dec": sae.b_dec} | sae.gate.tensors()
    if sae.W_skip is not None:
        named["W_skip"] = sae.W_skip
    config: dict[str, Any] = {
        "architecture": FOREIGN,
        "gate": sae.gate.name,
        "k": getattr(sae.gate, "k", None),
        "d_in": sae.d_in,
        "d_sae": sae.n_features,
        "dtype": "float32",
        "norm": sae.norm,
        "subtract_b_dec": sae.subtract_b_dec,
        "shift_back": sae.shift_back,
        "trained_as": sae.trained_as,
        "target_k": sae.target_k,
    }
    if sae.prefixes:
        config["prefixes"] = list(sae.prefixes)
    stored = save({name: tensor.contiguous() for name, tensor in named.items()})
    files.write_aside(folder / WEIGHT_NAMES[0], lambda aside: aside.write_bytes(stored))
    files.write_json(folder / CONFIG_NAMES[0], config)


def _gate(contents: Contents, options: LoadOptions) -> Gate:
    from featurelib.sae import gates

    name = contents.config.get("gate")
    if name not in GATES:
        raise Refusal(f"the config of this SAE names the gate {name!r}; expected one of {', '.join(GATES)}.")
    if name in ("topk", "groupmax", "capped"):
        k = options.agreed_k(contents.config.get("k"), contents.path.name)
    match name:
        case "standard":
            return gates.Relu()
        case "topk":
            return gates.TopK(k)
        case "groupmax":
            return gates.GroupMax(k)
        case "gated":
            return gates.Gated(*(contents.floats(name) for name in ("b_gate", "b_mag", "r_mag")))
    threshold = contents.floats("threshold")
    if name == "capped":
        return gates.Capped(threshold, k)
    return gates.KeepsMax(threshold) if name == "keepsmax" else gates.JumpReLU(threshold)

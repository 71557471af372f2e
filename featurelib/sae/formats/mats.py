"""mats_sae_training, SAELens' forebear: a pickled {"cfg", "state_dict"}, or a whole pickled SAE or group of SAEs.

Read from sae_training/sparse_autoencoder.py and sae_group.py in the history of jbloomAus/SAELens (commits 861151f,
2d80b2d). Version 1.0 added scaling_factor, by which activations are multiplied before decoding.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from featurelib.sae.formats.checkpoint import Checkpoint, LoadOptions
from featurelib.sae.weights.density import mats_density
from featurelib.sae.weights.folding import scaled_decoder
from featurelib.sae.weights.settings import flag
from featurelib.schema import Refusal

if TYPE_CHECKING:
    from featurelib.sae.weights.contents import Contents

NAME = "mats_sae_training"
WEIGHTS = ("W_enc", "b_enc", "W_dec", "b_dec")
SCALE = "scaling_factor"
STATE = "state_dict"


def matches(contents: Contents) -> bool:
    """Tell whether it is a pickle with a state_dict, a group, or an object that holds such weights."""
    if contents.kind != "pickle" or not isinstance(contents.plain, dict):
        return False
    return any(where == STATE or where.startswith("autoencoders.") for where in _places(contents)) or (
        "__class__" in contents.plain and "" in _places(contents)
    )


def read(contents: Contents, options: LoadOptions) -> Checkpoint:
    """Return the SAE, with the densities of its training where they lie beside it; Refusal for a group of several."""
    from featurelib.sae.gates import Relu
    from featurelib.sae.model import SAE

    places = _places(contents)
    if len(places) > 1:
        raise Refusal(
            f"{contents.path.name} holds a group of {len(places)} SAEs; save one of them by itself "
            "(its state_dict with torch.save) and give that."
        )
    config = _config(contents, places[0])
    weights = contents.under(places[0]) if places[0] else contents
    weights.only(WEIGHTS, (SCALE,))
    sae = SAE(
        W_enc=weights.floats("W_enc"),
        b_enc=weights.floats("b_enc"),
        W_dec=weights.floats("W_dec"),
        b_dec=weights.floats("b_dec"),
        gate=Relu(),
        subtract_b_dec=flag(config, "apply_b_dec_to_input", True, contents.path.name),
        trained_as="vanilla",
    )
    weights.says(config, d_in=sae.d_in, d_sae=sae.n_features)
    if weights.has(SCALE):
        sae = scaled_decoder(sae, weights.floats(SCALE), SCALE)
    return Checkpoint(sae, NAME, log_density=mats_density(contents.path, sae.n_features))


def _places(contents: Contents) -> list[str]:
    """Return the dotted paths at which an encoder lies."""
    names = [name for name in contents.tensors if name == "W_enc" or name.endswith(".W_enc")]
    return [name.removesuffix("W_enc").removesuffix(".") for name in names]


def _config(contents: Contents, place: str) -> dict[str, Any]:
    """Return the pickled config that goes with the weights at `place`."""
    plain: Any = contents.plain
    for part in [] if place in ("", STATE) else place.split("."):
        named = {str(number): member for number, member in enumerate(plain)} if isinstance(plain, list) else plain
        plain = named.get(part) if isinstance(named, dict) else None
    config = plain.get("cfg") if isinstance(plain, dict) else None
    if not isinstance(config, dict):
        raise Refusal(
            f"{contents.path.name} holds no cfg beside its weights, without which this format is not told from others; "
            "save the SAE as SAELens does."
        )
    for key, usual in {"normalize_activations": "none", "activation_fn": "relu", "activation_fn_str": "relu"}.items():
        if config.get(key) not in (None, False, usual):
            raise Refusal(f"{contents.path.name} says {key} = {config[key]!r}; only '{usual}' is read in this format.")
    return config

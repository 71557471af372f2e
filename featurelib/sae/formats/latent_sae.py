"""latent-sae (`pip install latentsae`): sparsify's files with a `sae_type` in cfg.json; those without are sparsify's.

Source: enjalot/latent-sae, latentsae/sae.py from its first types to 0.2.0. What is read here is its encode at inference
with its decode and skip, not the forward of its training.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from featurelib.sae.formats.checkpoint import Checkpoint, LoadOptions
from featurelib.sae.formats.sparsify import TENSORS, check_sizes
from featurelib.sae.weights.prefixes import prefixes_of
from featurelib.sae.weights.scalars import from_logarithm, single_float
from featurelib.sae.weights.settings import flag
from featurelib.schema import Refusal

if TYPE_CHECKING:
    import torch

    from featurelib.sae.gates import Gate
    from featurelib.sae.model import SAE
    from featurelib.sae.weights.contents import Contents

NAME = "latent-sae"
TYPES = ("TOPK", "JUMPRELU", "BATCHTOPK", "MATRYOSHKA")
REFUSED = {
    "GATED": "chooses features by one encoder and takes their activations from another",
    "LISTA": "lets features of similar directions take from one another's activations",
    "COSINE": "scores a feature by an angle and a power of the text's length",
    "ABSTOPK": "has negative activations too, where a feature here fires above 0 or not",
}
"""What keeps a type from being one encoder and one gate."""
OLD_CAP = 4
"""Before the setting jumprelu_max_active, a JumpReLU kept at most this many times k activations of a text."""
MEAN, THRESHOLD = "input_mean", "batchtopk_threshold"
UNLEARNED = (
    "its BatchTopK threshold is 0, so never learned; as in latent-sae, each text then keeps its k largest features."
)


def matches(contents: Contents) -> bool:
    """Tell whether the config has a type, and the tensors are no thesis' SAE, whose config has one too."""
    encoder = contents.has("encoder.weight") or contents.has("encoder.bias") or contents.has("W_gate.weight")
    return "sae_type" in contents.config and encoder


def read(contents: Contents, options: LoadOptions) -> Checkpoint:
    """Return the SAE as latent-sae's encode and decode have it; the types in REFUSED are refused."""
    from featurelib.sae.model import SAE

    config, file = contents.config, contents.config_file
    kind = _kind(contents)
    centres = flag(config, "mean_center", False, file)
    skip = _skip_names(contents) if flag(config, "use_skip", False, file) else ()
    batchwise = kind == "BATCHTOPK" or flag(config, "matryoshka_use_batchtopk", False, file)
    own = [*skip, *([MEAN] if centres else []), *([THRESHOLD] if batchwise else [])]
    contents.only((*TENSORS, *own, *(("log_threshold",) if kind == "JUMPRELU" else ())))
    sae = SAE(
        W_enc=contents.floats("encoder.weight", transposed=True),
        b_enc=contents.floats("encoder.bias"),
        W_dec=contents.floats("W_dec"),
        b_dec=contents.floats("b_dec"),
        gate=_gate(kind, contents, options),
        W_skip=_skip(contents, skip) if skip else None,
        trained_as=kind.lower(),
    )
    check_sizes(contents, sae)
    if kind == "MATRYOSHKA":
        sizes, _ = _levels(contents, sae.n_features)
        sae = replace(sae, prefixes=prefixes_of(sizes, sae.n_features))
    unlearned = kind == "BATCHTOPK" and _threshold(contents) == 0
    sae = _around(contents.floats(MEAN), sae) if centres else sae
    return Checkpoint(sae, NAME, (UNLEARNED,) if unlearned else ())


def _kind(contents: Contents) -> str:
    """Return the type, one of TYPES."""
    # simple_parsing writes an enum's name, an editor may write its value
    file, kind = contents.config_file, str(contents.config["sae_type"]).upper()
    if kind in REFUSED:
        raise Refusal(
            f"{file} says sae_type = {kind}, which {REFUSED[kind]}; no gate here can do that, and another would give "
            f"other features: choose one of {', '.join(TYPES)}."
        )
    if kind not in TYPES:
        raise Refusal(f"{file} says sae_type = {contents.config['sae_type']!r}; expected one of {', '.join(TYPES)}.")
    return kind


def _gate(kind: str, contents: Contents, options: LoadOptions) -> Gate:
    import torch

    from featurelib.sae.gates import Capped, TopK

    n_features = contents.tensors["encoder.bias"].numel()
    if kind == "MATRYOSHKA":
        _, ks = _levels(contents, n_features)
        return TopK(options.agreed_k(ks[-1] if ks else None, contents.config_file))
    if kind == "JUMPRELU":
        return _jumprelu(contents, options)
    k = options.agreed_k(contents.config.get("k"), contents.config_file)
    if kind == "TOPK":
        return TopK(k)
    threshold = torch.full((n_features,), _threshold(contents))
    # it keeps what is not below the threshold, our gates what is above theirs: the next smaller float
    return Capped(torch.nextafter(threshold, torch.tensor(-torch.inf)), k)


def _jumprelu(contents: Contents, options: LoadOptions) -> Gate:
    """Return JumpReLU, capped where the library caps it to a part of the features."""
    from featurelib.sae.gates import Capped, JumpReLU

    threshold = from_logarithm(contents, "log_threshold")
    cap, file = contents.config.get("jumprelu_max_active"), contents.config_file
    if cap is None:
        cap = OLD_CAP * options.agreed_k(contents.config.get("k"), file)
    if isinstance(cap, bool) or not isinstance(cap, int) or cap < 1:
        raise Refusal(f"{file} says jumprelu_max_active = {cap!r}; expected a whole number from 1.")
    return JumpReLU(threshold) if cap >= threshold.numel() else Capped(threshold, cap)


def _threshold(contents: Contents) -> float:
    return single_float(contents, THRESHOLD)


def _levels(contents: Contents, n_features: int) -> tuple[list[int], list[int]]:
    """Return the sizes of a Matryoshka's prefixes and their k, the last of the whole; empty where none are named."""
    config, file = contents.config, contents.config_file
    try:
        sizes, ks = (
            [int(part) for part in config.get(f"matryoshka_{name}", "").split(",") if part.strip()]
            for name in ("sizes", "ks")
        )
    except (ValueError, AttributeError) as error:
        raise Refusal(
            f"{file} has matryoshka_sizes or matryoshka_ks that are no numbers with commas ({error})."
        ) from error
    if len(sizes) != len(ks) or (sizes and sizes[-1] != n_features):
        raise Refusal(
            f"{file} says matryoshka_sizes = {sizes} and matryoshka_ks = {ks}, but the SAE has {n_features} features; "
            "config and weights belong to different SAEs: fetch both again."
        )
    return sizes, ks


def _skip_names(contents: Contents) -> tuple[str, ...]:
    """Return the names of the matrices of the skip connection: one, or where it is of low rank, two."""
    low_rank = contents.config.get("skip_rank", 0) not in (0, None)
    return ("W_skip_down.weight", "W_skip_up.weight") if low_rank else ("W_skip.weight",)


def _skip(contents: Contents, names: tuple[str, ...]) -> torch.Tensor:
    """Return the skip connection as one matrix for row vectors, [d_in, d_in]."""
    skips = [contents.floats(name, transposed=True) for name in names]
    if len(skips) == 1:
        return skips[0]
    contents.says(skip_rank=skips[0].shape[1])
    if skips[0].shape[1] != skips[1].shape[0]:
        shapes = " and ".join(str(tuple(contents.tensors[name].shape)) for name in names)
        raise Refusal(f"{' and '.join(names)} have shapes {shapes}, which have no rank in common; fetch it again.")
    return skips[0] @ skips[1]


def _around(mean: torch.Tensor, sae: SAE) -> SAE:
    """Return the SAE that does to x what `sae` does to x − mean, with the mean added again.

    The mean goes into b_dec, which is taken off before and added behind. A skip connection S has its part of it off
    again: b_dec + mean − mean @ S is what is added, so b_enc makes up for the last term.
    """
    if mean.shape != sae.b_dec.shape:
        raise Refusal(f"{MEAN} has shape {tuple(mean.shape)}; expected ({sae.d_in},): fetch this SAE again.")
    if sae.W_skip is None:
        return replace(sae, b_dec=sae.b_dec + mean)
    skipped = mean @ sae.W_skip
    return replace(sae, b_dec=sae.b_dec + mean - skipped, b_enc=sae.b_enc - skipped @ sae.W_enc)

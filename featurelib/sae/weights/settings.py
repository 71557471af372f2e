"""Checks that several formats share: of settings, and of the counters that training leaves beside the weights."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from featurelib.schema import Refusal

if TYPE_CHECKING:
    from featurelib.sae.weights.contents import Contents

LARGEST = 3.4e38
"""About the largest float32; JSON may hold whole numbers that no float can."""
LAST_SEEN = "stats_last_nonzero"
"""OpenAI's and sentence-transformers' name for the steps since a feature fired: whole numbers, as no other counter."""


def flag(settings: dict[str, Any], key: str, default: bool, file: str) -> bool:
    """Return a setting that is true or false; `default` is the library's own for a file that does not name it."""
    setting = settings.get(key, default)
    if not isinstance(setting, bool):
        raise Refusal(f"{file} says {key} = {setting!r}; expected true or false: fetch or save this SAE again.")
    return setting


def positive(setting: Any, key: str, file: str) -> float:
    """Return a setting that is a number above 0 and no larger than a float32 can be."""
    if isinstance(setting, bool) or not isinstance(setting, int | float) or not 0 < setting <= LARGEST:
        raise Refusal(f"{file} says {key} = {setting!r:.40}; expected a number above 0 that a float32 can hold.")
    return float(setting)


def check_counters(contents: Contents, names: tuple[str, ...], n_features: int) -> None:
    """Refuse counters of the training (not used here) that are not one finite number for each feature.

    That of LAST_SEEN is whole, all others are floats.
    """
    import torch

    for name in names:
        counter = contents.tensors[name]
        valid = counter.dtype.is_floating_point != (name == LAST_SEEN) and bool(torch.isfinite(counter).all())
        if not valid or tuple(counter.shape) != (n_features,):
            raise Refusal(
                f"{name} in {contents.path.name} is {counter.dtype} of shape {tuple(counter.shape)}, or not finite; "
                f"expected one {'whole ' if name == LAST_SEEN else ''}number for each of the {n_features} features: "
                "this SAE is damaged, fetch it again."
            )

"""The names of tensors without what torch's own wrappers of a module put into them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from featurelib.sae.pickles.values import shown
from featurelib.schema import Refusal

if TYPE_CHECKING:
    import torch

WRAPPERS = frozenset({"_orig_mod", "module", "_fsdp_wrapped_module", "_checkpoint_wrapped_module"})
"""What torch.compile, DataParallel and AveragedModel, FSDP and checkpointing call the module that they wrap."""
N_AVERAGED = "n_averaged"
"""AveragedModel's count of what it is the mean of, beside the `module` that it wraps."""


def without_wrappers(file: str, tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Return tensors by the names that they had before their module, or a part of it, was wrapped, however often.

    Raises Refusal when two of them come out with one name.
    """
    plain: dict[str, torch.Tensor] = {}
    for name, tensor in tensors.items():
        if _counts_averages(name, tensors):
            continue
        parts = name.split(".")
        bare = ".".join(part for part in parts if part not in WRAPPERS)
        if bare in plain:
            raise Refusal(
                f"{file} holds {shown(bare)} twice, with and without the name of a wrapper "
                f"({', '.join(sorted(WRAPPERS))}); save the state of one of the two modules."
            )
        plain[bare] = tensor
    return plain


def _counts_averages(name: str, tensors: dict[str, torch.Tensor]) -> bool:
    """Whether it is AveragedModel's own count and not the SAE's."""
    above, _, last = name.rpartition(".")
    wrapped = f"{above}.module." if above else "module."
    return last == N_AVERAGED and any(other.startswith(wrapped) for other in tensors)

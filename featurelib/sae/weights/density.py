"""log10 of the features' densities in training, from the file that SAELens and its predecessor write."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from featurelib.schema import Refusal

if TYPE_CHECKING:
    import torch

SAELENS_FILE = "sparsity.safetensors"
SAELENS_NAME = "sparsity"
MATS_ENDING = "_log_feature_sparsity.pt"
NEVER = -10.0
"""What both write for a feature that never fired: log10 of the 1e-10 that is added to every density."""
ROUNDING = 1e-3
"""How far log10 of a share of all may be above 0."""
WEIGHTS_ENDINGS = (".pkl.gz", ".pkl", ".pt")


def saelens_density(weights: Path, n_features: int) -> torch.Tensor | None:
    """Return what sparsity.safetensors holds, [n_features]; None where there is none."""
    from featurelib.sae.weights.safetensors_file import read_tensors

    path = weights.with_name(SAELENS_FILE)
    if not path.is_file():
        return None
    return _checked(
        path, {name: tensor for name, tensor in read_tensors(path).items() if name == SAELENS_NAME}, n_features
    )


def mats_density(weights: Path, n_features: int) -> torch.Tensor | None:
    """Return what NAME_log_feature_sparsity.pt holds, [n_features], for weights in NAME.pt; None where there is none.

    It is a tensor, or, from a group of SAEs, a list of them.
    """
    from featurelib.sae.weights.pickle_file import read_pickle

    ending = next((ending for ending in WEIGHTS_ENDINGS if weights.name.endswith(ending)), "")
    path = weights.with_name(weights.name.removesuffix(ending) + MATS_ENDING)
    return _checked(path, read_pickle(path).tensors, n_features) if path.is_file() else None


def _checked(path: Path, tensors: dict[str, torch.Tensor], n_features: int) -> torch.Tensor:
    import torch

    shapes = [tuple(tensor.shape) for tensor in tensors.values()]
    if shapes not in ([(n_features,)], [(1, n_features)]):
        raise Refusal(
            f"{path.name} holds {', '.join(map(str, shapes)) or 'no densities'} but the SAE beside it has {n_features} "
            "features; it belongs to another SAE: move it away."
        )
    log_density = next(iter(tensors.values())).reshape(-1).to(torch.float32)
    if log_density.isnan().any():
        raise Refusal(f"{path.name} holds NaN for a density; fetch it again or move it away.")
    if (log_density > ROUNDING).any():
        raise Refusal(
            f"{path.name} holds {float(log_density.max()):.3g}, but log10 of a density is 0 at most; it holds other "
            "numbers: move it away."
        )
    return log_density.clamp(NEVER, 0.0)

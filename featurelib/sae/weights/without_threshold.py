"""A BatchTopK SAE whose file holds no threshold: until it has one, every positive pre-activation passes."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from featurelib.sae.formats.checkpoint import Checkpoint
from featurelib.schema import Refusal

if TYPE_CHECKING:
    from featurelib.sae.model import SAE


def without_threshold(sae: SAE, k: int, name: str, remarks: tuple[str, ...] = ()) -> Checkpoint:
    """Return the checkpoint, in the format `name`, of an SAE that was trained with k features per text of a batch."""
    from featurelib.sae.gates import Relu

    if not 1 <= k <= sae.n_features:
        raise Refusal(f"k is {k} but the SAE has {sae.n_features} features; k must be between 1 and {sae.n_features}.")
    waiting = replace(sae, gate=Relu(), trained_as=sae.trained_as or "batchtopk", target_k=k)
    return Checkpoint(waiting, name, remarks, lacks_threshold_for=k)

"""Thresholds and counts as formats store them: one number as a tensor, or the logarithm of one for each feature."""

from __future__ import annotations

from typing import TYPE_CHECKING

from featurelib.sae.weights.settings import LARGEST
from featurelib.schema import Refusal

if TYPE_CHECKING:
    import torch

    from featurelib.sae.weights.contents import Contents


def single_float(contents: Contents, name: str) -> float:
    """Return a tensor of floats and of no dimension as a number; Refusal when it is another one, or not finite."""
    number = contents.number(name)
    tensor = contents.tensors[name]
    if tensor.ndim or not tensor.is_floating_point() or not abs(number) <= LARGEST:
        raise Refusal(
            f"{name} in {contents.path.name} is {number} ({tensor.dtype}, shape {tuple(tensor.shape)}); expected one "
            "finite float: this SAE is damaged, fetch or train it again."
        )
    return number


def single_count(contents: Contents, name: str) -> int:
    """Return a tensor of whole numbers and of no dimension as a number; Refusal when it is another one."""
    import torch

    number = contents.number(name)
    tensor = contents.tensors[name]
    if tensor.ndim or tensor.dtype not in (torch.int32, torch.int64):
        raise Refusal(
            f"{name} in {contents.path.name} is {number} ({tensor.dtype}, shape {tuple(tensor.shape)}); expected one "
            "whole number: this SAE is damaged, fetch it again."
        )
    return int(number)


def from_logarithm(contents: Contents, name: str) -> torch.Tensor:
    """Return the thresholds of which the file holds the logarithms; Refusal when one of those is not finite."""
    logarithms = contents.floats(name)
    if not bool(logarithms.isfinite().all()):
        raise Refusal(
            f"{name} in {contents.path.name} holds NaN or infinite values; this SAE is damaged, fetch it again."
        )
    return logarithms.exp()

"""The outcome of reading a file: the SAE, and remarks on how it was read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from featurelib.schema import Refusal

if TYPE_CHECKING:
    import torch

    from featurelib.sae.model import SAE
    from featurelib.sae.weights.contents import Contents


@dataclass(frozen=True)
class LoadOptions:
    """What the user adds where a file leaves something open."""

    k: int | None = None
    """Active features per text, for a file that holds no k."""
    threshold: float | None = None
    """The threshold of a BatchTopK SAE whose file holds none."""
    architecture: str | None = None
    """vanilla, topk, batchtopk, …, for a file that fits several."""

    def agreed_k(self, in_file: int | None, file: str) -> int:
        """Return the k that the file says, or else the one asked for; Refusal when there is none, or they differ."""
        if in_file is not None and (isinstance(in_file, bool) or not isinstance(in_file, int) or in_file < 1):
            raise Refusal(f"{file} says k = {in_file!r}; expected a whole number from 1.")
        if in_file is not None and self.k is not None and self.k != in_file:
            raise Refusal(f"--k is {self.k} but {file} says {in_file}; leave --k out.")
        k = self.k if in_file is None else in_file
        if k is None:
            raise Refusal(f"{file} does not say how many features fire on a text; give that number with --k.")
        return k

    def agreed_architecture(self, in_file: str | None, file: str, known: tuple[str, ...]) -> str:
        """Return which of the architectures `known` the file says, or else the one asked for; Refusal as above."""
        if in_file is None and self.architecture is None:
            raise Refusal(
                f"{file} does not say whether it is {' or '.join(known)}, whose tensors are the same; "
                f"give --architecture {'|'.join(known)}."
            )
        if in_file is not None and self.architecture is not None and self.architecture != in_file:
            raise Refusal(f"--architecture is {self.architecture} but {file} says {in_file}; leave --architecture out.")
        chosen = in_file or self.architecture
        if chosen not in known:
            raise Refusal(f"the architecture '{chosen}' cannot be in {file}; expected {' or '.join(known)}.")
        return chosen


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """An SAE that was read from files."""

    sae: SAE
    """The SAE; where `lacks_threshold_for` is a number, its gate lets every positive pre-activation through."""
    format: str
    """The name of the format, as a reader knows it."""
    remarks: tuple[str, ...] = ()
    """What was left out, folded in or taken for granted, a sentence each."""
    lacks_threshold_for: int | None = None
    """The L0 for which a threshold is still to be found, for a BatchTopK file that holds none."""
    log_density: torch.Tensor | None = None
    """log10 of the density of each feature in its training, [n_features], where a file beside it tells."""


class Reader(Protocol):
    """One format: a module of this package with these three names."""

    NAME: str
    """What people call the format."""

    def matches(self, contents: Contents) -> bool:
        """Tell by the names of the tensors, and by the config where they are the same, whether this is the format."""

    def read(self, contents: Contents, options: LoadOptions) -> Checkpoint:
        """Return the SAE; Refusal when a tensor, a shape or a key is not what the format says."""

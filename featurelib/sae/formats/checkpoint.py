"""What reading a file gave: the SAE, and what there is to say about how it was read."""

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
    """What the user says about a file that does not tell it all."""

    k: int | None = None
    """Active features per text, for a file that holds no k."""
    threshold: float | None = None
    """The threshold of a BatchTopK SAE whose file holds none."""
    architecture: str | None = None
    """vanilla, topk, batchtopk, …, for a file that fits several."""

    def agreed_k(self, said: int | None, file: str) -> int:
        """Return the k that the file says, or else the one asked for; Refusal when there is none, or they differ."""
        if said is not None and (isinstance(said, bool) or not isinstance(said, int) or said < 1):
            raise Refusal(f"{file} says k = {said!r}; expected a whole number from 1.")
        if said is None and self.k is None:
            raise Refusal(f"{file} does not say how many features fire on a text; give that number with --k.")
        if said is not None and self.k is not None and self.k != said:
            raise Refusal(f"--k is {self.k} but {file} says {said}; leave --k out.")
        return said if said is not None else self.k

    def agreed_architecture(self, said: str | None, file: str, known: tuple[str, ...]) -> str:
        """Return which of the architectures `known` the file says, or else the one asked for; Refusal as above."""
        if said is None and self.architecture is None:
            raise Refusal(
                f"{file} does not say whether it is {' or '.join(known)}, whose tensors are the same; "
                f"give --architecture {'|'.join(known)}."
            )
        if said is not None and self.architecture is not None and self.architecture != said:
            raise Refusal(f"--architecture is {self.architecture} but {file} says {said}; leave --architecture out.")
        chosen = said or self.architecture
        if chosen not in known:
            raise Refusal(f"the architecture '{chosen}' cannot be in {file}; expected {' or '.join(known)}.")
        return chosen


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """A SAE that was read from somebody's files."""

    sae: SAE
    """It; where `lacks_threshold_for` is a number, its gate lets every positive pre-activation through."""
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

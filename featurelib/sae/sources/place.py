"""Where the files of one SAE lie: what all sources of SAEs return."""

from __future__ import annotations

from pathlib import PurePath
from typing import Generic, NamedTuple, TypeVar

P = TypeVar("P", bound=PurePath)


class Place(NamedTuple, Generic[P]):
    """The files of one SAE: a Path each on this machine, a PurePosixPath each in a repository elsewhere."""

    weights: P
    """The file of its tensors, or the index of the shards that hold them."""
    config: P | None = None
    """The JSON that belongs to it, if there is one."""
    densities: tuple[P, ...] = ()
    """Files that hold how often its features fired in training."""
    shards: tuple[P, ...] = ()
    """The files of its tensors where `weights` is an index."""

    @property
    def in_order(self) -> list[P]:
        """The files in the order in which they are fetched: the weights come last."""
        return [path for path in (self.config, *self.densities, *self.shards, self.weights) if path is not None]

"""Engines: who makes the parts of a stage: this process, or the workers of a Ray cluster.

A stage that writes part by part says how one part is made, here and elsewhere; an engine has each of them made once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

from precompute.engines.local import LocalEngine

ENGINES = ("local", "ray")

Advance = Callable[[int], None]
"""Is told how many more texts are done."""


class PartMaker(Protocol):
    """Makes single parts, with what that takes (a model, the rows of the run) open in this process."""

    @property
    def traits(self) -> dict[str, Any]:
        """What depends on the machine: JSON, such as the device and its precision."""

    def __call__(self, number: int, advance: Advance) -> None:
        """Write the files of part `number`, each whole or absent; a part that exists is written again."""


class Opener(Protocol):
    """Opens a PartMaker in another process, on a machine that sees the run's folder; can be pickled."""

    @property
    def folder(self) -> Path:
        """The generation's folder, absolute."""

    @property
    def uses_gpu(self) -> bool:
        """Whether a GPU makes a part sooner."""

    def open(self, device: str) -> PartMaker:
        """Open it on the device: auto, cpu or cuda. Refusal where this machine cannot make the same parts."""

    def exists(self, number: int) -> bool:
        """Whether all files of part `number` are there."""


class Engine(Protocol):
    """Has parts made."""

    @property
    def sharing(self) -> str:
        """What whoever waits should know, such as that others share the work; empty for one process."""

    def make_parts(
        self, parts: Mapping[int, int], here: PartMaker, elsewhere: Opener, advance: Advance
    ) -> dict[str, Any]:
        """Make the parts with these numbers, of so many texts each; return the traits of whoever made them."""


@contextmanager
def open_engine(name: str, address: str | None, device: str, say: Callable[[str], None]) -> Iterator[Engine]:
    """Give the engine `name`: local, or ray, connected to the cluster at `address` until the block ends. Refusal."""
    if name == "local":
        yield LocalEngine()
        return
    from precompute.engines.ray_data import open_ray

    with open_ray(address or "auto", device, say) as engine:
        yield engine

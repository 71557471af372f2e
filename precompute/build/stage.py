"""What a stage of a build is: said once, in the stage's own file, and known from there to everything else."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from featurelib.schema import FORMERLY, TABLES
from precompute.build.config import BuildConfig
from precompute.build.job import Job, Made


@dataclass(frozen=True)
class Workload:
    """What the time that a stage takes depends on."""

    n_texts: int
    """The number of texts."""
    n_new_texts: int
    """How many of them have no embedding yet: in an append those that are new, else all."""
    n_top_texts: int
    """How many of them are about to be among the top texts of a feature."""
    n_features: int
    """The number of features."""
    texts_per_second: float | None
    """How fast the embedder is; None where the embeddings exist already."""
    strings_per_second: float
    """How fast it is with words and phrases, which keywords and labels embed in any case."""

    def seconds_to_embed(self, n_texts: int) -> float:
        """How long the embedder takes for so many texts."""
        return n_texts / self.texts_per_second if self.texts_per_second else 0.0

    def seconds_to_embed_strings(self, n_strings: float) -> float:
        """How long it takes for so many words and phrases."""
        return n_strings / self.strings_per_second


def _nothing(config: BuildConfig) -> dict[str, Any]:
    return {}


def _no_check(config: BuildConfig) -> None:
    pass


def _no_time(workload: Workload) -> float:
    return 0.0


@dataclass(frozen=True)
class Stage:
    """One step of a build."""

    name: str
    """What it makes: the name in the command line, in done/ and in the schema's tables."""
    makes: str
    """The same in a few words, for whoever waits for it."""
    make: Callable[[Job], Made]
    """The function that does the work."""
    grounds: str
    """In words, what is the same when it need not be made again."""
    after: tuple[str, ...] = ()
    """The stages whose output it reads."""
    options: tuple[str, ...] = ()
    """The fields of BuildConfig that change its output."""
    later_options: tuple[str, ...] = ()
    """Those of them that older versions had not: hashed only where they are given, so that older runs stand."""
    version: int = 1
    """Raised by hand when its code makes something else of the same input."""
    identity: Callable[[BuildConfig], dict[str, Any]] = _nothing
    """What it reads from outside the run, such as the sha256 of a file; nothing, unless said otherwise."""
    check: Callable[[BuildConfig], None] = _no_check
    """Refuses, before the first long stage, what can be known to fail."""
    seconds: Callable[[Workload], float] = _no_time
    """About how long it takes; what takes no time worth naming says nothing."""
    folders: tuple[str, ...] = ()
    """What it writes besides its tables."""
    only_tokens: bool = False
    """Whether it is for token runs alone."""
    kept: str = ""
    """What an append keeps of the texts that are there, in words; nothing where all is made again."""
    chapter: str = ""
    """The chapter of run.json that holds its facts; its name, unless said otherwise."""

    @property
    def outputs(self) -> tuple[str, ...]:
        """The files and folders of the generation that are this stage's own."""
        return tuple(table.path for table in TABLES if table.stage == self.name) + self.folders

    @property
    def needed_outputs(self) -> tuple[str, ...]:
        """Those of them that are there in every run whose stage is done."""
        only_tokens = {table.path for table in TABLES if table.only_tokens and not self.only_tokens}
        came_later = {table.path for table in TABLES if table.came_later}
        return tuple(output for output in self.outputs if output not in only_tokens | came_later)

    @property
    def hashed_name(self) -> str:
        """The name that fingerprints are made with: the first that it had, so that older runs stand."""
        return FORMERLY.get(self.name, self.name)

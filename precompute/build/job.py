"""What a stage is given and what it returns."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol

from featurelib.storage.runs import Generation
from precompute.build.append import Append
from precompute.build.build_progress import BuildProgress
from precompute.build.config import BuildConfig
from precompute.engines import Engine
from precompute.engines.local import LocalEngine


class Bar(Protocol):
    """A bar of one long loop."""

    def advance(self, n: int = 1) -> None:
        """Count `n` more units as done."""

    def note(self, text: str) -> None:
        """Show a few words beside the bar, such as the loss."""


Say = Callable[[str], None]


@dataclass(frozen=True)
class Job:
    """One stage's work order."""

    generation: Generation
    """Where the stage reads and writes."""
    config: BuildConfig
    """What the build was asked for."""
    say: Say
    """Tells the user one sentence."""
    reported: BuildProgress = field(default_factory=BuildProgress)
    """What everybody else can see of the build."""
    engine: Engine = field(default_factory=LocalEngine)
    """Who makes the parts of a stage that writes part by part."""
    append: Append | None = None
    """What is appended to which generation; None in a build of all texts."""

    @contextmanager
    def progress(self, total: int, unit: str, start: int = 0) -> Iterator[Bar]:
        """Show a bar with rate and time left for `total` units, of which `start` were done before."""
        from tqdm import tqdm

        with tqdm(total=total, initial=start, unit=f" {unit}", leave=False, mininterval=0.5, dynamic_ncols=True) as bar:
            yield _TqdmBar(bar, self.reported)
        self.reported.set_share(None)


class _TqdmBar:
    def __init__(self, bar: Any, reported: BuildProgress) -> None:
        self._bar, self._reported = bar, reported
        self.advance(0)

    def advance(self, n: int = 1) -> None:
        self._bar.update(n)
        self._reported.set_share(self._bar.n / self._bar.total if self._bar.total else None)

    def note(self, text: str) -> None:
        self._bar.set_postfix_str(text)


@dataclass(frozen=True)
class Made:
    """The result of a stage."""

    line: str
    """The sentence that the stage ends with."""
    facts: dict[str, Any]
    """Counts and provenance: JSON, the same for two equal builds."""
    volatile: dict[str, Any] = field(default_factory=dict)
    """What may differ between two equal builds: rates, device, seconds."""


def rows_per_part(n_texts: int) -> int:
    """The number of texts in one part file: the power of two at or under a 64th of the corpus, from 256 to 16,384."""
    power = (max(n_texts, 1) // 64).bit_length() - 1
    return min(16_384, max(256, 1 << max(power, 0)))

"""Trainings of one system, inside that system's own environment: what is asked for, the clock, the line it prints.

Each trainer file beside this one is called as

    python -P -m benchmarks.peer.NAME TRAIN.npy TEST.npy ASKED …

with ASKED a JSON object of the fields of Asked; after each it prints FOUND and a JSON object of those fields and of
what was found. All of it runs in one thread.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from importlib.metadata import version

import numpy as np

from benchmarks.peer.figures import Trained, measure

FOUND = "found: "
"""What begins the lines that count; a system may print others."""


@dataclass(frozen=True)
class Asked:
    """One training."""

    role: str
    """tuning, grid, or part (the grid with a part of the samples)."""
    system: str
    """The trainer file's name."""
    n_features: int
    """Size of the dictionary."""
    k: int
    """The L0 asked for."""
    seed: int
    """What weights and order are drawn by."""
    samples: int
    """Embeddings seen, counting each time one is seen."""
    lr: float
    """The learning rate; 0 where the system chooses."""
    batch: int
    """Embeddings per step; 0 where the system chooses."""
    option: str = ""
    """A switch of the system's own, described in its trainer file."""

    @property
    def steps(self) -> int:
        """How many full batches the samples make."""
        return self.samples // self.batch

    def at_most(self, steps: int, share: float = 0.1) -> int:
        """Return a span that a system counts in steps, cut to a share of this run where it is longer than that."""
        return max(1, min(steps, int(share * self.steps)))


class Clock:
    """Seconds spent inside its with-blocks: wall time, and this process's CPU time."""

    def __init__(self) -> None:
        """Begin at zero."""
        self.wall = self.cpu = 0.0

    def __enter__(self) -> None:
        """Start."""
        self._begun = time.monotonic(), _cpu_seconds()

    def __exit__(self, *_: object) -> None:
        """Stop."""
        self.wall += time.monotonic() - self._begun[0]
        self.cpu += _cpu_seconds() - self._begun[1]


def _cpu_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def shuffled(rows: np.ndarray, batch: int, seed: int) -> Iterator:
    """Yield batches as torch tensors [batch, d], epoch after epoch without end, each in an order of its own."""
    import torch

    whole, draw = torch.from_numpy(rows), np.random.default_rng(seed)
    while True:
        order = torch.from_numpy(draw.permutation(len(rows)))
        for start in range(0, len(rows) - batch + 1, batch):
            yield whole[order[start : start + batch]]


def run(train: Callable[[np.ndarray, Asked, Clock], Trained], package: str) -> None:
    """Do the trainings that the command line asks for with `train`, measure what came of each, print its line."""
    import torch

    rows, test = (np.load(path).astype(np.float32) for path in sys.argv[1:3])
    torch.set_num_threads(1)
    for asked in (Asked(**json.loads(given)) for given in sys.argv[3:]):
        clock = Clock()
        torch.manual_seed(asked.seed)
        trained = train(rows, asked, clock)
        with torch.no_grad():
            figures = measure(trained, rows, test, asked.k)
        spent = {"cpu_seconds": clock.cpu, "wall_seconds": clock.wall, "version": version(package) if package else ""}
        print("\n" + FOUND + json.dumps(asdict(asked) | asdict(figures) | spent), flush=True)

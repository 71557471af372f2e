"""What the sides of benchmarks.top_examples share: what they are given, how they are measured, what they hand back.

Needs numpy alone, because each side runs in an environment of its own.
"""

from __future__ import annotations

import json
import resource
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import numpy as np

TOP = 100
"""Top texts of a feature, as many as a run keeps."""
FIGURES = "figures: "
"""What begins the line that counts; a library may print others."""
KILOBYTE = 1024
"""ru_maxrss is in kilobytes on Linux."""
Made = TypeVar("Made")


@dataclass(frozen=True)
class Given:
    """One SAE and the embeddings of a corpus, the same for both sides."""

    x: np.ndarray
    """Embeddings, float32 [n, d]."""
    W_enc: np.ndarray
    """float32 [d, n_features]."""
    b_enc: np.ndarray
    """float32 [n_features]."""
    W_dec: np.ndarray
    """float32 [n_features, d]."""
    b_dec: np.ndarray
    """Taken from each embedding before encoding, float32 [d]."""
    threshold: np.ndarray
    """What a pre-activation must exceed, of every feature the same, float32 [n_features]."""
    k: np.ndarray
    """The L0 that the SAE was trained for, a whole number."""

    def write(self, folder: Path) -> None:
        """Write the arrays to a folder."""
        np.save(folder / "x.npy", self.x)
        np.savez(folder / "sae.npz", **{name: value for name, value in vars(self).items() if name != "x"})

    @classmethod
    def read(cls, folder: Path) -> Given:
        """Read what `write` wrote."""
        with np.load(folder / "sae.npz") as sae:
            return cls(np.load(folder / "x.npy"), **dict(sae))


@dataclass(frozen=True)
class Found:
    """What a side found."""

    rows: np.ndarray
    """The text of each activation that is not zero, int64."""
    feature_ids: np.ndarray
    """Its feature, int64."""
    activations: np.ndarray
    """float32."""
    top_texts: np.ndarray
    """The top texts of each feature, the strongest first, int64 [n_features, TOP]; -1 where there are fewer."""
    top_activations: np.ndarray
    """Their activations, float32 [n_features, TOP]; 0 where there are fewer."""

    def write(self, path: Path) -> None:
        """Write the arrays to a file."""
        np.savez(path, **vars(self))

    @classmethod
    def read(cls, path: Path) -> Found:
        """Read what `write` wrote."""
        with np.load(path) as found:
            return cls(**dict(found))


@dataclass
class Meter:
    """What the steps of this process cost."""

    held: int = field(default_factory=lambda: peak_bytes())
    """The peak before the first step: Python, libraries, the embeddings, the SAE."""
    peak: int = 0
    """The peak after the last step that was measured with it."""
    cpu_seconds: dict[str, float] = field(default_factory=dict)
    """Of all threads, by step."""

    def measure(self, step: str, work: Callable[[], Made]) -> Made:
        """Do the work of a step."""
        began = time.process_time()
        made = work()
        self.cpu_seconds[step] = time.process_time() - began
        return made

    def read_peak(self) -> None:
        """Read the peak: what follows does not count."""
        self.peak = peak_bytes()

    def say(self) -> None:
        """Print the figures for the process that waits for them."""
        print("\n" + FIGURES + json.dumps(vars(self)), flush=True)


def peak_bytes() -> int:
    """Return the most memory that this process has had, as the kernel saw it."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * KILOBYTE

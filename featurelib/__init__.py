"""Browse the features of a sparse autoencoder on sentence embeddings: `open` a run, `load_sae`."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from featurelib.queries import OpenRun
    from featurelib.sae import SAE

__all__ = ["load_sae", "open"]


def open(path: str | Path) -> OpenRun:  # noqa: A001  (featurelib.open reads well, and nothing here needs the builtin)
    """Open the run in the folder `path` (such as data/demo) for questions; Refusal when it is none."""
    from featurelib import runs
    from featurelib.queries import OpenRun

    run = runs.open_run(path)
    return OpenRun(run.name, run.current())


def load_sae(source: str | Path) -> SAE:
    """Load a sparse autoencoder from a folder in SAELens inference layout, or from a run; needs torch."""
    from featurelib.sae import checkpoints

    return checkpoints.load_sae(source)

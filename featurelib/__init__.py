"""Browse the features of a sparse autoencoder on sentence embeddings: `open` a run, `load_sae`."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np

    from featurelib.queries import OpenRun
    from featurelib.sae.model import SAE

__all__ = ["__version__", "load_sae", "open"]
__version__ = "0.4.0"


def open(path: str | Path) -> OpenRun:  # noqa: A001  (featurelib.open reads well, and nothing here needs the builtin)
    """Open the run in the folder `path` (such as data/demo); Refusal when the folder is no run."""
    from featurelib.queries import OpenRun
    from featurelib.storage import runs

    run = runs.open_run(path)
    return OpenRun(run.name, run.current())


def load_sae(
    source: str | Path,
    *,
    k: int | None = None,
    threshold: float | None = None,
    architecture: str | None = None,
    embeddings: np.ndarray | None = None,
) -> SAE:
    """Load a sparse autoencoder from a file, a folder, a run, the hub or W&B, whatever library wrote it; needs torch.

    `k`, `threshold` and `architecture` give what some files do not contain. With `embeddings`, float32 [n, d_in], a
    threshold that the file lacks is found on them. Assumptions are shown as warnings; Refusal names what is wrong.
    """
    from featurelib.sae import checkpoints

    return checkpoints.load_sae(source, k=k, threshold=threshold, architecture=architecture, embeddings=embeddings)

"""Browse the features of a sparse autoencoder: `open` a run, `load_sae`, `load_session` with its language model."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np

    from featurelib.embedder.hidden_states.loading import LoadedModel
    from featurelib.queries import OpenRun
    from featurelib.sae.model import SAE
    from featurelib.session import Session

__all__ = ["__version__", "load_sae", "load_session", "open"]
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


def load_session(
    source: str | Path,
    model: str | Path | LoadedModel | None = None,
    hook: str | None = None,
    *,
    context_size: int | None = None,
    bos: bool | None = None,
    special_tokens: bool | None = None,
    chat_template: bool | None = None,
    centred: bool | None = None,
    dtype: str | None = None,
    device: str = "auto",
) -> Session:
    """Open a language model together with the SAE at `source` that was trained on its hidden states; needs torch.

    Model, hook, context, BOS and data set come from the checkpoint: SAELens', OpenSAE's, mats_sae_training's, or a run
    of tokens. What is given here wins; Refusal names what neither says. `centred` is whether the mean over its
    dimensions was taken off each state (TransformerLens' center_writing_weights; so in the files of mats_sae_training).
    """
    from featurelib import session

    return session.load_session(
        source,
        model,
        hook,
        context_size=context_size,
        bos=bos,
        special_tokens=special_tokens,
        chat_template=chat_template,
        centred=centred,
        dtype=dtype,
        device=device,
    )

"""SAEs on disk: one small file per format; `read_checkpoint` finds which it is, `load_sae` is the short way."""

from __future__ import annotations

import warnings
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from featurelib.sae.formats.checkpoint import Checkpoint, LoadOptions
from featurelib.sae.sources.find import find_place
from featurelib.sae.weights.settings import LARGEST
from featurelib.schema import Refusal

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np

    from featurelib.sae.model import SAE
    from featurelib.sae.sources.place import Place
    from featurelib.sae.threshold import EmbeddingRows
    from featurelib.sae.weights.contents import Contents

REPLACEABLE = ("standard", "topk", "jumprelu")
"""The gates that one threshold for all features may take the place of."""


def load_sae(
    source: str | Path,
    *,
    k: int | None = None,
    threshold: float | None = None,
    architecture: str | None = None,
    embeddings: np.ndarray | None = None,
) -> SAE:
    """Return the SAE that `source` names, on the CPU in float32; Refusal when it cannot be trusted.

    `source` is a file, a folder, a run, an id on the Hugging Face hub or a W&B artifact. `k`, `threshold` and
    `architecture` say what some files leave open. With `embeddings` [n, d_in] a missing threshold is found on them, and
    1,000 of them tell whether the SAE is theirs. What was assumed, and what looks wrong, is said as warnings.
    """
    from featurelib.sae.checks.self_check import check_sae

    checkpoint = read_checkpoint(find_place(source), LoadOptions(k, threshold, architecture))
    checkpoint = give_threshold(checkpoint, None if embeddings is None else Rows(embeddings))
    for remark in (*checkpoint.remarks, *check_sae(checkpoint.sae, embeddings).warnings):
        warnings.warn(f"{Path(source).name}: {remark}", stacklevel=2)
    return checkpoint.sae


def read_checkpoint(place: Place[Path], options: LoadOptions = LoadOptions()) -> Checkpoint:  # noqa: B008  (frozen, so shared safely)
    """Return what the files of one SAE mean, in the first format that knows them."""
    from featurelib.sae.checks.manifest import check_manifest
    from featurelib.sae.weights.contents import read_contents

    check_manifest(place)
    return interpret(read_contents(place), options)


def interpret(contents: Contents, options: LoadOptions) -> Checkpoint:
    """Return what the contents of files mean; Refusal when no format knows them, or when they contradict theirs."""
    from featurelib.sae.formats.readers import find_reader

    checkpoint = find_reader(contents).read(contents, options)
    _check_options(checkpoint, options)
    if options.threshold is None:
        return checkpoint
    if checkpoint.lacks_threshold_for is None and checkpoint.sae.gate.name not in REPLACEABLE:
        raise Refusal(
            f"--threshold cannot take the place of this SAE's gate ({checkpoint.sae.gate.name}); leave it out."
        )
    return _with_threshold(checkpoint, options.threshold, "the threshold asked for")


def _check_options(checkpoint: Checkpoint, options: LoadOptions) -> None:
    """Refuse an option that contradicts the SAE, so that nobody thinks that it had an effect."""
    sae, gate = checkpoint.sae, checkpoint.sae.gate
    if options.threshold is not None and not 0 <= options.threshold <= LARGEST:
        raise Refusal(f"--threshold is {options.threshold}; give a number from 0.")
    ks = {sae.target_k, getattr(gate, "k", None)}
    # The k of a capped gate is a limit, a multiple of the k that it was trained for.
    if options.k is not None and options.k not in ks and gate.name != "capped":
        raise Refusal(f"--k is {options.k}, but the k of this SAE is {sae.k or 'not used'}; leave --k out.")
    names = {sae.architecture, gate.name} | ({"vanilla"} if gate.name == "standard" else set())
    if options.architecture is not None and options.architecture not in names:
        raise Refusal(
            f"--architecture is {options.architecture}, but this SAE is {sae.architecture}; leave --architecture out."
        )


class Rows(NamedTuple):
    """Embeddings in memory, as EmbeddingRows."""

    rows: np.ndarray
    """float32 [n, d_in]."""

    @property
    def n(self) -> int:
        """How many there are."""
        return len(self.rows)

    def in_order(self) -> Iterator[np.ndarray]:
        """Yield them all."""
        yield self.rows


def give_threshold(checkpoint: Checkpoint, embeddings: EmbeddingRows | None) -> Checkpoint:
    """Return the checkpoint, with the threshold at which it has its L0 on `embeddings` if it lacks one.

    Raises Refusal where one is lacking and there are no embeddings.
    """
    from featurelib.sae.threshold import find_threshold

    k = checkpoint.lacks_threshold_for
    if k is None:
        return checkpoint
    if embeddings is None:
        raise Refusal(
            f"this {checkpoint.format} SAE is a BatchTopK with k {k} whose file holds no threshold, and without one a "
            "text's features would depend on its batch-mates; give --threshold T, or embeddings to find it on (a build "
            "has them)."
        )
    threshold = find_threshold(checkpoint.sae, embeddings, k)
    return _with_threshold(checkpoint, threshold, f"a threshold found on {embeddings.n:,} embeddings, for an L0 of {k}")


def _with_threshold(checkpoint: Checkpoint, threshold: float, origin: str) -> Checkpoint:
    from featurelib.sae.threshold import with_threshold

    gate_remark = "its file holds no threshold" if checkpoint.lacks_threshold_for else "its own gate stays unused"
    remark = f"{gate_remark}; {origin} is used ({threshold:.6g})."
    sae = with_threshold(checkpoint.sae, threshold)
    return replace(checkpoint, sae=sae, remarks=(*checkpoint.remarks, remark), lacks_threshold_for=None)


def save_sae(sae: SAE, folder: Path) -> str:
    """Write `sae` to `folder`: in SAELens' layout where that can hold it, else in ours; return which, by its name."""
    from featurelib.sae.formats import own, saelens

    if saelens.expressible(sae):
        saelens.save_saelens(sae, folder)
        return saelens.NAME
    own.save_own(sae, folder)
    return own.NAME

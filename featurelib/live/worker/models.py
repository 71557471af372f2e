"""What the worker knows: embedders and SAEs by run, and the answers they give. Only the worker imports this file."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from featurelib.embedder import DEFAULT_EMBEDDER, Embedder, find_embedder, load_embedder
from featurelib.sae.checkpoints import load_sae
from featurelib.sae.evaluation import Moments
from featurelib.sae.model import SAE
from featurelib.schema import EMBEDDINGS, Refusal, RunNotReady
from featurelib.storage import files
from featurelib.storage.embeddings import read_embeddings

EMBEDDERS = 2
SAES = 4


def embed(generation: Path, text: str) -> dict[str, Any]:
    """The embedding of a text."""
    return {"embedding": _embedded(generation, text)[0].tolist()}


def pre_activation(generation: Path, text: str, feature_id: int) -> dict[str, Any]:
    """What a text does to one feature."""
    sae = _open_sae(generation)
    if not 0 <= feature_id < sae.n_features:
        raise Refusal(f"there is no feature {feature_id}; this run has the features 0 to {sae.n_features - 1}.")
    x = _embedded(generation, text)
    activation = float(sae.encode(x)[0, feature_id])
    return {
        "activation": activation,
        "pre_activation": float(sae.pre_activations(x)[0, feature_id]),
        "gate": float(sae.gate_values()[feature_id]),
        "fires": activation > 0,
    }


def _embedded(generation: Path, text: str) -> np.ndarray:
    """Float32 [1, d], rounded as the run's own embeddings are."""
    return _embedded_all(generation, [text])


def _embedded_all(generation: Path, texts: Sequence[str]) -> np.ndarray:
    """Float32 [n, d], rounded as the run's own embeddings are."""
    x = _open_embedder(generation).embed(texts)
    if not np.isfinite(x).all():
        raise Refusal("the embedding of this text holds NaN or infinity; try another text.")
    return x.astype(_told(generation)["dtype"]).astype(np.float32)


def _told(generation: Path) -> dict[str, Any]:
    """The facts of the run's embeddings; RunNotReady when there are none yet."""
    described = generation / "run.json"
    told = files.read_json(described).get("embedder") if described.is_file() else None
    if told is None:
        raise RunNotReady(f"run '{generation.parent.name}' has no embeddings yet; give its build command once more.")
    return told


def _open_embedder(generation: Path) -> Embedder:
    told = _told(generation)
    if told["origin"] == "precomputed":
        if told.get("embedder") is None:
            raise Refusal(
                f"run '{generation.parent.name}' was made from the embeddings in {told['name']}, and what made these "
                "is not known; build it again with --embedder NAME beside --embeddings to try texts."
            )
        told = told["embedder"]
    folder = _local_folder(generation) if told["origin"] == "local" else None
    return _load_embedder(
        folder or told["name"],
        told["name"],
        told["revision"],
        told["prompt"],
        told["normalize"],
        told["max_seq_length"],
        told["weights_sha256"],
    )


@lru_cache(maxsize=EMBEDDERS)
def _load_embedder(
    place: str,
    name: str,
    revision: str | None,
    prompt: str | None,
    normalize: bool,
    max_seq_length: int | None,
    weights_sha256: str,
) -> Embedder:
    try:
        found = find_embedder(place, revision=revision)
    except Refusal:
        if place != DEFAULT_EMBEDDER or revision is None:
            raise
        # the package may carry the very weights that came from the hub
        found, revision = find_embedder(place), None
    if found.weights_sha256 != weights_sha256:
        raise Refusal(
            f"the run was embedded by {name} with the weights {weights_sha256[:12]}…, but here it has "
            f"{found.weights_sha256[:12]}…; bring back the former weights or build the run again."
        )
    return load_embedder(
        place,
        revision=revision,
        prompt=prompt or "",
        normalize=normalize,
        max_seq_length=max_seq_length,
        device="cpu",
    )


def _local_folder(generation: Path) -> str:
    """Where a local embedder lay when this run, or an older generation of it, was built here."""
    for volatile in (generation / "volatile.json", *sorted(generation.parent.glob("g*/volatile.json"), reverse=True)):
        if volatile.is_file():
            folder = files.read_json(volatile).get("embed", {}).get("embedder_folder")
            if folder and Path(folder).is_dir():
                return folder
    raise Refusal(
        f"the embedder of run '{generation.parent.name}' is the local folder '{_told(generation)['name']}', which is "
        "not here; build the run again with --embedder FOLDER."
    )


def _open_sae(generation: Path) -> SAE:
    if not (generation / "done" / "train.json").is_file():
        raise RunNotReady(f"run '{generation.parent.name}' has no SAE yet; give its build command once more.")
    return _load_sae(generation, _stamp(generation / "sae"))


def _stamp(folder: Path) -> tuple[tuple[str, int, int], ...]:
    """What changes when a folder's files do: in a build that goes on, a generation is still written to."""
    return tuple((path.name, (stat := path.stat()).st_size, stat.st_mtime_ns) for path in sorted(folder.iterdir()))


@lru_cache(maxsize=SAES)
def _load_sae(generation: Path, stamp: tuple[tuple[str, int, int], ...]) -> SAE:
    return load_sae(generation / "sae")


@lru_cache(maxsize=SAES)
def _mean(generation: Path, stamp: tuple[tuple[str, int, int], ...]) -> np.ndarray:
    """The mean embedding of the run's texts, float64 [d]."""
    parts = sorted((generation / EMBEDDINGS.path).glob("part-*.parquet"))
    moments = Moments.none(0)
    for number, part in enumerate(parts):
        x = read_embeddings(part)
        moments = (Moments.none(x.shape[1]) if number == 0 else moments).add(x)
    return moments.mean

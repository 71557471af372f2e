"""The embedders and SAEs that the worker keeps loaded, by run. Only the worker imports this file."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, cast

import numpy as np

from featurelib.embedder import (
    DEFAULT_EMBEDDER,
    Embedder,
    HiddenStateOptions,
    TokenEmbedder,
    find_embedder,
    load_embedder,
)
from featurelib.sae.checkpoints import load_sae
from featurelib.sae.evaluation import Moments
from featurelib.sae.model import SAE
from featurelib.schema import EMBEDDINGS, TOKENS, Refusal, RunNotReady
from featurelib.storage import files
from featurelib.storage.embeddings import read_embeddings
from featurelib.storage.parts.part_files import read_part
from featurelib.storage.progress import say_how_to_build
from featurelib.storage.runs import Generation

EMBEDDERS = 2
SAES = 4

Stamp = tuple[tuple[str, int, int], ...]
"""Name, size and time of change of each file of a folder."""


def embed_texts(generation: Path, texts: Sequence[str]) -> np.ndarray:
    """Return the embeddings of texts, float32 [n, d], rounded as the run's own are; Refusal for NaN or infinity."""
    x = open_embedder(generation).embed(texts)
    if not np.isfinite(x).all():
        raise Refusal("the embedding of this text holds NaN or infinity; try another text.")
    return x.astype(embedder_facts(generation)["dtype"]).astype(np.float32)


def embedder_facts(generation: Path) -> dict[str, Any]:
    """Return what run.json says of the run's embeddings; RunNotReady when there are none yet."""
    path = generation / "run.json"
    facts: dict[str, Any] | None = files.read_json(path).get("embedder") if path.is_file() else None
    if facts is None:
        raise RunNotReady(
            f"run '{generation.parent.name}' has no embeddings yet; {say_how_to_build(generation.parent, 'embed')}"
        )
    return facts


def open_embedder(generation: Path) -> Embedder:
    """Return the embedder of a run, loaded once; Refusal when it is not known, not here, or has other weights."""
    facts = embedder_facts(generation)
    if facts["origin"] == "precomputed":
        if facts.get("embedder") is None:
            raise Refusal(
                f"run '{generation.parent.name}' was made from the embeddings in {facts['name']}, and what made these "
                "is not known; build it again with --embedder NAME beside --embeddings to try texts."
            )
        facts = facts["embedder"]
    # what a GPU computed in float16 is computed in float32 here
    dtype = "bfloat16" if facts.get("precision") == "bfloat16" else None
    folder = local_folder(generation) if facts["origin"] == "local" else None
    return _load_embedder(
        folder or facts["name"],
        facts["name"],
        facts["revision"],
        facts["prompt"],
        facts["normalize"],
        facts["max_seq_length"],
        facts["weights_sha256"],
        HiddenStateOptions(**facts["hidden_states"]) if facts.get("hidden_states") else None,
        dtype,
    )


def token_embedder(generation: Path) -> TokenEmbedder | None:
    """Return the embedder of a token run, which gives the states of single tokens; None for another run."""
    if embedder_facts(generation).get("pooling") != "none":
        return None
    return cast(TokenEmbedder, open_embedder(generation))


@lru_cache(maxsize=EMBEDDERS)
def _load_embedder(
    place: str,
    name: str,
    revision: str | None,
    prompt: str | None,
    normalize: bool,
    max_seq_length: int | None,
    weights_sha256: str,
    hidden_states: HiddenStateOptions | None,
    dtype: str | None,
) -> Embedder:
    try:
        embedder_files = find_embedder(place, revision=revision)
    except Refusal:
        if place != DEFAULT_EMBEDDER or revision is None:
            raise
        # the package may carry the very weights that came from the hub
        embedder_files, revision = find_embedder(place), None
    if embedder_files.weights_sha256 != weights_sha256:
        raise Refusal(
            f"the run was embedded by {name} with the weights {weights_sha256[:12]}…, but here it has "
            f"{embedder_files.weights_sha256[:12]}…; bring back the former weights or build the run again."
        )
    return load_embedder(
        place,
        revision=revision,
        prompt=prompt or "",
        normalize=normalize,
        max_seq_length=max_seq_length,
        device="cpu",
        hidden_states=hidden_states,
        dtype=dtype,
    )


def local_folder(generation: Path) -> str:
    """Return where a local embedder lay when this run, or an older generation of it, was built here."""
    for volatile in (generation / "volatile.json", *sorted(generation.parent.glob("g*/volatile.json"), reverse=True)):
        if volatile.is_file():
            folder: str | None = files.read_json(volatile).get("embed", {}).get("embedder_folder")
            if folder and Path(folder).exists():
                return folder
    raise Refusal(
        f"the embedder of run '{generation.parent.name}' is the local folder '{embedder_facts(generation)['name']}', "
        "which is not here; build the run again with --embedder FOLDER."
    )


def open_sae(generation: Path) -> SAE:
    """Return the SAE of a run, loaded again only when its files change; RunNotReady when there is none yet."""
    if not (generation / "done" / "train.json").is_file():
        raise RunNotReady(
            f"run '{generation.parent.name}' has no SAE yet; {say_how_to_build(generation.parent, 'train')}"
        )
    return _load_sae(generation, stamp(generation / "sae"))


def check_features(sae: SAE, feature_ids: Sequence[int]) -> None:
    """Raise Refusal, naming the range, for an id that is not one of the features of `sae`."""
    for feature_id in feature_ids:
        if not 0 <= feature_id < sae.n_features:
            raise Refusal(f"there is no feature {feature_id}; this run has the features 0 to {sae.n_features - 1}.")


def stamp(folder: Path) -> Stamp:
    """Return what changes when a folder's files change: a generation that is being built is still written to."""
    return tuple((path.name, (stat := path.stat()).st_size, stat.st_mtime_ns) for path in sorted(folder.iterdir()))


@lru_cache(maxsize=SAES)
def _load_sae(generation: Path, stamp: Stamp) -> SAE:
    return load_sae(generation / "sae")


def mean_embedding(generation: Path) -> np.ndarray:
    """Return the mean embedding of the run's texts, float64 [d]."""
    return _mean_embedding(generation, stamp(Generation(generation).file(EMBEDDINGS)))


@lru_cache(maxsize=SAES)
def _mean_embedding(generation: Path, stamp: Stamp) -> np.ndarray:
    parts = Generation(generation).parts(EMBEDDINGS)
    moments = Moments.none(0)
    for number, part in enumerate(parts):
        x = read_embeddings(part)
        moments = (Moments.none(x.shape[1]) if number == 0 else moments).add(x)
    return moments.mean


def mean_token(generation: Path) -> np.ndarray:
    """Return the mean state of the tokens of a token run, float64 [d]: that of its texts' means, by their tokens."""
    return _mean_token(generation, stamp(Generation(generation).file(EMBEDDINGS)))


@lru_cache(maxsize=SAES)
def _mean_token(generation: Path, stamp: Stamp) -> np.ndarray:
    opened = Generation(generation)
    moments = Moments.none(0)
    for part, tokens in zip(opened.parts(EMBEDDINGS), opened.parts(TOKENS), strict=True):
        means, text_ids = read_embeddings(part), read_part(tokens, ["text_id"])["text_id"].to_numpy()
        counts = np.unique(text_ids, return_counts=True)[1]
        sums = (means.astype(np.float64) * counts[:, None]).sum(axis=0)
        moments = Moments(moments.n + int(counts.sum()), moments.total + sums if moments.n else sums)
    return moments.mean

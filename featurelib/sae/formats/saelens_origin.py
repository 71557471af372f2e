"""What SAELens keeps of an SAE beside its weights: where it reads its model, and how often its features fired."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from featurelib.sae.weights.density import SAELENS_FILE, SAELENS_NAME
from featurelib.storage import files

ADDED = 1e-10
"""What SAELens adds to a density before it takes the logarithm."""


class Origin(NamedTuple):
    """What a run knows of its SAE."""

    metadata: dict[str, Any]
    """SAELens' names: model_name, hook_name, context_size, prepend_bos, dataset_path, neuronpedia_id; {} if unknown."""
    density: np.ndarray | None
    """The share of the run's tokens (of a run of texts: texts) on which each feature fires, float64 [n_features]."""


NONE = Origin({}, None)


def write_origin(folder: Path, origin: Origin) -> None:
    """Add the metadata to the cfg.json in a folder, and write the densities beside it; nothing for what is unknown."""
    import torch
    from safetensors.torch import save

    if origin.metadata:
        config = files.read_json(folder / "cfg.json")
        files.write_json(folder / "cfg.json", config | {"metadata": config["metadata"] | origin.metadata})
    if origin.density is not None:
        sparsity = torch.from_numpy(np.log10(origin.density + ADDED).astype(np.float32))
        stored = save({SAELENS_NAME: sparsity})
        files.write_aside(folder / SAELENS_FILE, lambda aside: aside.write_bytes(stored))

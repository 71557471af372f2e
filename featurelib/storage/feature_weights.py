"""What each feature's weights say of it, from the file of a run's SAE: read with numpy, without torch."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np

from featurelib.storage import files

WEIGHTS_FILE = "sae_weights.safetensors"
BLOCK = 4_096
"""Directions that are held at a time."""


class FeatureWeights(NamedTuple):
    """Two numbers of each feature: columns of schema.WEIGHTS."""

    encoder_bias: np.ndarray
    """b_enc, of a gated SAE b_gate, float32 [n_features]."""
    b_dec_projection: np.ndarray
    """W_dec[f]·b_dec / ‖W_dec[f]‖, 0 for a direction of length 0, float32 [n_features]."""


def read_feature_weights(sae_folder: Path) -> FeatureWeights:
    """Read them from the SAE in a run's folder; Refusal when its file is not whole."""
    from safetensors import SafetensorError, safe_open

    path = sae_folder / WEIGHTS_FILE
    try:
        with safe_open(path, framework="numpy") as opened:
            bias = opened.get_tensor("b_gate" if "b_gate" in opened.keys() else "b_enc")  # noqa: SIM118  (no mapping)
            b_dec = opened.get_tensor("b_dec").astype(np.float64)
            directions = opened.get_slice("W_dec")
            n = directions.get_shape()[0]
            blocks = [_projected(directions[start : min(start + BLOCK, n)], b_dec) for start in range(0, n, BLOCK)]
    except (SafetensorError, OSError) as error:
        raise files.damaged(path, "W_dec, b_dec and b_enc are expected") from error
    return FeatureWeights(bias.astype(np.float32), np.concatenate(blocks))


def _projected(directions: np.ndarray, b_dec: np.ndarray) -> np.ndarray:
    products, lengths = directions @ b_dec, np.linalg.norm(directions.astype(np.float64), axis=1)
    along: np.ndarray = np.divide(products, lengths, out=np.zeros_like(products), where=lengths > 0)
    return along.astype(np.float32)

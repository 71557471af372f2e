"""Files as other libraries write them, and their formulas in numpy: what the tests of all formats share."""

from __future__ import annotations

import json
from collections import OrderedDict

import numpy as np
import torch
from safetensors.torch import save_file

from featurelib.sae.checkpoints import read_checkpoint
from featurelib.sae.sources.find import find_place
from tests.sae.test_sae import B_DEC, B_ENC, I6, THRESHOLD, VECTORS, W_DEC, W_ENC, X, numbers, tensor

A_VECTORS = {
    "A1 vanilla": (
        "0.04842 0 0 1.55496 2.41698 0.03112; 0 1.10091 2.19079 0.07116 0 0; 2.13536 0 0 0 2.14876 2.37259",
        "1.47942 1.29640 0.92539 0.55493; -0.16929 -0.76943 -1.30735 -1.51030; -1.12132 -2.54489 -2.50309 -0.98866",
    ),
    "A2 topk": (
        "0 0 0 1.45496 2.21698 0; 0 1.20091 2.19079 0 0 0; 2.33536 0 0 0 0 2.07259",
        "1.44649 1.29842 0.96142 0.60802; -0.12840 -0.71612 -1.26669 -1.50142; -2.86894 -3.14159 -1.66823 0.88511",
    ),
    "A3 batchtopk": (
        "0 0 0 1.45496 2.21698 0; 0 0 2.19079 0 0 0; 2.33536 0 0 0 1.94876 2.07259",
        "1.44649 1.29842 0.96142 0.60802; -0.21668 -1.43112 -2.27214 -2.32443; -1.07225 -2.61778 -2.66365 -1.16138",
    ),
    "A4 jumprelu": (
        "0 0 0 1.66355 2.34636 0; 0 1.06118 2.31950 0 0 0; 1.98539 0 0 0 2.07814 2.22622",
        "1.43887 1.32957 1.01667 0.66140; -0.11150 -0.84596 -1.48221 -1.70125; -0.95466 -2.31717 -2.32140 -0.93846",
    ),
}
FOUR = {"W_enc": W_ENC, "b_enc": B_ENC, "W_dec": W_DEC, "b_dec": B_DEC}
LINEAR = {"encoder.weight": W_ENC.T, "encoder.bias": B_ENC, "decoder.weight": W_DEC.T}
GATED = {"b_gate": B_ENC, "b_mag": -B_ENC, "r_mag": 0.1 * (I6 - 3)}
LENGTHS = np.linalg.norm(W_DEC, axis=1)
X64 = X.astype(np.float64)
MANY = np.random.default_rng(0).normal(size=(200, 4)).astype(np.float32)
"""So many rows that some lie between any two thresholds that a reader may confuse."""
JUMPING = FOUR | {"threshold": THRESHOLD}


def relu(z):
    return np.maximum(z, 0)


def top(z, k):
    """Each row's k largest, in their places, and 0 elsewhere."""
    kept = np.zeros_like(z)
    places = np.argsort(-z, axis=1)[:, :k]
    np.put_along_axis(kept, places, np.take_along_axis(z, places, 1), 1)
    return kept


def agree(sae, activations, rebuilt, x=X):
    """Both to 5 decimals, dense and sparse."""
    np.testing.assert_allclose(sae.encode(x).numpy(), activations, atol=1e-5)
    np.testing.assert_allclose(sae.reconstruct(x).numpy(), rebuilt, atol=1.1e-5)
    sparse = sae.encode_sparse(x)
    np.testing.assert_allclose(sae.rebuild(x, sparse).numpy(), rebuilt, atol=1.1e-5)


def published(sae, name):
    agree(sae, *(numbers(text) for text in (A_VECTORS | VECTORS)[name]))


def tensors(arrays):
    return {name: array if torch.is_tensor(array) else tensor(array) for name, array in arrays.items()}


def pt(folder, arrays, config=None, name="sae.pt"):
    """As torch.save(module.state_dict(), …) with json.dump beside it."""
    folder.mkdir(exist_ok=True)
    torch.save(OrderedDict(tensors(arrays)), folder / name)
    if config is not None:
        (folder / "config.json").write_text(json.dumps(config))
    return folder


def safe(folder, arrays, config=None, name="sae_weights.safetensors", config_name="cfg.json"):
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    save_file({key: value.contiguous() for key, value in tensors(arrays).items()}, folder / name)
    if config is not None:
        (folder / config_name).write_text(json.dumps(config))
    return folder


def checkpoint(folder):
    return read_checkpoint(find_place(folder))

"""A case: an SAE as its own library wrote it, and what that library makes of some embeddings.

    <case>/sae/…            the library's files
    <case>/x.npy            embeddings, float32 [n, d_in]
    <case>/activations.npy  its own inference on them, dense float32 [n, n_features]
    <case>/output.npy       its own reconstruction of them, float32 [n, d_in]
    <case>/asked.json       what a reader has to be told, such as {"threshold": 0.8}; not there where nothing
    <case>/note.txt         the library, its version, the class, random or trained

`agree.py` reads such folders with featurelib and compares. This file is imported in the environments of other
libraries: numpy and the standard library only.
"""

from __future__ import annotations

import json
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

D_IN, N_FEATURES, N_ROWS = 32, 96, 200
SEED = 20


def some_rows(d_in: int = D_IN, seed: int = SEED) -> np.ndarray:
    """Return embeddings to test random weights on, float32 [N_ROWS, d_in], off centre as real ones are."""
    draw = np.random.default_rng(seed)
    return (draw.normal(size=(N_ROWS, d_in)) + draw.normal(size=d_in)).astype(np.float32)


def write_case(
    folder: Path, x: np.ndarray, activations: np.ndarray, output: np.ndarray, note: str, **asked: Any
) -> None:
    """Write what the library computed beside its files in `folder`/sae; `note` is "package: class, random"."""
    if not (folder / "sae").is_dir():
        raise SystemExit(f"{folder / 'sae'} is not there; write the library's files first")
    package, _, rest = note.partition(":")
    for name, array in {"x": x, "activations": activations, "output": output}.items():
        np.save(folder / f"{name}.npy", np.asarray(array, dtype=np.float32))
    (folder / "note.txt").write_text(f"{package} {version(package)}:{rest}\n", encoding="utf-8")
    if asked:
        (folder / "asked.json").write_text(json.dumps(asked), encoding="utf-8")
    n_active = (activations > 0).sum(axis=1).mean()
    print(f"{folder.name}: L0 {n_active:.1f}, {(folder / 'note.txt').read_text().strip()}")

"""A run written with numpy in which some features lie inside others, and a second one in which one has split."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd

from featurelib import schema
from featurelib.storage.runs import Done
from precompute.stages.families import find_families
from tests.support import numpy_run
from tests.support.numpy_run import DEAD, N_FEATURES, N_TEXTS, NumpyRun, QuietJob, finish, make_run, run_summarise

ALWAYS, ROOT, CHILDREN, GRANDCHILD = 0, 10, (11, 12), 13
SPLIT_INTO = (21, 22)
"""In the second run, the features that hold ROOT's texts between them."""


class SeededJob(QuietJob):
    """A job with the one option that find_families reads."""

    config = SimpleNamespace(seed=0)


def planted(seed: int = 1) -> np.ndarray:
    """float32 [N_TEXTS, N_FEATURES]: ROOT on 28 texts, its children inside, a grandchild; the others independent."""
    draw = np.random.default_rng(seed)
    fires = draw.random((N_TEXTS, N_FEATURES)) < 0.06
    fires[:, ALWAYS] = True
    fires[:, [ROOT, *CHILDREN, GRANDCHILD]] = False
    fires[40:68, ROOT] = True
    fires[40:54, CHILDREN[0]] = True
    fires[56:66, CHILDREN[1]] = True
    fires[40:47, GRANDCHILD] = True
    fires[:, list(DEAD)] = False
    return np.where(fires, draw.uniform(0.1, 1, fires.shape), 0).astype(np.float32)


def split(activations: np.ndarray) -> np.ndarray:
    """The activations of the second SAE: ROOT is gone, two features share its texts; its second child has stayed."""
    draw = np.random.default_rng(9)
    fires = draw.random(activations.shape) < 0.06
    fires[:, [ROOT, *CHILDREN, GRANDCHILD, *DEAD]] = False
    fires[:, [*SPLIT_INTO, 30]] = False
    fires[40:52, SPLIT_INTO[0]] = True
    fires[52:64, SPLIT_INTO[1]] = True
    fires[56:66, 30] = True
    return np.where(fires, 0.5, 0).astype(np.float32)


def structure_run(folder: Path, activations: np.ndarray, *, vectors: np.ndarray | None = None) -> NumpyRun:
    """A complete run with these activations, and with label vectors [N_FEATURES, d] where they are given."""
    made = make_run(folder)
    generation = made.generation
    (generation.path / "manifest.json").unlink()
    truth = replace(made, activations=activations)
    numpy_run._encode(generation, truth, np.random.default_rng(0))
    for table in schema.TABLES:
        if table.stage in ("summarise", "families"):
            generation.file(table).unlink()
    summarised = generation.done("summarise")
    for stage in ("summarise", "families"):
        (generation.path / "done" / f"{stage}.json").unlink()
    run_summarise(generation)
    generation.mark_done("summarise", summarised)
    if vectors is not None:
        rows = pd.DataFrame({"feature_id": range(len(vectors)), "embedding": list(vectors)})
        numpy_run._write(generation, schema.LABEL_VECTORS, rows)
    made_of = find_families(SeededJob(generation))
    generation.mark_done("families", Done("families 0", made_of.facts, made_of.line, {}))
    finish(generation)
    return truth

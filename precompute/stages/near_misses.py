"""near_misses: embeddings and SAE → the texts on which each feature only just does not fire.

What has been found so far lies under work/near_misses after each part of the embeddings, so that a killed run goes on.
"""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from featurelib.sae.checkpoints import load_sae
from featurelib.sae.model import SAE
from featurelib.sae.near_misses import Misses, NearMisses, ranks
from featurelib.schema import EMBEDDINGS, NEAR_MISSES
from featurelib.storage import files
from featurelib.storage.embeddings import read_embeddings
from precompute.build.job import Job, Made
from precompute.build.stage import Stage

NEARLY = 0.9
"""A dead feature nearly fires where its pre-activation reaches this share of what it had to exceed."""


def find_near_misses(job: Job) -> Made:
    """Write summaries/near_misses.parquet; a feature that fires on every text has none."""
    generation = job.generation
    sae = load_sae(generation.sae_folder)
    parts = generation.parts(EMBEDDINGS)
    sizes = [pq.read_metadata(part).num_rows for part in parts]
    nearest, n_done = _held(generation.work("near_misses"), sae)
    with job.progress(sum(sizes), "texts", sum(sizes[:n_done])) as bar:
        for number in range(n_done, len(parts)):
            nearest.add(sae, read_embeddings(parts[number]), sum(sizes[:number]))
            _hold(generation.work("near_misses"), nearest, number + 1)
            bar.advance(sizes[number])
    found = nearest.misses
    columns = [found.feature_ids, ranks(found), found.text_ids, found.pre_activations, found.thresholds]
    generation.write(NEAR_MISSES, columns)
    return _made(nearest)


STAGE = Stage(
    name="near_misses",
    makes="texts on which a feature only just does not fire",
    make=find_near_misses,
    grounds="embeddings and SAE",
    after=("embed", "train"),
)


def _held(folder: Path, sae: SAE) -> tuple[NearMisses, int]:
    """What a killed run had found, and in how many parts."""
    nearest = NearMisses(sae.n_features)
    held = sorted(folder.glob("done-*.npz")) if folder.is_dir() else []
    if not held:
        return nearest, 0
    with np.load(held[-1]) as arrays:
        nearest.resume(Misses(*(arrays[name] for name in Misses._fields)), arrays["n_fires"])
    return nearest, int(held[-1].stem.removeprefix("done-"))


def _hold(folder: Path, nearest: NearMisses, n_done: int) -> None:
    # Through memory: numpy's own writing to a file does not say that a full disk is full.
    held = io.BytesIO()
    np.savez(held, n_fires=nearest.n_fires, **nearest.misses._asdict())
    path = folder / f"done-{n_done:06d}.npz"
    files.write_aside(path, lambda aside: aside.write_bytes(held.getbuffer()))
    for older in folder.glob("done-*.npz"):
        if older != path:
            files.remove(older)


def _made(nearest: NearMisses) -> Made:
    found = nearest.misses
    first = ranks(found) == 1
    gaps, dead = -found.margins[first], nearest.n_fires[found.feature_ids[first]] == 0
    above = dead & (found.thresholds[first] > 0)
    reached = found.pre_activations[first][above] / found.thresholds[first][above]
    facts = {
        "rows": len(found.feature_ids),
        "n_features": int(first.sum()),
        "median_gap": _median(gaps[~dead]),
        "n_dead": int((nearest.n_fires == 0).sum()),
        "n_dead_nearly": int((reached >= NEARLY).sum()),
        "nearly": NEARLY,
        "dead_reached": _median(reached),
    }
    gap = "" if facts["median_gap"] is None else f", the nearest of a live feature {facts['median_gap']:.3g} too low"
    nearly = f"; {facts['n_dead_nearly']:,} of {facts['n_dead']:,} dead features reach {NEARLY:.0%} of what they need"
    line = f"{facts['rows']:,} near misses of {facts['n_features']:,} features{gap}{' (median)' if gap else ''}"
    return Made(line + (nearly if facts["n_dead"] else ""), facts)


def _median(values: np.ndarray) -> float | None:
    return float(np.median(values)) if len(values) else None

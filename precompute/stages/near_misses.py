"""near_misses: embeddings and SAE → the texts on which each feature only just does not fire.

Every few seconds the misses so far are saved under work/near_misses, so that a killed run goes on.
"""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import numpy as np

from featurelib.sae.checkpoints import load_sae
from featurelib.sae.model import SAE
from featurelib.sae.near_misses import Misses, NearMisses, ranks
from featurelib.schema import EMBEDDINGS, NEAR_MISSES, TOKENS
from featurelib.storage import files
from featurelib.storage.embeddings import read_embeddings
from featurelib.storage.parts.part_files import count_rows
from precompute.build.job import Job, Made
from precompute.build.stage import Stage
from precompute.build.token_parts import TokenStateParts

NEARLY = 0.9
"""A dead feature nearly fires where its pre-activation reaches this share of its threshold."""
SAVE_SECONDS = 10.0
"""How much work a killed run loses at most: to save the misses costs as much as to look at a thousand texts."""


def find_near_misses(job: Job) -> Made:
    """Write summaries/near_misses.parquet; a feature that fires on every text has none."""
    from featurelib.sae.training.trainer import find_device

    generation = job.generation
    device = find_device(job.config.device)
    sae = load_sae(generation.sae_folder).to(device)
    parts = generation.parts(EMBEDDINGS)
    sizes = [count_rows(part) for part in parts]
    tokens = TokenStateParts(generation, job.config) if generation.file(TOKENS).is_dir() else None
    nearest, n_done = _resume(generation.work("near_misses"), sae)
    saved = time.monotonic()
    with job.progress(sum(sizes), "texts", sum(sizes[:n_done])) as bar:
        for number in range(n_done, len(parts)):
            if tokens is not None:
                part = tokens.read(number)
                nearest.add_tokens(sae, part.states, part.text_ids)
            else:
                nearest.add(sae, read_embeddings(parts[number]), sum(sizes[:number]))
            if time.monotonic() - saved > SAVE_SECONDS:
                _save(generation.work("near_misses"), nearest, number + 1)
                saved = time.monotonic()
            bar.advance(sizes[number])
    misses = nearest.misses
    columns = [misses.feature_ids, ranks(misses), misses.text_ids, misses.pre_activations, misses.thresholds]
    generation.write(NEAR_MISSES, columns)
    return replace(_made(nearest), volatile={"device": device})


STAGE = Stage(
    name="near_misses",
    makes="texts on which a feature only just does not fire",
    make=find_near_misses,
    grounds="embeddings and SAE",
    after=("embed", "train"),
)


def _resume(folder: Path, sae: SAE) -> tuple[NearMisses, int]:
    """The misses that a killed run found, and the number of parts it had gone through."""
    nearest = NearMisses(sae.n_features)
    saved = sorted(folder.glob("done-*.npz")) if folder.is_dir() else []
    if not saved:
        return nearest, 0
    with np.load(saved[-1]) as arrays:
        nearest.resume(Misses(*(arrays[name] for name in Misses._fields)), arrays["n_fires"])
    return nearest, int(saved[-1].stem.removeprefix("done-"))


def _save(folder: Path, nearest: NearMisses, n_done: int) -> None:
    path = folder / f"done-{n_done:06d}.npz"
    files.write_arrays(path, n_fires=nearest.n_fires, **nearest.misses._asdict())
    for older in folder.glob("done-*.npz"):
        if older != path:
            files.remove(older)


def _made(nearest: NearMisses) -> Made:
    misses = nearest.misses
    first = ranks(misses) == 1
    gaps, dead = -misses.margins[first], nearest.n_fires[misses.feature_ids[first]] == 0
    above = dead & (misses.thresholds[first] > 0)
    reached = misses.pre_activations[first][above] / misses.thresholds[first][above]
    facts = {
        "rows": len(misses.feature_ids),
        "n_features": int(first.sum()),
        "median_gap": _median(gaps[~dead]),
        "n_dead": int((nearest.n_fires == 0).sum()),
        "n_dead_nearly": int((reached >= NEARLY).sum()),
        "nearly": NEARLY,
        "dead_reached": _median(reached),
    }
    gap = "" if facts["median_gap"] is None else f", the nearest of a live feature {facts['median_gap']:.3g} too low"
    nearly = f"; {facts['n_dead_nearly']:,} of {facts['n_dead']:,} dead features reach {NEARLY:.0%} of their threshold"
    line = f"{facts['rows']:,} near misses of {facts['n_features']:,} features{gap}{' (median)' if gap else ''}"
    return Made(line + (nearly if facts["n_dead"] else ""), facts)


def _median(values: np.ndarray) -> float | None:
    return float(np.median(values)) if len(values) else None

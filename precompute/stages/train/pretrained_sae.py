"""An SAE that exists and is taken instead of training one: read, held against the embeddings, and checked."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from featurelib.sae.checkpoints import give_threshold, read_checkpoint
from featurelib.sae.checks.fit import MOST_EMBEDDINGS, evenly
from featurelib.sae.checks.self_check import SelfCheck, check_sae
from featurelib.sae.formats.checkpoint import Checkpoint, LoadOptions
from featurelib.sae.sources.find import find_place, name_source
from featurelib.sae.sources.place import Place
from featurelib.schema import Refusal
from featurelib.storage.embeddings import EmbeddingParts
from precompute.build.config import BuildConfig
from precompute.build.job import Job


class Taken(NamedTuple):
    """What `config.sae` is."""

    place: Place
    """Its files."""
    name: str
    """What the run calls where it came from."""
    checkpoint: Checkpoint
    """What the files mean."""


def read_taken(config: BuildConfig, d: int) -> Taken:
    """Return the SAE that `config.sae` names; Refusal when it is not for embeddings of dimension `d`."""
    place = find_place(config.sae)
    name = name_source(config.sae, place)
    checkpoint = read_checkpoint(place, LoadOptions(config.k, config.threshold, config.architecture))
    if checkpoint.sae.d_in != d:
        raise Refusal(
            f"the embeddings have dimension {d} but the SAE '{name}' was trained on dimension {checkpoint.sae.d_in}; "
            "use the embedder it was trained with, or another SAE."
        )
    return Taken(place, name, checkpoint)


def refuse_misfit(config: BuildConfig) -> None:
    """Refuse an SAE that cannot be read or is not for these embeddings, before the texts are embedded."""
    if config.sae:
        check_sae(read_taken(config, config.find_dimension()).checkpoint.sae)


def take(job: Job, embeddings: EmbeddingParts) -> Taken:
    """Return the SAE with the threshold it may lack; say what was assumed and what it makes of 1,000 embeddings."""
    taken = read_taken(job.config, embeddings.d)
    checkpoint = taken.checkpoint
    if checkpoint.lacks_threshold_for is not None:
        checkpoint = give_threshold(checkpoint, embeddings)
    for remark in checkpoint.remarks:
        job.say(f"{taken.place.weights.name}: {remark}")
    found = check_sae(checkpoint.sae, _a_few(embeddings))
    job.say(_told(taken.name, found))
    for sentence in found.warnings:
        job.say(f"warning: {sentence}")
    return taken._replace(checkpoint=checkpoint)


def _a_few(embeddings: EmbeddingParts) -> np.ndarray:
    """Return at most 1,000 of the embeddings, evenly drawn."""
    admitted = np.flatnonzero(embeddings.mask)
    mask = np.zeros_like(embeddings.mask)
    mask[admitted[evenly(len(admitted), MOST_EMBEDDINGS)]] = True
    return np.concatenate(list(EmbeddingParts(embeddings.parts, mask).in_order()))


def _told(name: str, found: SelfCheck) -> str:
    fit = found.fit
    fvu = "no FVU (they are all the same)" if fit.fvu is None else f"FVU {fit.fvu:.2f}"
    return f"the SAE '{name}': {fvu} and L0 {fit.l0:.1f} on {fit.n:,} of these embeddings"

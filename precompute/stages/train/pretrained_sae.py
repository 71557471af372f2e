"""An SAE that exists already, used instead of training one: read, compared with the embeddings, and checked."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import NamedTuple

import numpy as np

from featurelib.sae.checkpoints import give_threshold, read_checkpoint
from featurelib.sae.checks.fit import MOST_EMBEDDINGS, Fit, evenly
from featurelib.sae.checks.self_check import check_sae
from featurelib.sae.checks.verdict import FITS, MOST_JUDGED, FitCheck, judge_fit
from featurelib.sae.formats.checkpoint import Checkpoint, LoadOptions
from featurelib.sae.sources.find import find_place, name_source
from featurelib.sae.sources.place import Place
from featurelib.schema import Refusal
from featurelib.storage.embeddings import EmbeddingParts
from precompute.build.config import BuildConfig
from precompute.build.job import Job


class PretrainedSAE(NamedTuple):
    """The SAE that --sae names."""

    place: Place[Path]
    """Its files."""
    name: str
    """Where it came from, as the run calls it."""
    checkpoint: Checkpoint
    """What its files hold."""
    fit: FitCheck | None = None
    """How it fits the embeddings, where they are there."""


def read_sae(source: str, config: BuildConfig, d: int) -> PretrainedSAE:
    """Return the SAE that `source` names; Refusal when it is not for embeddings of dimension `d`."""
    place = find_place(source)
    name = name_source(source, place)
    checkpoint = read_checkpoint(place, LoadOptions(config.k, config.threshold, config.architecture))
    if checkpoint.sae.d_in != d:
        raise Refusal(
            f"the embeddings have dimension {d} but the SAE '{name}' was trained on dimension {checkpoint.sae.d_in}; "
            "use the embedder it was trained with, or another SAE."
        )
    return PretrainedSAE(place, name, checkpoint)


def refuse_misfit(config: BuildConfig) -> None:
    """Refuse an SAE that cannot be read or is not for these embeddings, before the texts are embedded."""
    if config.sae:
        check_sae(read_sae(config.sae, config, config.find_dimension()).checkpoint.sae)


def take_sae(job: Job, source: str, embeddings: EmbeddingParts) -> PretrainedSAE:
    """Return the SAE, given a threshold where it lacks one; say what was assumed and how it fits 1,000 embeddings."""
    pretrained = read_sae(source, job.config, embeddings.d)
    checkpoint = pretrained.checkpoint
    if checkpoint.lacks_threshold_for is not None:
        checkpoint = give_threshold(checkpoint, embeddings)
    for remark in checkpoint.remarks:
        job.say(f"{pretrained.place.weights.name}: {remark}")
    check = check_sae(checkpoint.sae, _sample(embeddings))
    if check.fit is not None:
        job.say(_fit_sentence(pretrained.name, check.fit))
    for warning in check.warnings:
        job.say(f"warning: {warning}")
    judged = judge_fit(checkpoint.sae, _sample(embeddings, MOST_JUDGED), checkpoint.log_density)
    job.say(f"{'' if judged.verdict == FITS else 'warning: '}the SAE {judged.sentence}")
    return pretrained._replace(checkpoint=checkpoint, fit=judged)


def _sample(embeddings: EmbeddingParts, most: int = MOST_EMBEDDINGS) -> np.ndarray:
    """Return at most `most` of the embeddings, evenly spaced, float32 [n, d]."""
    admitted = np.flatnonzero(embeddings.mask)
    mask = np.zeros_like(embeddings.mask)
    mask[admitted[evenly(len(admitted), most)]] = True
    return np.concatenate(list(dataclasses.replace(embeddings, mask=mask).in_order()))


def _fit_sentence(name: str, fit: Fit) -> str:
    fvu = "no FVU (they are all the same)" if fit.fvu is None else f"FVU {fit.fvu:.2f}"
    return f"the SAE '{name}': {fvu} and L0 {fit.l0:.1f} on {fit.n:,} of these embeddings"

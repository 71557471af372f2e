"""How long a build will take, told before the long part begins."""

from __future__ import annotations

import time
from typing import NamedTuple

import numpy as np

from featurelib.embedder.batches import multiplies_in_bfloat16
from featurelib.sae.training.recipe import find_recipe
from featurelib.storage.texts import read_texts
from precompute.build.append import count_texts
from precompute.build.job import Job
from precompute.build.stage import Workload
from precompute.build.stage_table import PIPELINE

PROBE = 24
"""Texts embedded to measure the rate: enough to be right within a third or so."""
WORDS = 256
"""Words of these texts that are embedded to measure how fast words are."""
WORDS_PER_SECOND = 500.0
"""What is taken for that where the embeddings are given and no embedder is asked."""
TOP_TEXTS = 10
"""Texts of each feature that keywords and attributions come from, at most."""
OTHER_SECONDS_PER_TEXT = 0.001
"""What the stages that name no time take together per text."""
OTHER_SECONDS = 20.0
"""What these stages take on the smallest corpus: mostly imports and the map's compilation."""
WORTH_SAYING = 120.0
TRANSFORMER = 500.0
"""Texts a second that no transformer embeds on a CPU; an embedder without one gains nothing from fewer bits."""
D_IN = 384
"""A usual dimension of embeddings; how many features are trained depends on the texts alone."""


class _Rates(NamedTuple):
    """How fast the embedder is."""

    texts: float | None
    """Texts a second; None where the embeddings exist already."""
    strings: float
    """Words a second."""


def say_estimate(job: Job) -> None:
    """Say about how long the build will take from here and what a sample would save."""
    n_texts = count_texts(job.generation)
    rates = _Rates(None, WORDS_PER_SECOND) if job.config.embeddings else _measure_rates(job, n_texts)
    n_new = n_texts - (count_texts(job.append.kept()) if job.append else 0)
    total = _seconds(job, n_texts, n_new, rates)
    measured = f" at {rates.texts:.0f} texts a second, measured on {min(PROBE, n_texts)}" if rates.texts else ""
    new = f", {n_new:,} of them new," if job.append else ""
    sentence = f"about {_spoken(total)} to go for {n_texts:,} texts{new}{measured}"
    if total > WORTH_SAYING and n_texts > 2000 and not job.append:
        smaller = max(1000, n_texts // 10)
        sentence += f"; --sample {smaller} would take about {_spoken(_seconds(job, smaller, smaller, rates))}"
        sentence += ", and --dtype bfloat16 embeds sooner on this CPU" if _could_halve(job, rates) else ""
    if job.engine.sharing:
        sentence += f", if this machine were alone: {job.engine.sharing}"
    job.say(sentence + ".")


def _measure_rates(job: Job, n_texts: int) -> _Rates:
    """Embed a few texts, spread over the corpus, and their words."""
    n = min(PROBE, n_texts)
    sample = read_texts(job.generation, np.arange(n) * n_texts // n)
    words = list(dict.fromkeys(word for text in sample for word in text.split()))[:WORDS] or [""]
    embed = job.config.open_embedder().embed
    embed(sample[:2])
    began = time.monotonic()
    embed(sample)
    between = time.monotonic()
    embed(words)
    return _Rates(len(sample) / (between - began), len(words) / (time.monotonic() - between))


def _could_halve(job: Job, rates: _Rates) -> bool:
    """Whether a transformer embeds on a CPU that would do so sooner in bfloat16."""
    config, is_slow = job.config, rates.texts is not None and rates.texts < TRANSFORMER
    asked = config.dtype is not None or config.layer is not None or config.embed_backend == "onnx"
    on_cpu = config.engine == "local" and is_slow and config.open_embedder().device == "cpu"
    return on_cpu and not asked and multiplies_in_bfloat16()


def _seconds(job: Job, n_all: int, n_new: int, rates: _Rates) -> float:
    # the number of features of an SAE that is given is not known yet; one trained for as many texts stands for it
    n_features = job.config.features or find_recipe(n_all, D_IN).n_features
    n_top_texts = min(n_all, TOP_TEXTS * n_features)
    workload = Workload(n_all, n_new, n_top_texts, n_features, rates.texts, rates.strings)
    return sum(stage.seconds(workload) for stage in PIPELINE) + OTHER_SECONDS_PER_TEXT * n_all + OTHER_SECONDS


def _spoken(seconds: float) -> str:
    if seconds < 90:
        return f"{max(10, round(seconds / 10) * 10)} seconds"
    return f"{round(seconds / 60)} minutes" if seconds < 5400 else f"{seconds / 3600:.1f} hours"

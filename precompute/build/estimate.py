"""How long a build will take, told before the long part begins."""

from __future__ import annotations

import time
from typing import NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from featurelib.sae.training.recipe import find_recipe
from featurelib.schema import TEXTS
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
    texts = pq.read_table(job.generation.file(TEXTS), columns=["text"])["text"]
    rates = _Rates(None, WORDS_PER_SECOND) if job.config.embeddings else _measure_rates(job, texts)
    n_new = len(texts) - (count_texts(job.append.kept()) if job.append else 0)
    total = _seconds(job, len(texts), n_new, rates)
    measured = f" at {rates.texts:.0f} texts a second, measured on {min(PROBE, len(texts))}" if rates.texts else ""
    new = f", {n_new:,} of them new," if job.append else ""
    sentence = f"about {_spoken(total)} to go for {len(texts):,} texts{new}{measured}"
    if total > WORTH_SAYING and len(texts) > 2000 and not job.append:
        smaller = max(1000, len(texts) // 10)
        sentence += f"; --sample {smaller} would take about {_spoken(_seconds(job, smaller, smaller, rates))}"
    if job.engine.sharing:
        sentence += f", if this machine were alone: {job.engine.sharing}"
    job.say(sentence + ".")


def _measure_rates(job: Job, texts: pa.ChunkedArray) -> _Rates:
    """Embed a few texts, spread over the corpus, and their words."""
    sample = [texts[i * len(texts) // PROBE].as_py() for i in range(min(PROBE, len(texts)))]
    words = list(dict.fromkeys(word for text in sample for word in text.split()))[:WORDS] or [""]
    embed = job.config.open_embedder().embed
    embed(sample[:2])
    began = time.monotonic()
    embed(sample)
    between = time.monotonic()
    embed(words)
    return _Rates(len(sample) / (between - began), len(words) / (time.monotonic() - between))


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

"""How long a build will take, told before the long part begins."""

from __future__ import annotations

import time

import pyarrow as pa
import pyarrow.parquet as pq

from featurelib.schema import TEXTS
from precompute.build.append import count_texts
from precompute.build.job import Job
from precompute.build.stage import Workload
from precompute.build.stage_table import PIPELINE

PROBE = 24
"""Texts embedded to measure the rate: enough to be right within a third or so."""
MOST_TOP_TEXTS = 160_000
"""Keywords come from at most ten texts of each of at most 16,384 features."""
OTHER_SECONDS_PER_TEXT = 0.001
"""What the stages that name no time take together per text."""
OTHER_SECONDS = 20.0
"""What these stages take on the smallest corpus: mostly imports and the map's compilation."""
WORTH_SAYING = 120.0


def say_estimate(job: Job) -> None:
    """Say about how long the build will take from here and what a sample would save."""
    texts = pq.read_table(job.generation.file(TEXTS), columns=["text"])["text"]
    rate = None if job.config.embeddings else _measure_rate(job, texts)
    n_new = len(texts) - (count_texts(job.append.kept()) if job.append else 0)
    total = _seconds(len(texts), n_new, rate)
    measured = f" at {rate:.0f} texts a second, measured on {min(PROBE, len(texts))}" if rate else ""
    new = f", {n_new:,} of them new," if job.append else ""
    sentence = f"about {_spoken(total)} to go for {len(texts):,} texts{new}{measured}"
    if total > WORTH_SAYING and len(texts) > 2000 and not job.append:
        smaller = max(1000, len(texts) // 10)
        sentence += f"; --sample {smaller} would take about {_spoken(_seconds(smaller, smaller, rate))}"
    if job.engine.sharing:
        sentence += f", if this machine were alone: {job.engine.sharing}"
    job.say(sentence + ".")


def _measure_rate(job: Job, texts: pa.ChunkedArray) -> float:
    """Embed a few texts, spread over the corpus; return how many the embedder does in a second."""
    sample = [texts[i * len(texts) // PROBE].as_py() for i in range(min(PROBE, len(texts)))]
    embedder = job.config.open_embedder()
    embedder.embed(sample[:2])
    started = time.monotonic()
    embedder.embed(sample)
    return len(sample) / (time.monotonic() - started)


def _seconds(n_all: int, n_new: int, rate: float | None) -> float:
    workload = Workload(n_all, n_new, min(n_all, MOST_TOP_TEXTS), rate)
    return sum(stage.seconds(workload) for stage in PIPELINE) + OTHER_SECONDS_PER_TEXT * n_all + OTHER_SECONDS


def _spoken(seconds: float) -> str:
    if seconds < 90:
        return f"{max(10, round(seconds / 10) * 10)} seconds"
    return f"{round(seconds / 60)} minutes" if seconds < 5400 else f"{seconds / 3600:.1f} hours"

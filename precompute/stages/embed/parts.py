"""The part files of the embeddings, and the texts that belong to each."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from featurelib.embedder import Embedder, TokenCounts
from featurelib.schema import EMBEDDINGS, TEXTS, TOKEN_STATES, TOKENS, Refusal
from featurelib.storage.parts.part_files import PartFile, read_part
from featurelib.storage.runs import Generation
from featurelib.storage.texts import read_texts
from precompute.build.append import count_texts
from precompute.build.job import Job, rows_per_part
from precompute.build.token_parts import TOKEN_PART_TEXTS

PROBE = 200
"""Texts whose tokens are counted to say how much is about to be stored."""
MOST_NAMED = 5
"""Texts that an error message names."""
READ_COLUMNS = ["text_id", "source_row", "text"]
"""What is read of the texts."""


def embedder_facts(embedder: Embedder) -> dict[str, Any]:
    """What run.json says of an embedder; of a sentence encoder nothing about hidden states."""
    facts = asdict(embedder.facts)
    return facts if embedder.facts.hidden_states else {k: v for k, v in facts.items() if k != "hidden_states"}


def precision_of_base(job: Job) -> str | None:
    """The numbers in which the texts that are appended to were embedded; None where there are none, or unknown ones."""
    done = job.append.kept().done("embed") if job.append else None
    precision: str | None = done.facts.get("precision") if done else None
    return precision


def check_precision(then: str | None, precision: str) -> None:
    """Refuse to embed appended texts in other numbers than those that are there."""
    if then not in (None, precision):
        mend = "give --device cuda" if then == "float16" else f"give --dtype {then}"
        raise Refusal(
            f"the texts that are there were embedded in {then}, and this device embeds in {precision}; {mend}, or "
            "build a run of all texts under another --name."
        )


@dataclass(frozen=True)
class Parts:
    """The part files of the embeddings; which texts are in which part depends only on the number of texts.

    In an append the parts that are there stay, and those of the new texts come after them.
    """

    generation: Generation
    """The generation they belong to."""
    n_texts: int
    """The number of texts."""
    dtype: str
    """The type the embeddings are stored in: float32 or float16."""
    has_tokens: bool = False
    """Whether the tokens of a part are read with it, which takes fewer texts."""
    n_kept: int = 0
    """How many parts stay, in an append."""
    first: int = 0
    """The first text that is in none of them."""

    @classmethod
    def of(cls, job: Job) -> Parts:
        """The parts that `job` is to write."""
        n_all = pq.read_metadata(job.generation.need(TEXTS)).num_rows
        parts = cls(job.generation, n_all, job.config.embedding_dtype, job.config.has_tokens)
        if job.append is None:
            return parts
        n_kept = [job.append.link_parts(job.generation, table) for table in (TOKENS, TOKEN_STATES, EMBEDDINGS)][-1]
        return replace(parts, n_kept=n_kept, first=count_texts(job.append.kept()))

    @property
    def rows(self) -> int:
        """The number of texts in each part but the last."""
        return TOKEN_PART_TEXTS if self.has_tokens else rows_per_part(self.n_texts)

    def facts(self) -> dict[str, Any]:
        """What run.json says about them."""
        return {"dtype": self.dtype, "n_texts": self.n_texts, "part_rows": self.rows}

    def file(self, number: int) -> PartFile:
        """Where part `number` is written, and may be already."""
        return self.generation.part_folder(EMBEDDINGS).number(number)

    def n_existing(self) -> int:
        """The number of texts in parts that exist."""
        return self.n_texts - sum(self.sizes_of_missing().values())

    def sizes_of_missing(self) -> dict[int, int]:
        """The number of texts in each part that does not exist yet, by the part's number."""
        starts = range(self.first, self.n_texts, self.rows)
        return {
            number: min(self.rows, self.n_texts - start)
            for number, start in enumerate(starts, self.n_kept)
            if not self.file(number).exists
        }

    def texts(self, number: int) -> pa.Table:
        """Return the rows of text_id, source_row and text of one part; only the row groups they lie in are read."""
        first = self.first + (number - self.n_kept) * self.rows
        last = min(first + self.rows, self.n_texts)
        with pq.ParquetFile(self.generation.file(TEXTS)) as opened:
            sizes = [opened.metadata.row_group(group).num_rows for group in range(opened.num_row_groups)]
            ends = np.cumsum(sizes)
            groups = range(int(np.searchsorted(ends, first, "right")), int(np.searchsorted(ends, last, "left")) + 1)
            read = opened.read_row_groups(list(groups), columns=READ_COLUMNS)
        start = first - int(ends[groups[0]] - sizes[groups[0]])
        return read.slice(start, last - first)

    def missing(self) -> Iterator[tuple[int, pa.Table]]:
        """Yield the number of each part that does not exist yet, and its rows of text_id, source_row and text."""
        for number, texts in enumerate(texts_in_slices(self.generation, self.rows, self.first), self.n_kept):
            if not self.file(number).exists:
                yield number, texts

    def write(self, number: int, text_ids: pa.ChunkedArray, embeddings: np.ndarray, counts: TokenCounts | None) -> None:
        """Write one part; Refusal when a number is not finite, or becomes infinite in the dtype."""
        with np.errstate(over="ignore"):
            stored = embeddings.astype(self.dtype)
        check_finite(text_ids.to_numpy(), embeddings, stored)
        values = pa.FixedSizeListArray.from_arrays(pa.array(stored.reshape(-1)), embeddings.shape[1])
        columns = {
            "text_id": text_ids.combine_chunks(),
            "embedding": values,
            "n_tokens": _or_null(counts.n_tokens if counts else None, len(values), pa.int32()),
            "truncated": _or_null(counts.truncated if counts else None, len(values), pa.bool_()),
            "cut": _or_null(counts.cut if counts else None, len(values), pa.int32()),
        }
        table = pa.table(columns)
        self.file(number).write(table, table.schema)

    def n_truncated(self) -> int:
        """The number of texts that the embedder truncates."""
        columns = (read_part(part, ["truncated"])["truncated"] for part in self.generation.parts(EMBEDDINGS))
        return sum(pc.sum(column).as_py() or 0 for column in columns)


def mean_tokens(embedder: Embedder, parts: Parts) -> float:
    """The mean number of tokens that an embedder reads of a text, of 200 texts spread over those to be embedded."""
    n_texts = parts.n_texts - parts.first
    n = min(PROBE, n_texts)
    counts = embedder.tokens(read_texts(parts.generation, parts.first + np.arange(n) * n_texts // n)).n_tokens
    return float(np.minimum(counts, embedder.facts.max_seq_length or counts.max(initial=0)).mean())


def texts_in_slices(generation: Generation, rows: int, first: int = 0) -> Iterator[pa.Table]:
    """Yield texts.parquet from row `first` on in slices of `rows` rows, the last one shorter, whatever its groups."""
    waiting: list[pa.RecordBatch] = []
    n_waiting = 0
    with pq.ParquetFile(generation.file(TEXTS)) as opened:
        ends = np.cumsum([opened.metadata.row_group(number).num_rows for number in range(opened.num_row_groups)])
        groups = np.flatnonzero(ends > first).tolist()
        skipped = first - (int(ends[groups[0] - 1]) if groups and groups[0] else 0)
        for read in opened.iter_batches(rows, row_groups=groups, columns=READ_COLUMNS):
            batch, skipped = read.slice(skipped), max(0, skipped - read.num_rows)
            waiting.append(batch)
            n_waiting += batch.num_rows
            if n_waiting >= rows:
                joined = pa.Table.from_batches(waiting)
                yield joined.slice(0, rows)
                waiting = joined.slice(rows).to_batches()
                n_waiting -= rows
    if n_waiting:
        yield pa.Table.from_batches(waiting)


def _or_null(values: np.ndarray | None, n_rows: int, kind: pa.DataType) -> pa.Array:
    return pa.nulls(n_rows, kind) if values is None else pa.array(values, kind)


def check_finite(text_ids: np.ndarray, embeddings: np.ndarray, stored: np.ndarray) -> None:
    """Refuse embeddings with NaN or infinity, naming some of their texts."""
    whole = np.isfinite(stored).all(axis=1)
    if whole.all():
        return
    bad = text_ids[~whole]
    named = ", ".join(str(text_id) for text_id in bad[:MOST_NAMED]) + (", …" if len(bad) > MOST_NAMED else "")
    if np.isfinite(embeddings[~whole]).all():
        raise Refusal(
            f"the embeddings of {len(bad)} texts are too large for float16 (text_id {named}); "
            "store them with --embedding-dtype float32."
        )
    raise Refusal(
        f"the embeddings of {len(bad)} texts hold NaN or infinity (text_id {named}); finite numbers are expected: "
        "mend or drop these rows in the source, or use another embedder."
    )

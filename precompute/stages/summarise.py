"""summarise: densities, top texts and histograms by SQL, coactivations by counting; texts get a label split."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from featurelib import schema
from featurelib.labels.split import label_splits
from featurelib.storage import files
from featurelib.storage.coactivation import count_coactivations
from featurelib.storage.runs import Generation
from featurelib.storage.store import Store, open_store
from featurelib.summaries import (
    ROW_BYTES,
    ROWS_PER_RANGE,
    SUMMARIES,
    TOKEN_FEATURES,
    TOKEN_SUMMARIES,
    Summary,
    feature_ranges,
)
from featurelib.summaries.coactivations import rank_coactivations
from precompute.build.job import Bar, Job, Made
from precompute.build.stage import Stage

COACTIVATIONS = schema.COACTIVATION_ROWS


def summarise(job: Job) -> Made:
    """Write the tables, one file after the other; a file that a killed run has written is kept."""
    generation = job.generation
    n_active = _make_features(job)
    has_tokens = generation.file(schema.TOKEN_BY_FEATURE).is_dir()
    if has_tokens:
        _make(job, schema.TOKEN_FEATURES, TOKEN_FEATURES)
    wanted = SUMMARIES + (TOKEN_SUMMARIES if has_tokens else ())
    missing = [summary for summary in wanted if summary.in_ranges and not generation.file(summary.table).is_file()]
    to_count = not generation.file(COACTIVATIONS).is_file()
    with job.progress((len(missing) + to_count) * len(n_active), "features") as bar:
        _make_in_ranges(job, missing, n_active, bar)
        if to_count:
            rows = _coactivations(job, np.array(n_active, np.int64), bar)
            files.write_parquet(generation.file(COACTIVATIONS), rows, COACTIVATIONS.schema)
    _write_label_split(generation)
    return _made(generation, n_active)


STAGE = Stage(
    name="summarise",
    makes="densities, top texts, histograms and coactivations",
    make=summarise,
    grounds="activations",
    after=("encode",),
    version=2,
    chapter="summaries",
)


def _write_label_split(generation: Generation) -> None:
    """Write which texts labels are made from, chosen on and tested on."""
    with pq.ParquetFile(generation.file(schema.TEXTS)) as opened:
        columns = ["text_id", "text"]
        batches = (
            pa.record_batch(
                [batch["text_id"], pa.array(label_splits(batch["text"].to_pylist()), pa.string())],
                schema=schema.LABEL_SPLIT.schema,
            )
            for batch in opened.iter_batches(columns=columns)
        )
        files.write_parquet(generation.file(schema.LABEL_SPLIT), batches, schema.LABEL_SPLIT.schema)


def _make_features(job: Job) -> list[int]:
    """Write the table of features and return each one's number of texts."""
    summary = SUMMARIES[0]
    _make(job, summary.table, summary.sql)
    features = pq.read_table(job.generation.file(summary.table), columns=["n_active"])
    n_texts: list[int] = features["n_active"].to_pylist()
    return n_texts


def _make(job: Job, table: schema.Table, sql: str) -> None:
    """Write a table that one question answers, with one thread, so that sums are taken in the order of the file."""
    if job.generation.file(table).is_file():
        return
    store = _open(job, threads=1)
    try:
        values = {"n_texts": store.n_texts} if "$n_texts" in sql else {}
        rows = store.ask(sql, **values).cast(table.schema)
    finally:
        store.close()
    files.write_parquet(job.generation.file(table), rows, table.schema)


def _make_in_ranges(job: Job, summaries: list[Summary], n_active: list[int], bar: Bar) -> None:
    """Write the tables that SQL makes for one range of features after the other."""
    ranges = feature_ranges(n_active, max_rows=min(ROWS_PER_RANGE, job.config.memory_bytes // ROW_BYTES))
    store = _open(job)
    try:
        for summary in summaries:
            batches = _batches(store, summary, ranges, bar)
            files.write_parquet(job.generation.file(summary.table), batches, summary.table.schema)
    finally:
        store.close()


def _open(job: Job, threads: int | None = None) -> Store:
    spill = job.generation.work("summarise")
    return open_store(job.generation, memory_limit=job.config.memory, threads=threads, spill=spill)


def _batches(store: Store, summary: Summary, ranges: list[tuple[int, int]], bar: Bar) -> Iterator[pa.RecordBatch]:
    bar.note(summary.table.view)
    for first, last in ranges:
        yield from store.ask(summary.sql, first=first, last=last).cast(summary.table.schema).to_batches()
        bar.advance(last - first + 1)


def _coactivations(job: Job, n_active: np.ndarray, bar: Bar) -> Iterator[pa.RecordBatch]:
    bar.note(COACTIVATIONS.view)
    n_texts = pq.read_metadata(job.generation.need(schema.TEXTS)).num_rows
    parts = job.generation.parts(schema.BY_TEXT)
    for first, counts in count_coactivations(parts, len(n_active), job.config.memory_bytes):
        yield from rank_coactivations(counts, first, n_active, n_texts).to_batches()
        n_features = len(counts)
        del counts  # else two blocks are in memory while the next one is counted
        bar.advance(n_features)


def _made(generation: Generation, n_active: list[int]) -> Made:
    n_texts = pq.read_metadata(generation.file(schema.TEXTS)).num_rows
    tables = [*(summary.table for summary in SUMMARIES), COACTIVATIONS]
    rows = {table.view: pq.read_metadata(generation.file(table)).num_rows for table in tables}
    n_dead = sum(active == 0 for active in n_active)
    n_dense = sum(active > schema.DENSE * n_texts for active in n_active)
    facts = {"rows": rows, "n_dead": n_dead, "n_dense": n_dense, "n_activations": sum(n_active)}
    line = (
        f"{len(n_active):,} features ({n_dead:,} dead, {n_dense:,} dense), {rows['top_texts']:,} top texts, "
        f"{rows['coactivations']:,} coactivations"
    )
    return Made(line, facts)

"""summarise: SQL turns activations into densities, top texts, histograms and coactivations; texts get a label split."""

from __future__ import annotations

from collections.abc import Iterator

import pyarrow as pa
import pyarrow.parquet as pq

from featurelib import schema
from featurelib.labels.split import label_splits
from featurelib.storage import files
from featurelib.storage.runs import Generation
from featurelib.storage.store import Store, open_store
from featurelib.summaries import SUMMARIES, TOKEN_FEATURES, Summary, feature_ranges
from precompute.build.job import Bar, Job, Made
from precompute.build.stage import Stage

MEMORY_LIMIT = "3GB"


def summarise(job: Job) -> Made:
    """Write the tables, one file after the other; a file that a killed run has written is kept."""
    generation = job.generation
    n_active = _make_features(generation)
    if job.config.has_tokens:
        _make(generation, schema.TOKEN_FEATURES, TOKEN_FEATURES)
    ranges = feature_ranges(n_active)
    missing = [summary for summary in SUMMARIES if summary.in_ranges and not generation.file(summary.table).is_file()]
    store = open_store(generation, memory_limit=MEMORY_LIMIT, spill=generation.work("summarise"))
    try:
        with job.progress(len(missing) * len(n_active), "features") as bar:
            for summary in missing:
                batches = _batches(store, summary, ranges, bar)
                files.write_parquet(generation.file(summary.table), batches, summary.table.schema)
    finally:
        store.close()
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


def _make_features(generation: Generation) -> list[int]:
    """Write the table of features and return each one's number of texts."""
    summary = SUMMARIES[0]
    _make(generation, summary.table, summary.sql)
    features = pq.read_table(generation.file(summary.table), columns=["n_active"])
    n_texts: list[int] = features["n_active"].to_pylist()
    return n_texts


def _make(generation: Generation, table: schema.Table, sql: str) -> None:
    """Write a table that one question answers, with one thread, so that sums are taken in the order of the file."""
    if generation.file(table).is_file():
        return
    store = open_store(generation, memory_limit=MEMORY_LIMIT, threads=1, spill=generation.work("summarise"))
    try:
        values = {"n_texts": _n_texts(store)} if "$n_texts" in sql else {}
        rows = store.ask(sql, **values).cast(table.schema)
    finally:
        store.close()
    files.write_parquet(generation.file(table), rows, table.schema)


def _batches(store: Store, summary: Summary, ranges: list[tuple[int, int]], bar: Bar) -> Iterator[pa.RecordBatch]:
    n_texts = {"n_texts": _n_texts(store)} if "$n_texts" in summary.sql else {}
    bar.note(summary.table.view)
    for first, last in ranges:
        yield from store.ask(summary.sql, first=first, last=last, **n_texts).cast(summary.table.schema).to_batches()
        bar.advance(last - first + 1)


def _n_texts(store: Store) -> int:
    return store.count("select count(*) from texts")


def _made(generation: Generation, n_active: list[int]) -> Made:
    n_texts = pq.read_metadata(generation.file(schema.TEXTS)).num_rows
    rows = {summary.table.view: pq.read_metadata(generation.file(summary.table)).num_rows for summary in SUMMARIES}
    n_dead = sum(active == 0 for active in n_active)
    n_dense = sum(active > schema.DENSE * n_texts for active in n_active)
    facts = {"rows": rows, "n_dead": n_dead, "n_dense": n_dense, "n_activations": sum(n_active)}
    line = (
        f"{len(n_active):,} features ({n_dead:,} dead, {n_dense:,} dense), {rows['top_texts']:,} top texts, "
        f"{rows['coactivations']:,} coactivations"
    )
    return Made(line, facts)

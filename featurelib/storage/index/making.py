"""Making an index: each table once through, in pieces, so that memory does not grow with the corpus."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from featurelib.schema import (
    BY_FEATURE,
    BY_TEXT,
    EMBEDDINGS,
    FEATURES,
    LABEL_VECTORS,
    LABELS,
    TABLES,
    TEXT_SUMMARIES,
    TOKEN_BY_FEATURE,
    TOKENS,
    Refusal,
    Table,
)
from featurelib.storage.derived import (
    CARD_WORDS,
    CARD_WORDS_SQL,
    CARDS,
    CARDS_SQL,
    FAMILY_CARDS,
    FAMILY_CARDS_SQL,
    LISTED_TEXTS,
    NAMED_VECTORS_SQL,
    listed_texts_sql,
    vectors_of,
)
from featurelib.storage.index import arrays
from featurelib.storage.index.nearest_places import FILE, FROM, write_nearest
from featurelib.storage.index.opened import CODED, ROWS_FILE, VALUES
from featurelib.storage.index.rows import KEYS, Writer
from featurelib.storage.index.token_arrays import TokenSizes, write_tokens
from featurelib.storage.index.whole import find, write
from featurelib.storage.own_columns import MetadataColumn, telling_columns
from featurelib.storage.parts.part_files import count_rows, read_batches, read_part_schema
from featurelib.storage.runs import Generation
from featurelib.storage.store import MEMORY_LIMIT, Store, open_store

BATCH = 50_000
MOST_CODES = 60_000
"""Different values of a column that is coded, in two bytes each."""

Say = Callable[[str], None]


def make_index(generation: Generation, say: Say = lambda what: None, *, memory_limit: str = MEMORY_LIMIT) -> Path:
    """Return the folder of a complete generation's index, made now if it is not there.

    `say` is told what comes next. Refusal when it can be written nowhere, or `memory_limit` is too little for DuckDB.
    """
    return find(generation) or write(generation, lambda folder: _fill(generation, folder, say, memory_limit))


def _fill(generation: Generation, folder: Path, say: Say, memory_limit: str) -> None:
    store = open_store(generation, memory_limit=memory_limit)
    try:
        say("rows")
        columns = _rows(store, folder)
        say("metadata values")
        for number, column in enumerate(columns):
            _codes(store, folder, number, column)
        say("activations")
        _by_feature(store, folder)
        _by_text(store, folder)
        if store.has(TOKENS):
            say("tokens")
            size = TokenSizes(store.n_texts, *(_n_rows(store, table) for table in (TOKENS, FEATURES, TOKEN_BY_FEATURE)))
            write_tokens(folder, batches(store, TOKENS), batches(store, TOKEN_BY_FEATURE), size)
        say("embeddings")
        _embeddings(generation, folder)
        _label_vectors(store, folder)
        _nearest(folder, say)
    finally:
        store.close()


def _rows(store: Store, folder: Path) -> list[MetadataColumn]:
    """Write the rows that are found by their keys; returns the columns whose values are to be coded."""
    writer = Writer(folder / ROWS_FILE)
    for table in TABLES:
        if table.view in KEYS:
            writer.copy(table, batches(store, table))
    derived = {LISTED_TEXTS: listed_texts_sql(store, stored=True), CARDS: CARDS_SQL, CARD_WORDS: CARD_WORDS_SQL}
    for name, sql in (derived | {FAMILY_CARDS: FAMILY_CARDS_SQL}).items():
        columns_of = store.ask(f"select * from ({sql}) limit 0").schema.names
        writer.create(name, columns_of, by_id=True)
        for batch in store.stream(sql, BATCH):
            writer.add(name, batch)
    writer.view("texts", f"select text_id, source_row, source_id, text from {LISTED_TEXTS}")
    columns: list[MetadataColumn] = []
    writer.create(VALUES, ("number", "code", "word", "n_corpus"))
    writer.create(CODED, ("number", "name"))
    for column in telling_columns(store):
        values = _values(store, column)
        if values.num_rows <= MOST_CODES:
            number = pa.array([len(columns)] * values.num_rows, pa.int64())
            codes = pa.array(range(1, values.num_rows + 1), pa.int64())
            writer.add(VALUES, pa.table([number, codes, values["value"], values["n_corpus"]], names=list("ncvt")))
            writer.add(CODED, pa.table([[len(columns)], [column.name]], names=list("nv")))
            columns.append(column)
    writer.find_by(VALUES, ("number", "code"))
    writer.close()
    return columns


def batches(store: Store, table: Table) -> Iterator[pa.RecordBatch]:
    """The rows of a table in pieces, in their order; none of a table that has not been made."""
    if not store.has(table):
        return
    for part in store.generation.parts(table):
        for batch in read_batches(part, BATCH, table.schema.names):
            for field in table.schema:
                if field.name not in batch.schema.names:
                    batch = batch.append_column(field, pa.nulls(batch.num_rows, field.type))
            yield batch.select(table.schema.names)


def _values(store: Store, column: MetadataColumn) -> pa.Table:
    return store.ask(
        f"""
        with valued as (
            select ({column.members})::varchar as value
            from texts
        )
        select value, count(*) as n_corpus
        from valued
        where value is not null
        group by value
        order by value"""
    )


def _codes(store: Store, folder: Path, number: int, column: MetadataColumn) -> None:
    """Write the place of each text's value among the column's values, from 1; 0 where it has none."""
    values = _values(store, column)["value"]
    n_texts = store.n_texts
    if not column.is_list:
        writer = arrays.ArrayWriter(folder, arrays.codes_name(number), (n_texts,), np.uint16)
        for batch in store.stream(
            f"select ({column.expression()})::varchar as value from texts order by text_id", BATCH
        ):
            writer.add(_places(batch["value"], values))
        writer.close()
        return
    counts, codes = [], []
    listed = f"select list_distinct({column.expression()})::varchar[] as members from texts order by text_id"
    for batch in store.stream(listed, BATCH):
        members = [[value for value in row or [] if value is not None] for row in batch["members"].to_pylist()]
        counts.append(np.array([len(row) for row in members], np.int64))
        codes.append(_places(pa.array([value for row in members for value in row], pa.string()), values))
    whole = np.concatenate(codes) if codes else np.empty(0, np.uint16)
    _write(folder, arrays.offsets_name(number), arrays.offsets_of(np.concatenate(counts) if counts else []))
    _write(folder, arrays.codes_name(number), whole)


def _places(column: pa.Array, values: pa.ChunkedArray) -> np.ndarray:
    places = pc.index_in(column, values.combine_chunks())
    found: np.ndarray = pc.add(pc.fill_null(places, -1), 1).to_numpy(zero_copy_only=False).astype(np.uint16)
    return found


def _write(folder: Path, name: str, values: np.ndarray) -> None:
    writer = arrays.ArrayWriter(folder, name, values.shape, values.dtype)
    writer.add(values)
    writer.close()


def _n_rows(store: Store, table: Table) -> int:
    return sum(count_rows(part) for part in store.generation.parts(table))


def _by_feature(store: Store, folder: Path) -> None:
    n_rows, n_features = _n_rows(store, BY_FEATURE), _n_rows(store, FEATURES)
    counts = np.zeros(n_features, np.int64)
    text_ids = arrays.ArrayWriter(folder, arrays.FEATURE_TEXTS, (n_rows,), np.int32)
    activations = arrays.ArrayWriter(folder, arrays.FEATURE_ACTIVATIONS, (n_rows,), np.float32)
    for batch in batches(store, BY_FEATURE):
        counts += np.bincount(batch["feature_id"].to_numpy(), minlength=n_features)
        text_ids.add(batch["text_id"].to_numpy())
        activations.add(batch["activation"].to_numpy())
    text_ids.close()
    activations.close()
    _write(folder, arrays.FEATURE_OFFSETS, arrays.offsets_of(counts))


def _by_text(store: Store, folder: Path) -> None:
    n_rows, n_texts = _n_rows(store, BY_TEXT), store.n_texts
    counts = np.zeros(n_texts, np.int32)
    kind = np.uint16 if _n_rows(store, FEATURES) <= np.iinfo(np.uint16).max else np.int32
    feature_ids = arrays.ArrayWriter(folder, arrays.TEXT_FEATURES, (n_rows,), kind)
    activations = arrays.ArrayWriter(folder, arrays.TEXT_ACTIVATIONS, (n_rows,), np.float32)
    for texts, features, values in _whole_texts(batches(store, BY_TEXT)):
        order = np.lexsort((features, -values, texts))
        first = int(texts[0])
        here = np.bincount(texts - first)
        counts[first : first + len(here)] += here.astype(np.int32)
        feature_ids.add(features[order])
        activations.add(values[order])
    feature_ids.close()
    activations.close()
    _write(folder, arrays.TEXT_OFFSETS, arrays.offsets_of(counts))


def _whole_texts(stream: Iterator[pa.RecordBatch]) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Text ids, feature ids and activations in pieces that never divide the rows of a text."""
    kept: tuple[np.ndarray, ...] = (np.empty(0, np.int64), np.empty(0, np.int32), np.empty(0, np.float32))
    for batch in stream:
        columns = [batch[name].to_numpy() for name in ("text_id", "feature_id", "activation")]
        joined = [np.concatenate(pair) for pair in zip(kept, columns, strict=True)]
        texts = joined[0]
        whole = int(np.searchsorted(texts, texts[-1])) if len(texts) else 0
        if whole:
            yield joined[0][:whole], joined[1][:whole], joined[2][:whole]
        kept = tuple(column[whole:] for column in joined)
    if len(kept[0]):
        yield kept[0], kept[1], kept[2]


def _embeddings(generation: Generation, folder: Path) -> None:
    """Write the embeddings of all texts; nothing where the run does not hold one for each."""
    parts = generation.parts(EMBEDDINGS) if generation.has(EMBEDDINGS) else []
    n_texts = pq.read_metadata(generation.file(TEXT_SUMMARIES)).num_rows if generation.has(TEXT_SUMMARIES) else -1
    if not parts or sum(count_rows(part) for part in parts) != n_texts:
        return
    kind = read_part_schema(parts[0]).field("embedding").type
    writer = arrays.ArrayWriter(folder, arrays.EMBEDDINGS, (n_texts, kind.list_size), kind.value_type.to_pandas_dtype())
    for part in parts:
        for batch in read_batches(part, BATCH, ["embedding"]):
            flat = batch["embedding"].flatten().to_numpy(zero_copy_only=False)
            writer.add(flat.reshape(-1, kind.list_size))
    writer.close()


def _label_vectors(store: Store, folder: Path) -> None:
    if store.has(LABELS) and store.has(LABEL_VECTORS):
        ids, vectors = vectors_of(store.ask(NAMED_VECTORS_SQL))
        if len(ids):
            _write(folder, arrays.LABEL_IDS, ids)
            _write(folder, arrays.LABEL_VECTORS, vectors)


def _nearest(folder: Path, say: Say) -> None:
    path = folder / f"{arrays.EMBEDDINGS}.npy"
    if not path.is_file():
        return
    embeddings = np.load(path, mmap_mode="r", allow_pickle=False)
    if len(embeddings) < FROM:
        return
    say("nearest texts")
    try:
        write_nearest(embeddings, folder / FILE)
    except Refusal as refusal:
        say(str(refusal))

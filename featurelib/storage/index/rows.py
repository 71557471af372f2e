"""Rows of a generation's tables by their keys, in an SQLite file: a question costs some 50 microseconds at any size.

The SQL of questions is DuckDB's, and runs on both, as long as it keeps to what both understand: joins, `coalesce`,
window functions, and one way to give a list, `in (select unnest($ids::bigint[]))`, which is translated here.
"""

from __future__ import annotations

import contextlib
import json
import math
import queue
import re
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from featurelib.schema import TABLES, Table
from featurelib.storage.time_limits import limited

KEYS: dict[str, tuple[str, ...]] = {
    "features": ("feature_id",),
    "labels": ("feature_id",),
    "gates": ("feature_id",),
    "layout": ("feature_id",),
    "firing_layout": ("feature_id",),
    "region_features": ("level", "region_id", "feature_id"),
    "keyword_clusters": ("feature_id",),
    "fidelity": ("feature_id",),
    "name_coverage": ("feature_id",),
    "name_failures": ("feature_id",),
    "feature_themes": ("feature_id", "rank"),
    "keywords": ("feature_id", "rank"),
    "keyword_evidence": ("feature_id", "rank"),
    "explanations": ("feature_id",),
    "audit": ("feature_id",),
    "histograms": ("feature_id", "bin"),
    "top_texts": ("feature_id", "rank"),
    "near_misses": ("feature_id", "rank"),
    "neighbours": ("feature_id", "rank"),
    "opposites": ("feature_id", "rank"),
    "coactivations": ("feature_id", "rank"),
    "contributions": ("feature_id", "text_id"),
    "families": ("feature_id",),
    "family_metrics": ("family_id",),
    "logit_lens": ("feature_id", "side", "rank"),
    "logit_histograms": ("feature_id",),
    "text_words": ("text_id",),
    "copies": ("text_id",),
    "text_layout": ("text_id",),
    "token_features": ("feature_id",),
    "feature_tokens": ("feature_id",),
    "vocabulary": ("token_id",),
}
"""The tables that are copied, and the columns by which their rows are found."""
ALSO = {"families": (("parent_id",), ("family_id",)), "audit": (("flagged", "check"),)}
"""Further ways in which the rows of a table are found."""
CONNECTIONS = 16
"""Connections that are kept open for the next question."""
PAGES_MAPPED = 2**40
"""The file is mapped into memory, so that all connections and servers share its pages."""
NAN = "nan"
"""What stands for a float that is not a number, which SQLite would take for a missing one."""
LIST = re.compile(r"\(select unnest\(\$(\w+)::\w+\[\]\)\)")
TYPES: dict[str, pa.DataType] = {
    field.name: pa.int64() if field.name in ("n_texts", "n_active") else field.type
    for table in TABLES
    for field in table.schema
} | {"over_shuffled": pa.float64(), "log10_density": pa.float64(), "title": pa.string(), "source_id": pa.string()}
"""The type of a column by its name; of a name that no table has, it is that of its values."""


@cache
def translated(sql: str) -> str:
    """The SQL as SQLite reads it."""
    return LIST.sub(r"(select value from json_each($\1))", sql).replace("maybe.", "")


class Rows:
    """An SQLite file of rows; any number of threads may ask."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._idle: queue.SimpleQueue[sqlite3.Connection] = queue.SimpleQueue()

    def ask(self, sql: str, values: Mapping[str, Any], seconds: float | None) -> pa.Table:
        """Answer one question as an Arrow table, with the types that the tables have.

        Raises sqlite3.Error when the file is damaged, sqlite3.OperationalError when it takes longer than `seconds`.
        """
        bound = {name: _bound(value) for name, value in values.items()}
        with self._connection() as con, limited(seconds, con.interrupt):
            cursor = con.execute(translated(sql), bound)
            names = [column[0] for column in cursor.description]
            rows = cursor.fetchall()
        columns = zip(*rows, strict=True) if rows else ([] for _ in names)
        arrays = [column_of(name, list(column)) for name, column in zip(names, columns, strict=True)]
        return pa.Table.from_arrays(arrays, names=names)

    @contextlib.contextmanager
    def _connection(self) -> Iterator[sqlite3.Connection]:
        try:
            con = self._idle.get_nowait()
        except queue.Empty:
            # immutable: the file never changes once it has its name, and may lie where SQLite cannot lock
            address = f"{self.path.absolute().as_uri()}?mode=ro&immutable=1"
            con = sqlite3.connect(address, uri=True, check_same_thread=False)
            con.execute(f"pragma mmap_size = {PAGES_MAPPED}")
        try:
            yield con
        except BaseException:
            con.close()
            raise
        if self._idle.qsize() < CONNECTIONS:
            self._idle.put(con)
        else:
            con.close()

    def close(self) -> None:
        """Close the connections that nobody uses."""
        with contextlib.suppress(queue.Empty):
            while True:
                self._idle.get_nowait().close()


def _bound(value: Any) -> Any:
    """A value as SQLite binds it: plain numbers and words, a list as JSON."""
    if isinstance(value, list | tuple):
        return json.dumps([_bound(member) for member in value])
    return value.item() if isinstance(value, np.generic) else value


def column_of(name: str, values: list[Any]) -> pa.Array:
    """A column of an answer in its own type: what SQLite cannot hold is stored as text or bytes."""
    kind = TYPES.get(name)
    if kind is None:
        is_number = any(isinstance(value, float) for value in values)
        return pa.array([math.nan if is_number and value == NAN else value for value in values])
    if pa.types.is_boolean(kind):
        values = [None if value is None else bool(value) for value in values]
    elif pa.types.is_list(kind):
        width = np.dtype(kind.value_type.to_pandas_dtype())
        values = [None if value is None else np.frombuffer(value, width) for value in values]
    elif pa.types.is_floating(kind):
        values = [float(value) if isinstance(value, str) else value for value in values]
    return pa.array(values, kind)


def stored(column: pa.Array) -> Sequence[Any]:
    """The values of a column as SQLite keeps them: lists of numbers as bytes, NaN, which it does not know, as text."""
    if pa.types.is_list(column.type):
        flat, offsets = column.flatten().to_numpy(zero_copy_only=False), column.offsets.to_numpy()
        width = flat.itemsize
        whole = flat.tobytes()
        first = int(offsets[0]) if len(offsets) else 0
        return [
            whole[(start - first) * width : (end - first) * width] if valid else None
            for start, end, valid in zip(
                offsets[:-1].tolist(), offsets[1:].tolist(), column.is_valid().to_pylist(), strict=True
            )
        ]
    values: list[Any] = column.to_pylist()
    if pa.types.is_floating(column.type):
        return [NAN if value is not None and value != value else value for value in values]
    return values


class Writer:
    """Fills a new SQLite file, which nobody reads before it is whole."""

    def __init__(self, path: Path) -> None:
        self._con = sqlite3.connect(path, isolation_level=None)
        self._con.execute("pragma journal_mode = off")
        self._con.execute("pragma synchronous = off")
        self._con.execute("pragma page_size = 8192")

    def create(self, name: str, columns: Sequence[str], *, by_id: bool = False) -> None:
        """Create a table; with `by_id` its first column is a whole number by which its rows are found."""
        listed = [f'"{column}"' for column in columns]
        if by_id:
            listed[0] += " integer primary key"
        self._con.execute(f'create table "{name}" ({", ".join(listed)})')

    def add(self, name: str, batch: pa.RecordBatch | pa.Table) -> None:
        """Add rows, in the order in which they come."""
        marks = ", ".join("?" * batch.num_columns)
        columns = (
            column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column for column in batch.columns
        )
        self._con.execute("begin")
        self._con.executemany(f'insert into "{name}" values ({marks})', zip(*map(stored, columns), strict=True))
        self._con.execute("commit")

    def copy(self, table: Table, batches: Iterator[pa.RecordBatch]) -> None:
        """Copy a table with the ways in which its rows are found."""
        keys = KEYS[table.view]
        self.create(table.view, table.schema.names, by_id=keys == ("text_id",))
        for batch in batches:
            self.add(table.view, batch)
        for number, columns in enumerate((keys, *ALSO.get(table.view, ()))):
            if columns != ("text_id",):
                self.find_by(table.view, columns, number)

    def view(self, name: str, sql: str) -> None:
        """Call the rows of `sql` by a name."""
        self._con.execute(f"create view {name} as {sql}")

    def find_by(self, name: str, columns: Sequence[str], number: int = 0) -> None:
        """Let rows be found by some columns."""
        listed = ", ".join(f'"{column}"' for column in columns)
        self._con.execute(f'create index "{name} {number}" on "{name}" ({listed})')

    def close(self) -> None:
        """Write what SQLite's planner should know, and close the file."""
        self._con.execute("analyze")
        self._con.close()

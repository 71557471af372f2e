"""A generation's Parquet files as DuckDB views; every question goes through `Store.ask`, which opens its own cursor.

The database is in memory and holds nothing but views. It may read the generation's folder and no other file, and its
settings are locked, so no SQL can read other files or lift the limits. Rows that are found by their keys come from the
generation's index, where there is one (`Store.look_up`).
"""

from __future__ import annotations

import os
import re
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import duckdb
import pyarrow as pa

from featurelib import installation
from featurelib.schema import TABLES, Refusal, Table
from featurelib.storage.answers import Answers
from featurelib.storage.index.in_use import IndexInUse
from featurelib.storage.index.opened import Index
from featurelib.storage.parts.part_files import STORED, Part, StoredPart
from featurelib.storage.run_manifest import missing_or_resized, verify
from featurelib.storage.runs import Generation
from featurelib.storage.sql_text import (
    check_select,
    empty_rows,
    first_line,
    first_rows,
    is_of_a_file,
    no_room,
    refusal_in,
    text_literal,
)
from featurelib.storage.time_limits import limited, too_long

if TYPE_CHECKING:
    from featurelib.storage.parts.duckdb_files import StoredFiles

Fact = TypeVar("Fact")

READABLE = {table.view: table for table in TABLES}
MEMORY_LIMIT = "2GB"
ROW_CAP = 100_000
"""The rows that `select` returns at most: fetched rows are not counted in DuckDB's memory limit."""


class Store:
    """One generation, ready for questions from any number of threads."""

    def __init__(
        self,
        generation: Generation,
        *,
        memory_limit: str = MEMORY_LIMIT,
        threads: int | None = None,
        spill: Path | None = None,
        seconds: float | None = None,
    ) -> None:
        """Open the generation's tables as views; Refusal when a file of a complete one is missing or has another size.

        What does not fit into `memory_limit` goes to the folder `spill` (None: one in the system's temporary folder).
        A question that takes longer than `seconds` is ended (None: none is).
        """
        self.generation = generation
        self.seconds = seconds
        self._memory_limit = memory_limit
        self._answers = Answers()
        self._lock = threading.Lock()
        self._settled = False
        self._stored: StoredFiles | None = None
        self._in_use = IndexInUse(generation, self._answers.forget)
        self._missing = frozenset(READABLE)
        self._check_files()
        self._con = duckdb.connect(":memory:", config=_settings(memory_limit, threads, spill))
        self._con.execute(f"set allowed_directories = [{', '.join(_folders(generation))}]")
        # a moment is shown, compared and linked alike on every server, whatever the time zone of the machine
        self._con.execute("set global TimeZone = 'UTC'")
        self._con.execute("create schema maybe")
        for table in TABLES:
            self._con.execute(f"create view maybe.{table.view} as {empty_rows(table)}")
        self._find_tables()
        self._con.execute("set enable_external_access = false")
        self._con.execute("set lock_configuration = true")

    def __repr__(self) -> str:
        """The run, the generation, and which tables are missing."""
        missing = f", without {', '.join(sorted(self._missing))}" if self._missing else ""
        return f"Store({self.generation.path.parent.name}/{self.generation.name}{missing})"

    def ask(self, sql: str, **values: Any) -> pa.Table:
        """Answer one question as an Arrow table; `values` fill the $names of the SQL.

        Raises RunNotReady with the stage's sentence when a table has not been made, Refusal when a file cannot be read
        or the question takes longer than the store's limit.
        """
        return self._ask(sql, values, self.seconds)

    def look_up(self, sql: str, **values: Any) -> pa.Table:
        """Answer a question about rows that are found by their keys: from the index, without one as `ask` does.

        Only for tables that an index has (`index.rows.KEYS`), and SQL that both DuckDB and SQLite read.
        """
        if self._missing and self.index is not None:
            self._need_tables_of(sql)
        rows = self.from_index(lambda index: index.rows.ask(sql, values, self.seconds))
        return self.ask(sql, **values) if rows is None else rows

    def from_index(self, read: Callable[[Index], Fact]) -> Fact | None:
        """Return what `read` finds in the index; None without an index, or when it is damaged: then it is dropped."""
        return self._in_use.read(read, self.seconds)

    @property
    def index(self) -> Index | None:
        """The generation's index, None where it has none: while it is made, or where it can be written nowhere."""
        return self._in_use.index

    def stream(self, sql: str, n_rows: int) -> Iterator[pa.RecordBatch]:
        """Answer a question in pieces of at most `n_rows` rows, for answers that do not fit into memory."""
        if self._missing:
            self._find_tables()
        cursor = self._cursor()
        try:
            yield from cursor.sql(sql).to_arrow_reader(n_rows)
        except duckdb.Error as broken:
            raise (
                no_room(broken, self._memory_limit)
                or refusal_in(broken)
                or Refusal(
                    f"the files of run '{self._run}' cannot be read ({first_line(broken)}); check them: "
                    f"{installation.command(f'verify {self._run}')}."
                )
            ) from broken
        finally:
            self._close(cursor)

    def lowered(self, words: str) -> str:
        """Return words in lower case as DuckDB writes them, which differs from Python's for some letters."""
        return words.lower() if words.isascii() else str(self.ask("select lower($words) as w", words=words)["w"][0])

    def count(self, sql: str, **values: Any) -> int:
        """Answer a question whose answer is one whole number, such as how many texts there are."""
        return int(self.ask(sql, **values)[0][0].as_py())

    @property
    def n_texts(self) -> int:
        """The number of texts, counted once; RunNotReady before they are there."""
        return self.once("n_texts", lambda: self.count("select count(*) from texts"))

    def select(self, sql: str, *, row_cap: int = ROW_CAP, seconds: float | None = None, **values: Any) -> pa.Table:
        """Answer a SELECT written by a user, within a number of rows and, if `seconds` is given, a time.

        Raises Refusal for anything but one SELECT, for SQL that DuckDB refuses, and when a limit is exceeded.
        """
        check_select(sql)
        try:
            return self._ask(sql, values, self.seconds if seconds is None else seconds, row_cap=row_cap)
        except duckdb.Error as refused:
            raise Refusal(f"DuckDB refuses this SQL: {' '.join(str(refused).split())}") from refused

    def need(self, table: Table) -> None:
        """Raise RunNotReady when the table has not been made."""
        if not self.has(table):
            self.generation.need(table)

    def has(self, table: Table) -> bool:
        """Return whether the table has been made."""
        if table.view in self._missing:
            self._find_tables()
        return table.view not in self._missing

    def once(self, key: str, make: Callable[[], Fact]) -> Fact:
        """Return what `make` returned the first time, if the index is still the same; see `Answers.once`."""
        self._in_use.look()
        return self._answers.once(key, make)

    def remember(self, key: str, make: Callable[[], Fact]) -> Fact:
        """Return what `make` returned before, if that was lately; see `Answers.remember`."""
        self._in_use.look()
        return self._answers.remember(key, make)

    def define(self, name: str, sql: str) -> str:
        """Let DuckDB call the rows of `sql` by a name; returns the name."""
        if self._missing:
            self._find_tables()
        cursor = self._cursor()
        try:
            cursor.execute(f"create or replace view {name} as {sql}")
        finally:
            self._close(cursor)
        return name

    def close(self) -> None:
        """Close the files."""
        self._con.close()
        self._in_use.close()

    def _cursor(self) -> duckdb.DuckDBPyConnection:
        # If two threads use one connection at once, one of them gets rows of the other, without an error.
        return self._con.cursor()

    def _close(self, cursor: duckdb.DuckDBPyConnection) -> None:
        if cursor is not self._con:
            cursor.close()

    def _ask(self, sql: str, values: dict[str, Any], seconds: float | None, *, row_cap: int | None = None) -> pa.Table:
        if self._missing:
            self._find_tables()
        cursor = self._cursor()
        try:
            with limited(seconds, cursor.interrupt):
                return self._answer(cursor, sql, values, row_cap=row_cap)
        except duckdb.InterruptException as stopped:
            if seconds is None:
                raise
            raise too_long(seconds) from stopped
        finally:
            self._close(cursor)

    def _answer(
        self, cursor: duckdb.DuckDBPyConnection, sql: str, values: dict[str, Any], *, row_cap: int | None = None
    ) -> pa.Table:
        try:
            rows = cursor.sql(sql, params=values or None)
            return rows.to_arrow_table() if row_cap is None else first_rows(rows.to_arrow_reader(), row_cap)
        except duckdb.CatalogException:
            self._need_tables_of(sql)
            raise
        except duckdb.Error as broken:
            known = no_room(broken, self._memory_limit) or refusal_in(broken)
            if known is not None:
                raise known from broken
            if is_of_a_file(broken) or (row_cap is None and self._is_damaged(broken)):
                raise Refusal(
                    f"a file of run '{self._run}' ({self.generation.name}) is gone or cannot be read "
                    f"({first_line(broken)}); reload, or check it: {installation.command(f'verify {self._run}')}."
                ) from broken
            raise

    def _need_tables_of(self, sql: str) -> None:
        """Raise RunNotReady when the SQL asks for a table that has not been made."""
        for view in sorted(self._missing):
            # but not maybe.labels, and not a metadata column that is called "labels"
            if re.search(rf"(?<![.\"])\b{view}\b", sql):
                self.generation.need(READABLE[view])

    def _is_damaged(self, broken: duckdb.Error) -> bool:
        """Return whether a file is damaged: a flipped bit may rename a column. Checking the hashes is slow."""
        if isinstance(broken, duckdb.InterruptException) or not self.generation.complete:
            return False
        return any(wrong is not None for _, wrong in verify(self.generation, reads_back=False))

    @property
    def _run(self) -> str:
        return self.generation.path.parent.name

    def _check_files(self) -> None:
        if not self.generation.complete:
            return
        wrong = list(missing_or_resized(self.generation).values())
        if wrong:
            raise Refusal(f"run '{self._run}' is damaged: {wrong[0]} Build it again, or copy it once more.")

    def _find_tables(self) -> None:
        """Create a view of each table that has been made since the last call; a complete generation gets no more."""
        with self._lock:
            if self._settled:
                return
            settled = self.generation.complete
            for view in [view for view in READABLE if view in self._missing and self.generation.has(READABLE[view])]:
                self._make_view(READABLE[view])
                self._missing -= {view}
            self._settled = settled

    def _make_view(self, table: Table) -> None:
        parts = self.generation.parts(table)
        for part in parts:
            if isinstance(part, Path) and not part.is_file():
                name = f"{table.path}/{part.name}" if table.parts else table.path
                raise Refusal(f"run '{self._run}' is damaged: {name} is missing; build it again, or copy it once more.")
        listed = ", ".join(text_literal(self._read_from(table, part)) for part in parts)
        rows = f"select * from read_parquet([{listed}])" if parts else empty_rows(table)
        cursor = self._con.cursor()
        try:
            cursor.execute(f"create or replace view {table.view} as {rows}")
            cursor.execute(f"create or replace view maybe.{table.view} as select * from main.{table.view}")
        except duckdb.Error as broken:
            raise refusal_in(broken) or Refusal(
                f"the table {table.view} of run '{self._run}' cannot be read ({first_line(broken)}); "
                "build the run again, or copy it once more."
            ) from broken
        finally:
            cursor.close()

    def _read_from(self, table: Table, part: Part) -> str:
        """The name by which DuckDB reads a part."""
        if not isinstance(part, StoredPart):
            return part.absolute().as_posix()
        from featurelib.storage.parts.duckdb_files import StoredFiles

        if self._stored is None:
            self._stored = StoredFiles()
            self._con.register_filesystem(self._stored)
        return self._stored.add(table, part)


def open_store(generation: Generation, **limits: Any) -> Store:
    """Open a generation for questions; what has not been made yet raises RunNotReady when it is asked for.

    `limits` are the Store's own: memory_limit, threads, spill, seconds.
    """
    return Store(generation, **limits)


def _folders(generation: Generation) -> list[str]:
    generations = [each for each in (generation, generation.shared()) if each is not None]
    paths = {path for each in generations for path in (each.path.absolute(), each.path.resolve())}
    return sorted(text_literal(path.as_posix() + "/") for path in paths) + [text_literal(STORED)]


def _settings(memory_limit: str, threads: int | None, spill: Path | None) -> dict[str, Any]:
    spill = spill or Path(tempfile.gettempdir()) / f"featurelib-{os.getpid()}"
    settings: dict[str, Any] = {
        "memory_limit": memory_limit,
        "temp_directory": spill.absolute().as_posix(),
        "python_enable_replacements": False,
        "autoinstall_known_extensions": False,
        "autoload_known_extensions": False,
        "allow_community_extensions": False,
    }
    return settings | ({"threads": threads} if threads else {})

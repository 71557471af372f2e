"""Pieces of DuckDB's SQL: names and texts as it writes them, and what of an answer or an error is told."""

from __future__ import annotations

import duckdb
import pyarrow as pa

from featurelib.schema import Refusal, Table


def quoted(name: str) -> str:
    """Return an SQL identifier for a column name that was checked against the table's own columns."""
    return '"' + name.replace('"', '""') + '"'


def text_literal(value: str) -> str:
    """Return a text as SQL writes it."""
    return "'" + value.replace("'", "''") + "'"


def empty_rows(table: Table) -> str:
    """Return the SQL of a table's columns without a row."""
    columns = ", ".join(f"null::{_type(field.type)} as {quoted(field.name)}" for field in table.schema)
    return f"select {columns} where false"


def _type(arrow: pa.DataType) -> str:
    if pa.types.is_list(arrow):
        return _type(arrow.value_type) + "[]"
    names = {"int64": "bigint", "int32": "integer", "float": "real", "double": "double", "bool": "boolean"}
    return names.get(str(arrow), "varchar")


def check_select(sql: str) -> None:
    """Raise Refusal for anything but one SELECT."""
    try:
        statements = duckdb.extract_statements(sql)
    except duckdb.Error as refused:
        raise Refusal(f"DuckDB cannot parse this SQL: {' '.join(str(refused).split())}") from refused
    if len(statements) != 1 or statements[0].type != duckdb.StatementType.SELECT:
        raise Refusal(f"one SELECT is expected; {len(statements)} statements, or another kind, were found.")


def first_rows(reader: pa.RecordBatchReader, row_cap: int) -> pa.Table:
    """Return an answer of at most `row_cap` rows; Refusal when it has more."""
    batches, rows = [], 0
    for batch in reader:
        batches.append(batch)
        rows += batch.num_rows
        if rows > row_cap:
            raise Refusal(f"the answer has more than {row_cap:,} rows; add a limit or ask for sums.")
    return pa.Table.from_batches(batches, reader.schema)


def first_line(error: duckdb.Error) -> str:
    """Return what an error says, without its further lines."""
    return str(error).splitlines()[0]


def refusal_in(error: duckdb.Error) -> Refusal | None:
    """Return the Refusal that a file of ours raised under DuckDB, which tells of it as a traceback; else None."""
    for line in str(error).splitlines():
        name, _, sentence = line.partition(": ")
        if name.rpartition(".")[2] == Refusal.__name__:
            return Refusal(sentence)
    return None


class TooLittleMemory(Refusal):
    """A question needs more memory than DuckDB may take."""


def no_room(error: duckdb.Error, memory_limit: str) -> Refusal | None:
    """Return the Refusal of a question without room, in memory or for what was put aside on the disk; else None."""
    said = str(error)
    if "No space left" in said or "max_temp_directory_size" in said:
        return Refusal(
            f"no space is left on the disk for what does not fit into {memory_limit} of memory "
            f"({first_line(error)}); free some and try again."
        )
    if isinstance(error, duckdb.OutOfMemoryException):
        return TooLittleMemory(
            f"a question needs more than {memory_limit} of memory ({first_line(error)}); ask for less, or allow more."
        )
    return None


def is_of_a_file(error: duckdb.Error) -> bool:
    """Return whether a file caused the error, not the SQL: tried on files with a flipped bit, truncated or missing."""
    if type(error) is duckdb.Error or isinstance(error, duckdb.IOException | duckdb.SerializationException):
        return True
    return isinstance(error, duckdb.InvalidInputException) and "read file" in str(error)

"""What a table of a run is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa


@dataclass(frozen=True)
class Table:
    """One table of a run: where it lies in a generation, what it holds and which stage writes it."""

    view: str
    """The name in SQL."""
    path: str
    """The file, or the folder of part files, relative to the generation."""
    stage: str
    """The stage that writes it."""
    schema: pa.Schema
    """The columns that are always there; more may follow."""
    parts: bool = False
    """Whether `path` is a folder of part-*.parquet files."""
    only_tokens: bool = False
    """Whether only a token run has it."""
    came_later: bool = False
    """Whether a run in which its stage was done by an older version stands without it."""

    def from_columns(self, columns: Sequence[Any]) -> pa.Table:
        """Return rows of this table from its columns, in the order of the schema: arrays, or lists of values."""
        arrays = [_array(column, field.type) for column, field in zip(columns, self.schema, strict=True)]
        return pa.table(arrays, schema=self.schema)

    def from_rows(self, rows: Sequence[Sequence[Any]]) -> pa.Table:
        """Return rows of this table from tuples, of which there may be none."""
        return self.from_columns(list(zip(*rows, strict=True)) or [()] * len(self.schema))


def table(
    view: str,
    path: str,
    stage: str,
    columns: dict[str, pa.DataType],
    *,
    parts: bool = False,
    only_tokens: bool = False,
    came_later: bool = False,
) -> Table:
    """Declare a table by its columns."""
    return Table(view, path, stage, pa.schema(list(columns.items())), parts, only_tokens, came_later)


def _array(column: Any, kind: pa.DataType) -> pa.Array:
    return column.cast(kind) if isinstance(column, pa.Array | pa.ChunkedArray) else pa.array(column, kind)

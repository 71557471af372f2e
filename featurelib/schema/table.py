"""What a table of a run is."""

from __future__ import annotations

from dataclasses import dataclass

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


def table(view: str, path: str, stage: str, columns: dict[str, pa.DataType], *, parts: bool = False) -> Table:
    """Declare a table by its columns."""
    return Table(view, path, stage, pa.schema(list(columns.items())), parts)

"""Sources whose rows come one by one and whose columns have no declared type."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from featurelib.corpus import cells
from featurelib.corpus.column_types import TypeInference
from featurelib.corpus.encodings import Encoding, find_encoding
from featurelib.corpus.source import BATCH_BYTES, BATCH_ROWS, PEEK_ROWS, Roles, Rows, Source, note_left_out


@dataclass(frozen=True)
class Broken:
    """A row that could not be read."""

    reason: str
    """Why, in a few words: the reason in dropped.parquet."""


def counted(**numbers: int) -> dict[str, int]:
    """The numbers that are not zero."""
    return {name: number for name, number in numbers.items() if number}


@dataclass
class _Group:
    numbers: list[int] = field(default_factory=list)
    rows: list[Any] = field(default_factory=list)
    broken: list[tuple[int, str]] = field(default_factory=list)


class RowSource(Source):
    """A source that yields rows of untyped cells; a subclass says how rows and their columns are read."""

    @abstractmethod
    def raw(self) -> Iterator[Any]:
        """Yield every row in order, or Broken in its place."""

    @abstractmethod
    def consumed(self) -> int:
        """How much of `size` the pass under way has read."""

    @abstractmethod
    def columns(self, rows: list[Any]) -> dict[str, Sequence[Any]]:
        """Turn rows into columns of cells; names not seen before come last."""

    @abstractmethod
    def type_inference(self) -> TypeInference:
        """Type inference on one column, before any cell."""

    def peek(self) -> pa.Table:
        """The first thousand rows that can be read, with the types that they speak for."""
        rows = list(islice((row for row in self.raw() if not isinstance(row, Broken)), PEEK_ROWS))
        columns: dict[str, pa.Array] = {}
        for name, values in self.columns(rows).items():
            column_type = self.type_inference()
            column_type.learn(values)
            columns[name] = (
                pa.nulls(len(rows)) if column_type.kind() is None else column_type.convert(values, self.repaired)
            )
        return pa.table(columns)

    def column_names(self) -> list[str]:
        """The names of all columns, including those that only later rows have."""
        return list({name: None for _, columns in self._groups() for name in columns})

    def survey(self, roles: Roles) -> Iterator[Rows]:
        """Yield the role columns of all rows and learn the types of all columns."""
        self._learnt: dict[str, TypeInference] = {}
        self._length = 0
        for group, columns in self._groups():
            for name, values in columns.items():
                if name not in self._learnt:
                    self._learnt[name] = self.type_inference()
                self._learnt[name].learn(values)
            yield self._typed_rows(group, columns, roles, None)

    def fields(self, roles: Roles) -> pa.Schema:
        """Every column but text and id, with the type that all its cells have."""
        kinds = {
            name: column_type.kind() for name, column_type in self._learnt.items() if name not in (roles.text, roles.id)
        }
        note_left_out(self, {name: "vectors" for name, kind in kinds.items() if kind is None})
        mixed = [name for name in kinds if getattr(self._learnt[name], "mixed", False)]
        if mixed and "mixed" not in self.facts:
            self.facts["mixed"] = mixed
            self.notes.append(f"columns with values of several types are kept as JSON: {', '.join(mixed)}.")
        return pa.schema([pa.field(name, kind) for name, kind in kinds.items() if kind is not None])

    def take_types(self, types: Mapping[str, pa.DataType]) -> None:
        """Read columns in these types where all their cells allow it."""
        for name, kind in types.items():
            if name in self._learnt:
                self._learnt[name].take(kind)

    def rows(self, roles: Roles) -> Iterator[Rows]:
        """Yield all rows again with their metadata."""
        fields = self.fields(roles)
        self._length = 0
        for group, columns in self._groups():
            yield self._typed_rows(group, columns, roles, fields)

    def _groups(self) -> Iterator[tuple[_Group, dict[str, Sequence[Any]]]]:
        self.repaired.clear()
        group, begun = _Group(), 0
        for number, row in enumerate(self.raw()):
            if isinstance(row, Broken):
                group.broken.append((number, row.reason))
            else:
                group.numbers.append(number)
                group.rows.append(row)
            if len(group.rows) == BATCH_ROWS or self.consumed() - begun > BATCH_BYTES:
                yield group, self.columns(group.rows)
                group, begun = _Group(), self.consumed()
        if group.rows or group.broken:
            yield group, self.columns(group.rows)

    def _typed_rows(
        self, group: _Group, columns: dict[str, Sequence[Any]], roles: Roles, fields: pa.Schema | None
    ) -> Rows:
        def role(name: str | None) -> pa.Array | None:
            if name is None:
                return None
            values = columns.get(name, [None] * len(group.rows))
            return cells.strings([cells.to_json(value) for value in values], self.repaired)

        values = columns.get(roles.text, [None] * len(group.rows))
        foreign = np.array([not (value is None or isinstance(value, str)) for value in values], bool)
        text = cells.strings([value if isinstance(value, str) else None for value in values], self.repaired)
        metadata = None
        if fields is not None:
            metadata = {
                column.name: self._learnt[column.name].convert(
                    columns.get(column.name, [None] * len(group.rows)), self.repaired
                )
                for column in fields
            }
        weight, self._length = self.consumed() - self._length, self.consumed()
        return Rows(
            np.array(group.numbers, np.int64),
            text,
            role(roles.title),
            role(roles.id),
            foreign,
            metadata,
            group.broken,
            weight,
        )


def note_encoding(source: Source, path: Path, asked: str | None) -> Encoding:
    """Find a file's encoding (or check the one asked for), record it, and say it when it is not UTF-8."""
    encoding = find_encoding(path, asked)
    source.facts["encoding"] = str(encoding)
    if str(encoding) != "utf-8":
        source.notes.append(f"{path.name} is read as {encoding}{encoding.grounds}.")
    return encoding

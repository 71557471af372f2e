"""What every source of texts has in common, and what those have that are Arrow from the start."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa

from featurelib.corpus import cells
from featurelib.schema import Refusal

BATCH_ROWS = 4096
BATCH_BYTES = 4 << 20
PEEK_ROWS = 1000


@dataclass(frozen=True)
class Roles:
    """Which columns hold text, title and id; the others are metadata."""

    text: str
    """The column that holds the text."""
    title: str | None = None
    """The column put in front of it."""
    id: str | None = None
    """The column that identifies a text; None for the row number."""


@dataclass(frozen=True)
class Rows:
    """Some consecutive rows of a source."""

    numbers: np.ndarray
    """int64 [n]: the 0-based row numbers in the source, ascending; a row that cannot be read has a number too."""
    text: pa.Array
    """string [n]: the text column; null where the cell is null or no string."""
    title: pa.Array | None
    """string [n], or None without a title column."""
    id: pa.Array | None
    """string [n], or None without an id column."""
    foreign: np.ndarray | None = None
    """bool [n]: the text cell holds something that is no string; None when there is no such cell."""
    metadata: dict[str, pa.Array] | None = None
    """The columns to keep, by name, with their types; None in a survey."""
    broken: Sequence[tuple[int, str]] = ()
    """Rows that could not be read: number and reason."""
    weight: int = 0
    """How much of the source's `size` this is."""


@dataclass
class Source(ABC):
    """Texts with columns, read twice: a survey (role columns only) and, after it, everything up to where it got."""

    name: str
    """The file or folder name, or the id on the hub: never an absolute path."""
    size: int
    """How much there is to read, in `unit`."""
    unit: str = "rows"
    """"rows" or "B" (bytes)."""
    facts: dict[str, Any] = field(default_factory=dict)
    """What was found about the source: encoding, delimiter, renamed columns; JSON."""
    repaired: Counter[str] = field(default_factory=Counter)
    """Cells repaired in the current pass, by kind."""
    notes: list[str] = field(default_factory=list)
    """Sentences that the user should read."""
    own_id: str | None = None
    """The column that identifies a text where none is asked for."""

    def __post_init__(self) -> None:
        """A file's name may be no Unicode; what is written down always is."""
        self.name = cells.repair(self.name)

    def column_names(self) -> list[str]:
        """The names of all columns, for which the whole source may have to be read."""
        return list(self.peek().column_names)

    @abstractmethod
    def peek(self) -> pa.Table:
        """The first rows, each column with its likely type: enough to choose columns by."""

    @abstractmethod
    def survey(self, roles: Roles) -> Iterator[Rows]:
        """Yield all rows with the role columns only, learning the types of the others."""

    @abstractmethod
    def fields(self, roles: Roles) -> pa.Schema:
        """The metadata columns with their types, after a survey."""

    @abstractmethod
    def rows(self, roles: Roles) -> Iterator[Rows]:
        """Yield all rows again with their metadata."""

    def take_types(self, types: Mapping[str, pa.DataType]) -> None:  # noqa: B027  # cells that have types keep them
        """Read columns of untyped cells in these types, after a survey, where no value changes by it."""

    def counts(self) -> dict[str, int]:
        """What the last pass met that is neither a row nor a repaired cell, such as blank lines; zeros left out."""
        return {}


class ArrowSource(Source):
    """A source whose rows come as Arrow batches with a schema known from the start."""

    @abstractmethod
    def batches(self, columns: list[str] | None) -> Iterator[pa.RecordBatch]:
        """Yield the rows in order with these columns (by their unique names), or with all."""

    @abstractmethod
    def schema(self) -> pa.Schema:
        """All columns under unique names."""

    def survey(self, roles: Roles) -> Iterator[Rows]:
        """Yield the role columns of all rows."""
        self._check_text(roles)
        wanted = [name for name in (roles.text, roles.title, roles.id) if name]
        return self._rows(roles, wanted, None)

    def fields(self, roles: Roles) -> pa.Schema:
        """Every column but text and id, in the type it is kept in; binary columns and vectors are left out and said."""
        peeked = self.peek()
        chosen: list[pa.Field] = []
        left_out: dict[str, str] = {}
        for column in self.schema():
            kind = cells.kept_type(column.type)
            if column.name in (roles.text, roles.id):
                continue
            if kind is None:
                left_out[column.name] = "binary"
            elif cells.is_vector(peeked[column.name].combine_chunks()):
                left_out[column.name] = "vectors"
            else:
                chosen.append(pa.field(column.name, kind))
        note_left_out(self, left_out)
        return pa.schema(chosen)

    def rows(self, roles: Roles) -> Iterator[Rows]:
        """Yield all rows with their metadata."""
        fields = self.fields(roles)
        wanted = [name for name in (roles.text, roles.id) if name] + fields.names
        return self._rows(roles, wanted, fields)

    def _check_text(self, roles: Roles) -> None:
        kind = self.schema().field(roles.text).type
        if not cells.is_text(kind):
            texts = [column.name for column in self.schema() if cells.is_text(column.type)]
            raise Refusal(
                f"column '{roles.text}' of {self.name} holds {kind}, not text; columns with text: "
                f"{', '.join(texts) or 'none'}; choose one with --text-column."
            )

    def _rows(self, roles: Roles, wanted: list[str], fields: pa.Schema | None) -> Iterator[Rows]:
        self.repaired.clear()
        first = 0
        for batch in self.batches(list(dict.fromkeys(wanted))):
            role_columns: dict[str, pa.Array] = {}
            for name in filter(None, (roles.text, roles.title, roles.id)):
                role_columns[name] = (
                    role_columns[name] if name in role_columns else cells.as_strings(batch[name], self.repaired)
                )
            metadata = None
            if fields is not None:
                metadata = {
                    column.name: role_columns[column.name]
                    if column.name in role_columns and pa.types.is_string(column.type)
                    else cells.to_kept_type(batch[column.name], column.type, self.repaired)
                    for column in fields
                }
            numbers = np.arange(first, first + batch.num_rows, dtype=np.int64)
            title, own_id = (role_columns.get(name) if name else None for name in (roles.title, roles.id))
            yield Rows(numbers, role_columns[roles.text], title, own_id, metadata=metadata, weight=batch.num_rows)
            first += batch.num_rows


def note_left_out(source: Source, left_out: dict[str, str]) -> None:
    """Record and say which columns are no metadata, once."""
    if left_out and "left_out" not in source.facts:
        source.facts["left_out"] = left_out
        listed = ", ".join(f"'{name}' ({why})" for name, why in left_out.items())
        source.notes.append(f"columns not kept as metadata: {listed}.")


def name_columns(source: Source, names: Sequence[str]) -> list[str]:
    """Give the columns unique names; what had to be renamed is recorded and said."""
    unique = cells.unique_names(names)
    note_renamed(source, {new: old for new, old in zip(unique, names, strict=True) if new != old})
    return unique


def note_renamed(source: Source, renamed: dict[str, str]) -> None:
    """Record and say which columns (new name to old) could not keep their name, once."""
    if renamed and "renamed" not in source.facts:
        source.facts["renamed"] = {new: cells.repair(old) for new, old in renamed.items()}
        listed = ", ".join(f"{old!r} to {new!r}" for new, old in renamed.items())
        source.notes.append(f"columns renamed because a name was empty, unreadable or there twice: {listed}.")

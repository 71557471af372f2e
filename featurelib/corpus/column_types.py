"""What type a column of untyped cells has: learnt from every row, chosen so that no value changes.

A CSV cell is a string: a column becomes a number, date or boolean only when each of its cells could be written back as
it stood ("007", "1.50" and "2020-02-30" stay strings). A JSON cell has a type: a column of several types
becomes JSON.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from typing import Any, Protocol

import pyarrow as pa
import pyarrow.compute as pc

from featurelib.corpus import cells

EXACT = 2**53
"""Up to here a float64 holds every whole number."""


class TypeInference(Protocol):
    """Learns from cells which type one column has."""

    def learn(self, values: Sequence[Any]) -> None:
        """Take more cells into account."""

    def kind(self) -> pa.DataType | None:
        """The type of all cells seen so far; None when the column cannot be metadata."""

    def take(self, kind: pa.DataType) -> None:
        """Take the type `kind` for the column if every cell seen so far can have it; else leave it as it is."""

    def convert(self, values: Sequence[Any], repaired: Counter[str]) -> pa.Array:
        """Bring cells to that type; repaired cells are counted by kind."""


_WHOLE = re.compile(r"(0|-?[1-9]\d{0,17})")
_DECIMAL = re.compile(r"-?\d+(\.\d+)?(e[+-]\d+)?")
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")


def _is_float(cell: str) -> bool:
    if not _DECIMAL.fullmatch(cell):
        return False
    return repr(float(cell)) == cell or (_WHOLE.fullmatch(cell) is not None and abs(int(cell)) <= EXACT)


def _is_date(cell: str) -> bool:
    if not _DATE.fullmatch(cell):
        return False
    try:
        pa.scalar(cell).cast(pa.date32())
    except pa.ArrowInvalid:
        return False
    return True


_TESTS = {
    "int": lambda cell: _WHOLE.fullmatch(cell) is not None,
    "float": _is_float,
    "date": _is_date,
    "lower": lambda cell: cell in ("true", "false"),
    "upper": lambda cell: cell in ("True", "False"),
}
_KINDS = {"int": pa.int64(), "float": pa.float64(), "date": pa.date32(), "lower": pa.bool_(), "upper": pa.bool_()}


class StringTypeInference:
    """The type of a column of CSV cells, which are strings; empty cells are null unless the column stays a string."""

    def __init__(self) -> None:
        """Every type is possible until a cell rules it out."""
        self.possible = list(_TESTS)
        self.filled = False

    def learn(self, values: Sequence[str | None]) -> None:
        """Strike the types that some cell cannot have."""
        if not self.possible:
            return
        cells_seen = {value for value in values if value}
        self.filled = self.filled or bool(cells_seen)
        self.possible = [name for name in self.possible if all(map(_TESTS[name], cells_seen))]

    def kind(self) -> pa.DataType:
        """The first type that every filled cell has; string when there is none."""
        return _KINDS[self.possible[0]] if self.possible and self.filled else pa.string()

    def take(self, kind: pa.DataType) -> None:
        """Any column can be of strings; an empty one, or one that allows several types, can have another of these."""
        allowed = [name for name in self.possible if kind == _KINDS[name]]
        if pa.types.is_string(kind) or allowed:
            self.possible, self.filled = allowed, True

    def convert(self, values: Sequence[str | None], repaired: Counter[str]) -> pa.Array:
        """Bring cells to `kind()`."""
        column = cells.strings(values, repaired)
        kind = self.kind()
        if pa.types.is_string(kind):
            return column
        filled = pc.if_else(pc.equal(column, ""), None, column)
        if pa.types.is_boolean(kind):
            return pc.equal(pc.utf8_lower(filled), "true")
        return filled.cast(kind)


class JsonTypeInference:
    """The type of a column of JSON values."""

    def __init__(self) -> None:
        """Nothing is known yet."""
        self.scalars = _Scalars()
        self.elements = _Scalars()
        self.lengths: set[int] = set()
        self.taken: pa.DataType | None = None

    def learn(self, values: Sequence[Any]) -> None:
        """Note the types of values and of the elements of lists."""
        self.scalars.learn(values)
        if list in self.scalars.types:
            lists = [value for value in values if isinstance(value, list)]
            self.lengths.update(map(len, lists))
            for value in lists:
                self.elements.learn(value)

    @property
    def mixed(self) -> bool:
        """Whether values of more than one type were seen, so that the column is kept as JSON."""
        return len(self.scalars.types) > 1 and self.kind() == pa.string()

    def kind(self) -> pa.DataType | None:
        """The one type of all values, JSON in a string when there is none, None for vectors."""
        if self.taken is not None:
            return self.taken
        if self.scalars.types != {list}:
            return self.scalars.kind() or pa.string()
        inner = self.elements.kind()
        vectors = len(self.lengths) == 1 and min(self.lengths) >= cells.VECTOR_LENGTH
        if vectors and inner is not None and pa.types.is_floating(inner):
            return None
        return pa.list_(inner) if inner is not None else pa.string()

    def take(self, kind: pa.DataType) -> None:
        """Any column can be of JSON in strings, an empty one of anything, and whole numbers of decimals."""
        whole = self.scalars.types == {int} and max(-self.scalars.low, self.scalars.high) <= EXACT
        if pa.types.is_string(kind) or not self.scalars.types or (whole and pa.types.is_float64(kind)):
            self.taken = kind

    def convert(self, values: Sequence[Any], repaired: Counter[str]) -> pa.Array:
        """Bring values to `kind()`."""
        kind = self.kind()
        if pa.types.is_string(kind):
            return cells.strings([cells.to_json(value) for value in values], repaired)
        if kind is not None and cells.is_list(kind) and pa.types.is_string(kind.value_type):
            joined = cells.strings([member for value in values if value for member in value], repaired)
            offsets = [0]
            for value in values:
                offsets.append(offsets[-1] + len(value or ()))
            mask = pa.array([value is None for value in values])
            return pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), joined, mask=mask)
        return pa.array(values, kind)


class _Scalars:
    """The types of some JSON values and the range of the whole numbers among them."""

    def __init__(self) -> None:
        self.types: set[type] = set()
        self.low = self.high = 0

    def learn(self, values: Sequence[Any]) -> None:
        types = set(map(type, values))
        if int in types:
            whole = [value for value in values if type(value) is int]
            self.low, self.high = min(self.low, *whole), max(self.high, *whole)
        self.types |= types - {type(None)}

    def kind(self) -> pa.DataType | None:
        """The Arrow type of all of them; string when nothing was seen; None when no single type holds them exactly."""
        if self.types <= {str}:
            return pa.string()
        if self.types == {bool}:
            return pa.bool_()
        if self.types == {int}:
            return pa.int64() if self.low >= -(2**63) and self.high < 2**63 else None
        if self.types in ({float}, {int, float}):
            return pa.float64() if max(-self.low, self.high) <= EXACT else None
        return None

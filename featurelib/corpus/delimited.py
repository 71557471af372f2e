"""CSV and TSV, row by row, with what is broken told apart from what is odd."""

from __future__ import annotations

import csv
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from featurelib.corpus.column_types import StringTypeInference
from featurelib.corpus.encodings import Lines, find_encoding
from featurelib.corpus.rowwise import Broken, RowSource, counted
from featurelib.corpus.source import name_columns
from featurelib.schema import Refusal

LONGEST_ROW = 10_000_000
"""Characters after which a quote that was opened counts as never closed."""
HEAD_LINES = 5000
"""Lines by which the delimiter and the quoting are found."""
BROKEN_QUOTES = "broken quotes"
WRONG_COUNT = "wrong number of fields"
_ONE_COLUMN = "\x1f"
"""The delimiter of a file with one column: a character that is in no text, so that commas are kept."""


@dataclass(frozen=True)
class Dialect:
    """How fields are told apart."""

    delimiter: str
    """One character."""
    quoting: str = "standard"
    """"standard" (a quote in a quoted field is doubled), "backslash" (it is escaped) or "none"."""

    def reader(self, lines: Iterable[str]) -> Any:
        """A strict reader of the standard library."""
        known: dict[str, dict[str, Any]] = {
            "standard": {},
            "backslash": {"escapechar": "\\", "doublequote": False},
            "none": {"quoting": csv.QUOTE_NONE},
        }
        options = known[self.quoting]
        return csv.reader(lines, delimiter=self.delimiter, strict=True, **options)


class _Feed:
    """Lines handed to the reader, which can be given back when they were swallowed by a quote that never closed."""

    def __init__(self, lines: Iterable[str]) -> None:
        self._lines = iter(lines)
        self._again: deque[str] = deque()
        self._row: list[str] = []
        self._length = 0

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        if self._length > LONGEST_ROW:
            raise StopIteration
        line = self._again.popleft() if self._again else next(self._lines)
        self._row.append(line)
        self._length += len(line)
        return line

    def begin_row(self) -> None:
        self._row, self._length = [], 0

    def give_back(self) -> None:
        """Keep the first line of the row as spent; the others are read again."""
        self._again.extendleft(reversed(self._row[1:]))
        self.begin_row()


def records(lines: Iterable[str], dialect: Dialect) -> Iterator[list[str] | Broken]:
    """Yield the fields of every row, [] for a blank line, Broken for a row whose quotes make no sense.

    Only the first line of a broken row is lost: those after it are read again as rows of their own.
    """
    csv.field_size_limit(2**31 - 1)
    feed = _Feed(lines)
    reader = dialect.reader(feed)
    while True:
        feed.begin_row()
        try:
            yield next(reader)
        except StopIteration:
            return
        except csv.Error:
            feed.give_back()
            yield Broken(BROKEN_QUOTES)


def find_dialect(lines: Sequence[str], delimiters: str) -> Dialect:
    """Choose the delimiter by the header and the quoting by what breaks.

    Another quoting than the standard one is chosen only when most rows with quotes break without it: one stray quote
    must not change how all others are read.
    """
    width = {character: _header_width(lines, Dialect(character)) for character in delimiters}
    delimiter = max(delimiters, key=lambda character: width[character])
    if width[delimiter] == 1:
        delimiter = _ONE_COLUMN
    standard = _count_broken(lines, Dialect(delimiter))
    for quoting, sign in (("backslash", '\\"'), ("none", '"')):
        signs = sum(sign in line for line in lines)
        other = Dialect(delimiter, quoting)
        if standard > signs / 2 > 0 and _count_broken(lines, other) * 10 <= standard:
            return other
    return Dialect(delimiter)


def _header_width(lines: Sequence[str], dialect: Dialect) -> int:
    header = next((row for row in records(lines, dialect) if row), [])
    return 1 if isinstance(header, Broken) else len(header)


def _count_broken(lines: Sequence[str], dialect: Dialect) -> int:
    rows = records(lines, dialect)
    width = next((len(row) for row in rows if not isinstance(row, Broken) and row), 0)
    return sum(isinstance(row, Broken) or len(row) not in (0, width) for row in rows)


class DelimitedSource(RowSource):
    """One CSV or TSV file with a header; blank lines are no rows and are counted."""

    def __init__(self, path: Path, delimiters: str) -> None:
        """Find encoding, dialect and header; Refusal when the file is empty or cannot be decoded."""
        super().__init__(path.name, path.stat().st_size, "B")
        encoding = find_encoding(path)
        self._lines = Lines(path, encoding)
        head = list(islice(self._lines, HEAD_LINES))
        if not any(line.strip() for line in head):
            raise Refusal(f"{path.name} is empty; a header and at least one row are expected.")
        self._dialect = find_dialect(head, delimiters)
        header = next(row for row in records(head, self._dialect) if row)
        if isinstance(header, Broken):
            raise Refusal(
                f"the first row of {path.name} has {BROKEN_QUOTES}; a header with the names of columns is expected."
            )
        self._names = name_columns(self, header)
        self.facts |= {
            "encoding": str(encoding),
            "delimiter": self._dialect.delimiter,
            "quoting": self._dialect.quoting,
        }
        self._tell(str(encoding), delimiters)

    def _tell(self, encoding: str, delimiters: str) -> None:
        if encoding != "utf-8":
            self.notes.append(f"{self.name} is read as {encoding}.")
        if self._dialect.delimiter == _ONE_COLUMN:
            self.facts["delimiter"] = None
            self.notes.append(f"{self.name} has one column, '{self._names[0]}': every row is one text.")
        elif self._dialect.delimiter != delimiters[0]:
            self.notes.append(f"{self.name} has its fields apart by {self._dialect.delimiter!r}.")
        if self._dialect.quoting != "standard":
            words = {"backslash": "quotes escaped by a backslash", "none": "quotes that are part of the text"}
            self.notes.append(f"{self.name} is read with {words[self._dialect.quoting]}.")

    def raw(self) -> Iterator[list[str] | Broken]:
        """Yield the fields of every row after the header."""
        self._blank = 0
        header_seen = False
        for row in records(self._lines, self._dialect):
            if isinstance(row, Broken):
                yield row
            elif not row:
                self._blank += 1
            elif not header_seen:
                header_seen = True
            else:
                yield row if len(row) == len(self._names) else Broken(WRONG_COUNT)

    def counts(self) -> dict[str, int]:
        """Blank lines and lines with bytes that are no character."""
        return counted(blank_lines=self._blank, unreadable_lines=self._lines.replaced)

    def consumed(self) -> int:
        """Bytes read in the current pass."""
        return self._lines.consumed

    def columns(self, rows: list[list[str]]) -> dict[str, Sequence[str]]:
        """Turn rows into columns."""
        return (
            dict(zip(self._names, zip(*rows, strict=True), strict=True)) if rows else {name: [] for name in self._names}
        )

    def type_inference(self) -> StringTypeInference:
        """Type inference on cells that are strings."""
        return StringTypeInference()

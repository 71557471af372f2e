"""CSV and TSV, row by row, with what is broken told apart from what is odd."""

from __future__ import annotations

import csv
import re
from collections import Counter, deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from featurelib.corpus.column_types import StringTypeInference
from featurelib.corpus.encodings import Lines
from featurelib.corpus.formats.row_shape import find_shape
from featurelib.corpus.rowwise import Broken, RowSource, counted, note_encoding
from featurelib.corpus.source import name_columns
from featurelib.schema import Refusal

LONGEST_ROW = 10_000_000
"""Characters after which a quote that was opened counts as never closed."""
HEAD_LINES = 5000
"""Lines by which the delimiter and the quoting are found."""
BROKEN_QUOTES = "broken quotes"
WRONG_COUNT = "wrong number of fields"
_QUOTED_NAMES = re.compile(r'\ufeff?"[^"]*"( "[^"]*")+')
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

    A space is one where the header is nothing but quoted names with a space between, as R's write.table writes it.
    Another quoting than the standard one is chosen only when most rows with quotes break without it: one stray quote
    must not change how all others are read.
    """
    width = {character: _header_width(lines, Dialect(character)) for character in delimiters}
    delimiter = max(delimiters, key=lambda character: width[character])
    if width[delimiter] == 1 and _QUOTED_NAMES.fullmatch(next((line for line in lines if line.strip()), "").strip()):
        delimiter = " "
    elif width[delimiter] == 1:
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
    """How many rows below the header are broken, or have another width than most: R's header is one field short."""
    rows = list(records(lines, dialect))[1:]
    widths = Counter(len(row) for row in rows if not isinstance(row, Broken) and row)
    width = widths.most_common(1)[0][0] if widths else 0
    return sum(isinstance(row, Broken) or len(row) not in (0, width) for row in rows)


def _announced_delimiter(line: str) -> str:
    """The delimiter that Excel's first line `sep=;` names, "" where the line is none."""
    announced = re.fullmatch(r'\ufeff?"?sep=(.)"?\s*', line, re.IGNORECASE)
    return announced[1] if announced else ""


class DelimitedSource(RowSource):
    """One CSV or TSV file with a header; blank lines are no rows and are counted."""

    def __init__(self, path: Path, delimiters: str, encoding: str | None = None) -> None:
        """Find encoding, dialect and header; Refusal when the file is empty or cannot be decoded."""
        super().__init__(path.name, path.stat().st_size, "B")
        self._lines = Lines(path, note_encoding(self, path, encoding))
        head = list(islice(self._lines, HEAD_LINES))
        if not any(line.strip() for line in head):
            raise Refusal(f"{path.name} is empty; a header and at least one row are expected.")
        self._announced = _announced_delimiter(head[0])
        if self._announced:
            head = head[1:]
        self._dialect = find_dialect(head, self._announced or delimiters)
        header, rows = self._split(head)
        shape = find_shape(self.name, header, rows)
        self._names = name_columns(self, list(shape.names))
        self._shape = shape
        self.facts |= {
            "delimiter": self._dialect.delimiter,
            "quoting": self._dialect.quoting,
        }
        self._tell(delimiters)

    def _split(self, head: list[str]) -> tuple[list[str], list[list[str]]]:
        """The header and the first rows whose quotes make sense."""
        parsed = [row for row in records(head, self._dialect) if row]
        header = parsed[0] if parsed else []
        if isinstance(header, Broken) or not header:
            raise Refusal(
                f"the first row of {self.name} has {BROKEN_QUOTES}; a header with the names of columns is expected."
            )
        # the last row may be cut off where the lines that were looked at end
        rows = parsed[1:-1] if len(head) == HEAD_LINES else parsed[1:]
        return header, [row for row in rows if not isinstance(row, Broken)]

    def _tell(self, delimiters: str) -> None:
        if self._announced:
            self.notes.append(f"the first line of {self.name} says which delimiter it has, as Excel writes it.")
        if self._dialect.delimiter == _ONE_COLUMN:
            self.facts["delimiter"] = None
            self.notes.append(f"{self.name} has one column, '{self._names[0]}': every row is one text.")
        elif self._dialect.delimiter != delimiters[0]:
            self.notes.append(f"{self.name} has its fields apart by {self._dialect.delimiter!r}.")
        if self._dialect.quoting != "standard":
            words = {"backslash": "quotes escaped by a backslash", "none": "quotes that are part of the text"}
            self.notes.append(f"{self.name} is read with {words[self._dialect.quoting]}.")
        self.notes += self._shape.notes

    def raw(self) -> Iterator[list[str | None] | Broken]:
        """Yield the fields of every row after the header."""
        self._blank = self._n_short = self._n_long = 0
        header_seen = False
        for row in records(islice(self._lines, bool(self._announced), None), self._dialect):
            if isinstance(row, Broken):
                yield row
            elif not row:
                self._blank += 1
            elif not header_seen:
                header_seen = True
            else:
                yield self._fitted(row)

    def _fitted(self, row: list[str]) -> list[str | None] | Broken:
        fitted = self._shape.fit(row)
        if fitted is None:
            return Broken(WRONG_COUNT)
        self._n_short += len(row) < len(fitted)
        self._n_long += len(row) > len(fitted)
        return fitted

    def counts(self) -> dict[str, int]:
        """Blank lines, lines with bytes that are no character, rows with fields left off or an empty one too many."""
        return counted(
            blank_lines=self._blank,
            unreadable_lines=self._lines.replaced,
            rows_with_fields_left_off=self._n_short,
            rows_with_a_delimiter_too_many=self._n_long,
        )

    def consumed(self) -> int:
        """Bytes read in the current pass."""
        return self._lines.consumed

    def columns(self, rows: list[list[str | None]]) -> dict[str, Sequence[str | None]]:
        """Turn rows into columns."""
        return (
            dict(zip(self._names, zip(*rows, strict=True), strict=True)) if rows else {name: [] for name in self._names}
        )

    def type_inference(self) -> StringTypeInference:
        """Type inference on cells that are strings."""
        return StringTypeInference()

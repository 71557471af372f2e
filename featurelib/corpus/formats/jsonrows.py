"""JSON and JSON lines: objects as rows."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from featurelib.corpus import cells
from featurelib.corpus.column_types import JsonTypeInference
from featurelib.corpus.encodings import Lines
from featurelib.corpus.formats.json_orients import refuse_lists, rows_of
from featurelib.corpus.rowwise import Broken, RowSource, counted, note_encoding
from featurelib.corpus.source import Roles, note_renamed
from featurelib.schema import Refusal

NOT_JSON = "not JSON"
NOT_AN_OBJECT = "not an object"
TEXT = "text"
"""The column of rows that are plain strings."""


class ObjectSource(RowSource):
    """Rows that are dicts; column names in the order of their first appearance."""

    def __init__(self, name: str, size: int) -> None:
        """No column is known before rows are read."""
        super().__init__(name, size, "B")
        self._names: dict[str, str] = {}
        self._repeated = 0

    def columns(self, rows: list[dict[str, Any]]) -> dict[str, Sequence[Any]]:
        """Turn rows into columns; a key that a row has not is None."""
        for row in rows:
            if row.keys() - self._names.keys():
                self._name(row)
        return {name: [row.get(key) for row in rows] for key, name in self._names.items()}

    def _name(self, row: dict[str, Any]) -> None:
        keys = list(self._names) + [key for key in row if key not in self._names]
        self._names = dict(zip(keys, cells.unique_names(keys), strict=True))

    def fields(self, roles: Roles) -> pa.Schema:
        """Every column but text and id; keys that had to be renamed are recorded and said."""
        note_renamed(self, {name: key for key, name in self._names.items() if name != key})
        return super().fields(roles)

    def type_inference(self) -> JsonTypeInference:
        """Type inference on JSON values."""
        return JsonTypeInference()

    def _row(self, value: Any) -> dict[str, Any] | Broken:
        if isinstance(value, str):
            return {TEXT: value}
        return value if isinstance(value, dict) and value else Broken(NOT_AN_OBJECT)

    def _object(self, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        entries = dict(pairs)
        self._repeated += len(entries) < len(pairs)
        return entries


class JsonLinesSource(ObjectSource):
    """One JSON value a line: objects, or strings that are texts; blank lines are no rows and are counted."""

    def __init__(self, path: Path, encoding: str | None = None) -> None:
        """Find the encoding where none is given; Refusal when the file cannot be decoded."""
        super().__init__(path.name, path.stat().st_size)
        self._lines = Lines(path, note_encoding(self, path, encoding))

    def consumed(self) -> int:
        """Bytes read in the current pass."""
        return self._lines.consumed

    def raw(self) -> Iterator[dict[str, Any] | Broken]:
        """Yield every line's object."""
        decoder = json.JSONDecoder(object_pairs_hook=self._object)
        self._repeated = self._blank = 0
        for line in self._lines:
            stripped = line.strip()
            if not stripped:
                self._blank += 1
                continue
            try:
                value = decoder.decode(stripped)
            except (ValueError, RecursionError):
                yield Broken(NOT_JSON)
                continue
            yield self._row(value)

    def counts(self) -> dict[str, int]:
        """Blank lines, lines with bytes that are no character, objects with a key twice (the last one counts)."""
        return counted(
            blank_lines=self._blank, unreadable_lines=self._lines.replaced, objects_with_a_key_twice=self._repeated
        )


class JsonSource(ObjectSource):
    """One JSON file: a list of objects or strings, or a table in one of the shapes of `json_orients`.

    A list is taken apart object by object, so that only the file's text and one batch are in memory.
    """

    def __init__(self, path: Path, encoding: str | None = None) -> None:
        """Read the file's text; Refusal when it is empty or not JSON."""
        super().__init__(path.name, path.stat().st_size)
        lines = Lines(path, note_encoding(self, path, encoding))
        self._text = "".join(lines)
        self._replaced = lines.replaced
        self._position = 0
        if not self._text.strip():
            raise Refusal(f"{path.name} is empty; a list of objects is expected.")
        self.size = len(self._text)
        self._columns = None if self._text.lstrip()[0] == "[" else rows_of(self.name, self._decoded())

    def consumed(self) -> int:
        """Characters read in the current pass."""
        return self._position

    def raw(self) -> Iterator[dict[str, Any] | Broken]:
        """Yield every object."""
        self._repeated = self._repeated if self._columns is not None else 0
        self._position = 0
        for value in self._listed() if self._columns is None else self._spread():
            yield self._row(value)
        self._position = self.size

    def counts(self) -> dict[str, int]:
        """Lines with bytes that are no character, objects with a key twice (the last one counts)."""
        return counted(unreadable_lines=self._replaced, objects_with_a_key_twice=self._repeated)

    def _spread(self) -> Iterator[Any]:
        columns = self._columns or []
        for number, value in enumerate(columns):
            self._position = self.size * number // len(columns)
            yield value

    def _decoded(self) -> Any:
        try:
            return json.JSONDecoder(object_pairs_hook=self._object).decode(self._text.strip())
        except (ValueError, RecursionError) as error:
            raise self._refusal(error) from error

    def _refusal(self, error: ValueError | RecursionError) -> Refusal:
        if not isinstance(error, json.JSONDecodeError):
            return Refusal(f"{self.name} cannot be read ({str(error)[:120]}); a list of plain objects is expected.")
        mend = "if every line is an object of its own, name the file .jsonl" if "Extra data" in error.msg else "mend it"
        return Refusal(f"{self.name} is not JSON at line {error.lineno}, column {error.colno} ({error.msg}); {mend}.")

    def _listed(self) -> Iterator[Any]:
        decoder = json.JSONDecoder(object_pairs_hook=self._object)
        space = json.decoder.WHITESPACE  # type: ignore[attr-defined]  # the standard library's own, not declared
        text = self._text
        at = space.match(text, text.index("[") + 1).end()
        while text[at : at + 1] != "]":
            try:
                value, at = decoder.raw_decode(text, at)
            except (ValueError, RecursionError) as error:
                raise self._refusal(error) from error
            self._position = at
            refuse_lists(self.name, value)
            yield value
            at = space.match(text, at).end()
            if text[at : at + 1] == ",":
                at = space.match(text, at + 1).end()
            elif text[at : at + 1] != "]":
                raise self._refusal(json.JSONDecodeError("',' or ']' expected", text, at))
        rest = space.match(text, at + 1).end()
        if rest < len(text):
            raise self._refusal(json.JSONDecodeError("Extra data", text, rest))

"""Parquet files as a source of texts."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from featurelib.corpus import cells
from featurelib.corpus.source import BATCH_ROWS, PEEK_ROWS, ArrowSource, name_columns
from featurelib.schema import Refusal


class ParquetSource(ArrowSource):
    """One Parquet file, read in batches; page checksums are verified where the file has them."""

    def __init__(self, path: Path) -> None:
        """Open the file and read its footer; Refusal when it is damaged or empty."""
        self._path = path
        with self._opened() as opened:
            super().__init__(path.name, opened.metadata.num_rows)
            arrow = opened.schema_arrow
        self._own_names = arrow.names
        names = name_columns(self, arrow.names)
        self._schema = pa.schema([pa.field(name, column.type) for name, column in zip(names, arrow, strict=True)])
        self._as_text: tuple[str, ...] = ()
        self._peeked: pa.Table | None = None
        self._take_bytes_for_text()

    def _take_bytes_for_text(self) -> None:
        """Read columns of bytes as strings where the first rows are UTF-8: some writers leave the annotation out."""
        first = self.peek()
        unmarked = [column.name for column in first.schema if _is_unmarked_text(first[column.name])]
        if unmarked:
            self._as_text = tuple(unmarked)
            self._peeked = None
            for name in unmarked:
                place = self._schema.get_field_index(name)
                self._schema = self._schema.set(place, pa.field(name, pa.string()))
            self.facts["bytes_as_text"] = unmarked
            self.notes.append(f"columns of bytes that are read as UTF-8 text: {', '.join(unmarked)}.")

    def _opened(self) -> pq.ParquetFile:
        try:
            return pq.ParquetFile(self._path, pre_buffer=False, page_checksum_verification=True)
        except (pa.ArrowException, OSError) as error:
            raise Refusal(
                f"{self._path.name} is not a whole Parquet file ({_first_words(error)}); write or copy it again."
            ) from error

    def schema(self) -> pa.Schema:
        """All columns under unique names."""
        return self._schema

    def peek(self) -> pa.Table:
        """The first thousand rows."""
        if self._peeked is None:
            first = next(self.batches(None, PEEK_ROWS), None)
            self._peeked = self._schema.empty_table() if first is None else pa.Table.from_batches([first])
        return self._peeked

    def batches(self, columns: list[str] | None, size: int = BATCH_ROWS) -> Iterator[pa.RecordBatch]:
        """Yield record batches of up to `size` rows."""
        own = self._own_names
        twice = len(set(own)) < len(own)
        # A name that is there twice can only be read with all columns; otherwise only what is wanted leaves the disk.
        wanted = None if columns is None or twice else [own[self._schema.get_field_index(name)] for name in columns]
        with self._opened() as opened:
            try:
                for batch in opened.iter_batches(size, columns=wanted, use_threads=False):
                    names = (
                        self._schema.names if wanted is None else [self._new_name(name) for name in batch.schema.names]
                    )
                    columns_read = [
                        cells.valid(column, self.repaired) if name in self._as_text else column
                        for name, column in zip(names, batch.columns, strict=True)
                    ]
                    whole = pa.RecordBatch.from_arrays(columns_read, names=names)
                    yield whole if columns is None else whole.select(columns)
            except (pa.ArrowException, OSError) as error:
                raise Refusal(
                    f"{self.name} cannot be read to its end ({_first_words(error)}); write or copy it again."
                ) from error

    def _new_name(self, own: str) -> str:
        return str(self._schema.names[self._own_names.index(own)])


def _first_words(error: BaseException) -> str:
    return " ".join(str(error).split())[:120]


def _is_unmarked_text(column: pa.ChunkedArray) -> bool:
    """Whether a column of bytes holds UTF-8 without control characters, as far as its first rows go."""
    if not cells.is_bytes(column.type):
        return False
    values = [value for value in column.to_pylist() if value]
    return bool(values) and all(_is_printable(value) for value in values)


def _is_printable(raw: bytes) -> bool:
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return all(character.isprintable() or character.isspace() for character in text)

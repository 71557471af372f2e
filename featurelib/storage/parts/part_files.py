"""Part files of a table: in the generation's folder, or in another place, to which a small file in the folder points.

A pointer, part-00000.json, is written when its part is whole in the place: a part without a pointer does not exist. It
says where the part lies, how long it is, its sha256 and its number of rows, so the manifest, which lists the pointer,
speaks for the part too.
"""

from __future__ import annotations

import contextlib
import hashlib
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import pyarrow as pa
import pyarrow.parquet as pq

from featurelib.schema import Refusal
from featurelib.storage import files
from featurelib.storage.parts.part_places import Place, parse_place

PART, POINTER = ".parquet", ".json"
STORED = "stored://parts/"
"""What the name of a part in another place begins with in DuckDB, which reads those of its store's views only."""

KEY = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*/g[0-9]{4,}(/[a-z_]+)+/(part-[0-9]{5,})[.]parquet")
"""What the key of a part looks like: RUN/GENERATION/TABLE/PART, and so no way out of its place."""


@dataclass(frozen=True)
class StoredPart:
    """A part file that lies in another place."""

    place: str
    """The place, as `part_places.parse_place` writes it."""
    key: str
    """The file in the place, such as demo/g0001/embeddings/part-00000.parquet."""
    n_bytes: int
    """Its size."""
    sha256: str
    """The hexadecimal sha256 of its bytes."""
    n_rows: int
    """Its number of rows."""

    @property
    def name(self) -> str:
        """The name of the file, such as part-00000.parquet."""
        return self.key.rpartition("/")[2]

    def difference(self, size: int | None) -> str | None:
        """What is wrong with its size in the place, where it is listed with `size` bytes; None where nothing is."""
        if size is None:
            return f"{self.key} is missing in {Place(self.place).shown}; its pointer lists {self.n_bytes} bytes."
        if size != self.n_bytes:
            return f"{self.key} in {Place(self.place).shown} has {size} bytes; its pointer says {self.n_bytes}."
        return None

    def read_back(self) -> str | None:
        """Read the part whole and say what is wrong with it; None where it is as it was written."""
        try:
            same = Place(self.place).sha256(self.key) == self.sha256
        except FileNotFoundError:
            return self.difference(None)
        return None if same else f"{self.key} in {Place(self.place).shown} has changed: its sha256 is another."


Part: TypeAlias = Path | StoredPart
"""A part file, wherever it lies."""


@dataclass(frozen=True)
class PartFile:
    """Where one part is written, and may be already."""

    path: Path
    """The file in the generation's folder, where it lies unless it is in a place."""
    place: str | None = None
    """The place that it is written to; None for the generation's folder."""
    key: str = ""
    """The file in the place."""

    @property
    def exists(self) -> bool:
        """Whether the part is whole, in the folder or in a place."""
        return self.path.is_file() or self._pointer.is_file()

    @property
    def part(self) -> Part:
        """The part, which exists."""
        return self.path if self.path.is_file() else read_pointer(self._pointer)

    def write(
        self, batches: pa.Table | Iterable[pa.RecordBatch], schema: pa.Schema, row_group: int = files.ROW_GROUP
    ) -> int:
        """Write the part, the same bytes wherever it goes, and return its number of rows; see `files.write_parquet`."""
        if self.place is None:
            return files.write_parquet(self.path, batches, schema, row_group)
        content, n_rows = files.parquet_bytes(batches, schema, row_group)
        Place(self.place).write(self.key, content)
        pointer = {
            "place": self.place,
            "key": self.key,
            "bytes": content.size,
            "sha256": hashlib.sha256(content).hexdigest(),
            "rows": n_rows,
        }
        files.write_json(self._pointer, pointer)
        return n_rows

    @property
    def _pointer(self) -> Path:
        return self.path.with_suffix(POINTER)


@dataclass(frozen=True)
class PartFolder:
    """Where the parts of one table are written."""

    path: Path
    """The folder in the generation."""
    place: str | None = None
    """The place; None for the generation's folder."""
    key: str = ""
    """The folder in the place."""

    def file(self, name: str) -> PartFile:
        """The part called `name`, such as part-00000.parquet."""
        return PartFile(self.path / name, self.place, f"{self.key}/{name}")

    def number(self, number: int) -> PartFile:
        """The part with this number."""
        return self.file(f"part-{number:05d}{PART}")


def parts_in(folder: Path) -> list[Part]:
    """The parts in a folder, and those that it points to, in order."""
    # where a build went on without a place, a part may be there both ways: the file comes last, and is read
    by_name = {path.stem: path for path in sorted(folder.glob("part-*")) if path.suffix in (PART, POINTER)}
    return [path if path.suffix == PART else read_pointer(path) for path in by_name.values()]


def pointed_at(folder: Path) -> list[StoredPart]:
    """The parts that a folder points to; a pointer that cannot be read is passed over: the folder goes."""
    parts = []
    for path in sorted(folder.glob(f"part-*{POINTER}")):
        with contextlib.suppress(Refusal):
            parts.append(read_pointer(path))
    return parts


def is_pointer(name: str) -> bool:
    """Whether a file of a generation, by its name in the manifest, points to a part."""
    return name.endswith(POINTER) and name.rpartition("/")[2].startswith("part-")


def read_pointer(path: Path) -> StoredPart:
    """Read the part that a pointer points to; Refusal where the pointer is damaged, or points to what is no part."""
    content = files.read_json(path)
    try:
        part = StoredPart(content["place"], content["key"], content["bytes"], content["sha256"], content["rows"])
        key = KEY.fullmatch(part.key)
        is_part = key is not None and key[2] == path.stem and part.place.isprintable()
        if not is_part or parse_place(part.place) != part.place or part.n_bytes < 0 or part.n_rows < 0:
            raise ValueError("not written by PartFile.write")
    except (TypeError, KeyError, ValueError, AttributeError, Refusal) as error:
        raise files.damaged(path, "place, key, bytes, sha256 and rows of a part are expected") from error
    return part


def count_rows(part: Part) -> int:
    """The number of rows of a part; of one in a place nothing is read."""
    return part.n_rows if isinstance(part, StoredPart) else int(pq.read_metadata(part).num_rows)


def read_part(part: Part, columns: list[str] | None = None) -> pa.Table:
    """Read a part, or some columns of it."""
    if not isinstance(part, StoredPart):
        return pq.read_table(part, columns=columns)
    with Place(part.place).open(part.key) as opened:
        return pq.read_table(opened, columns=columns)


def read_part_schema(part: Part) -> pa.Schema:
    """Read what columns a part has."""
    if not isinstance(part, StoredPart):
        return pq.read_schema(part)
    with Place(part.place).open(part.key) as opened:
        return pq.read_schema(opened)


def read_batches(part: Part, n_rows_at_once: int, columns: list[str] | None = None) -> Iterator[pa.RecordBatch]:
    """Read a part in pieces of at most so many rows: of `columns` those that it has."""
    if isinstance(part, StoredPart):
        with Place(part.place).open(part.key) as stored:
            yield from _batches(pq.ParquetFile(stored), n_rows_at_once, columns)
    else:
        with pq.ParquetFile(part) as opened:
            yield from _batches(opened, n_rows_at_once, columns)


def _batches(opened: Any, n_rows_at_once: int, columns: list[str] | None) -> Iterator[pa.RecordBatch]:
    known = columns if columns is None else [name for name in columns if name in opened.schema_arrow.names]
    yield from opened.iter_batches(n_rows_at_once, columns=known)

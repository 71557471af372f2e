"""Parts in other places as files that DuckDB reads, without an extension of its own: it asks for pieces of them."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from datetime import datetime
from typing import Any

from fsspec.spec import AbstractFileSystem

from featurelib.schema import Table
from featurelib.storage.parts.part_files import STORED, StoredPart
from featurelib.storage.parts.part_places import Place

WRITTEN = datetime(2000, 1, 1)
"""A part never changes, so one time does for all."""


class StoredFiles(AbstractFileSystem):  # type: ignore[misc]  # fsspec comes without types
    """The parts of one store, by the names that its views have for them; there are no other files."""

    protocol = STORED.partition(":")[0]
    cachable = False

    def __init__(self) -> None:
        super().__init__()
        self._parts: dict[str, StoredPart] = {}

    def add(self, table: Table, part: StoredPart) -> str:
        """Let DuckDB read a part; returns its name."""
        name = f"{STORED}{table.path}/{part.name}"
        self._parts[name] = part
        return name

    @classmethod
    def _strip_protocol(cls, path: str) -> str:
        return path

    def exists(self, path: str, **kwargs: Any) -> bool:
        """Whether there is such a part."""
        return path in self._parts

    def glob(self, path: str, maxdepth: int | None = None, **kwargs: Any) -> list[str]:
        """The parts that a pattern means: a name is its own only one."""
        return [path] if path in self._parts else []

    def size(self, path: str) -> int:
        """The size of a part, from its pointer."""
        return self._find(path).n_bytes

    def modified(self, path: str) -> datetime:
        """When a part was written."""
        return WRITTEN

    def _open(self, path: str, mode: str = "rb", **kwargs: Any) -> _OpenPart:
        if mode != "rb":
            raise PermissionError(f"{path} is only read")
        return _OpenPart(self._find(path))

    def _find(self, path: str) -> StoredPart:
        if path not in self._parts:
            raise FileNotFoundError(path)
        return self._parts[path]


class _OpenPart:
    """A part that is read piece by piece; its place is asked when the first is read, because most are only opened.

    DuckDB's threads share it, and each says where it reads before it reads: so each has a position of its own.
    """

    def __init__(self, part: StoredPart) -> None:
        self._part = part
        self._at: dict[int, int] = {}
        self._lock = threading.Lock()
        self._read_at: Callable[[int, int], bytes] | None = None

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Go to a position."""
        begin = {os.SEEK_SET: 0, os.SEEK_CUR: self.tell(), os.SEEK_END: self._part.n_bytes}[whence]
        self._at[threading.get_ident()] = begin + offset
        return begin + offset

    def tell(self) -> int:
        """The position."""
        return self._at.get(threading.get_ident(), 0)

    def read(self, n_bytes: int = -1) -> bytes:
        """Read so many bytes from the position on; Refusal where the place does not give them."""
        start = self.tell()
        left = self._part.n_bytes - start
        piece = self._open()(left if n_bytes < 0 else min(n_bytes, left), start)
        self.seek(start + len(piece))
        return piece

    def close(self) -> None:
        """Let the part go."""
        self._read_at = None

    def _open(self) -> Callable[[int, int], bytes]:
        with self._lock:
            if self._read_at is None:
                self._read_at = Place(self._part.place).read_at(self._part.key)
            return self._read_at

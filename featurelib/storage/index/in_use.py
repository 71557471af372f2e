"""The index that a store answers from: looked for now and then, and put aside when it cannot be read."""

from __future__ import annotations

import contextlib
import logging
import sqlite3
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import pyarrow as pa

from featurelib.schema import Refusal
from featurelib.storage.index import whole
from featurelib.storage.index.opened import Index, opened
from featurelib.storage.runs import Generation
from featurelib.storage.time_limits import too_long

Answer = TypeVar("Answer")

MISTAKES = (sqlite3.ProgrammingError, OverflowError, TypeError)
"""What a wrong question raises."""
DAMAGED = (sqlite3.DatabaseError, OSError, ValueError, IndexError, RuntimeError, AssertionError, pa.ArrowException)
"""What reading an index raises that is not as it was written."""
ASIDE_SECONDS = 60.0
"""How long a store answers without an index that it could not read."""
LOOK_SECONDS = 2.0
"""How often an index is looked for, or whether it is still there."""
LOG = logging.getLogger(__name__)


class IndexInUse:
    """One generation's index, for any number of threads."""

    def __init__(self, generation: Generation, forget: Callable[[], object]) -> None:
        """Let `forget` be called when answers that came from the index are no longer to be trusted."""
        self.generation, self.forget = generation, forget
        self._index: Index | None = None
        self.next_look = 0.0
        """When it is looked for next (time.monotonic)."""

    @property
    def index(self) -> Index | None:
        """The index, None where there is none: while it is made, or where it can be written nowhere."""
        self.look()
        return self._index

    def look(self) -> None:
        """Look now and then whether there is an index; put it aside when it is no longer the one that was opened."""
        now, index = time.monotonic(), self._index
        if now < self.next_look:
            return
        self.next_look = now + LOOK_SECONDS
        if index is not None and whole.stamp(index.folder) != index.stamp:
            self._put_aside(index)
        if self._index is None:
            folder = whole.find(self.generation)
            self._index = None if folder is None else opened(folder)

    def read(self, read: Callable[[Index], Answer], seconds: float | None) -> Answer | None:
        """Return what `read` finds; None without an index, or when it is damaged: then it is dropped.

        Refusal when SQLite was interrupted after `seconds`.
        """
        index = self.index
        if index is None:
            return None
        try:
            return read(index)
        except sqlite3.OperationalError as stopped:
            if seconds is not None and "interrupted" in str(stopped):
                raise too_long(seconds) from stopped
            self._drop(index, str(stopped))
        except Refusal:
            raise
        except MISTAKES:  # DuckDB says what is wrong with the question, or answers it
            pass
        except DAMAGED as damaged:
            self._drop(index, str(damaged))
        return None

    def close(self) -> None:
        """Close its files."""
        if self._index is not None:
            self._index.rows.close()

    def _drop(self, index: Index, reason: str) -> None:
        """Answer without the index for a while, and remove it if a file of it is not as it was written."""
        if self._index is index:  # and not another one in its place
            self.next_look = time.monotonic() + ASIDE_SECONDS
        self._put_aside(index)
        run = self.generation.path.parent.name
        LOG.warning("the index of run '%s' cannot be read (%s); it is compared", run, reason)
        threading.Thread(target=_remove_changed, args=(index.folder,), name="compare index", daemon=True).start()

    def _put_aside(self, index: Index) -> None:
        if self._index is index:
            self._index = None
        self.forget()


def _remove_changed(folder: Path) -> None:
    """Remove an index of which a file is not as it was written."""
    with contextlib.suppress(Refusal):
        if any(is_changed for _, is_changed in whole.changed(folder)):
            whole.remove(folder)

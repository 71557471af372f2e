"""Watching the files of the runs that are read: hashed once after a run is opened, and again now and then.

Parquet does not notice a flipped bit, and a page that asks every file's hash first would be slow. So one thread of low
priority hashes behind the pages, and a page asks what that thread has found so far.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

from featurelib.schema import Refusal
from featurelib.storage.index import whole
from featurelib.storage.run_manifest import verify
from featurelib.storage.runs import Generation

LOG = logging.getLogger(__name__)
Stamp: TypeAlias = tuple[int, int, int, int]
"""Device, inode, size and time (ns) of a file: while they stand, its hash is taken to stand."""

BUFFER = 4 * 2**20
"""Bytes that are hashed at once, without the interpreter's lock; small pieces would ask for the lock all the time."""
MOST_HASHES = 100_000
LOWER = 10
"""The thread's niceness: a tenth of what others get. With the lowest, 19, a busy machine would never finish a run."""


@dataclass(frozen=True)
class Pace:
    """How often files are looked at."""

    start: float = 3.0
    """Seconds from the first page of a run to the first hash, so that the first page has the disk for itself."""
    look: float = 10.0
    """Seconds between two looks at the stamps of all files."""
    again: float = 20.0
    """Seconds between two hashings of all files, whatever their stamps: a bit may flip without a new time."""
    share: float = 0.02
    """The share of a core that hashing again may take: what takes a minute to hash is hashed every 50 minutes."""
    rest: float = 120.0
    """A run that nobody has read for so many seconds is not looked at."""


@dataclass
class _Watched:
    """One generation that is, or was, read."""

    generation: Generation
    due: float
    """When its files are looked at next."""
    hash_due: float
    """When they are hashed again next, whatever their stamps."""
    read: float
    """When it was read last."""
    wrong: dict[str, str] = field(default_factory=dict)
    """A sentence for each file that is not as it was built, by name."""
    spent: float = 0.0
    """Seconds of processor time that the last pass over its files took, or the present one so far."""
    steps: Iterator[None] | None = None
    """The pass over its files that is under way; each step is one file."""


class FileWatch:
    """The files of any number of generations; one thread, which sleeps while nobody reads."""

    def __init__(self, pace: Pace | None = None) -> None:
        self.pace = pace or Pace()
        self.n_hashed = 0
        """Files hashed so far."""
        self._changed = threading.Condition()
        self._watched: dict[Path, _Watched] = {}
        self._hashes: dict[Stamp, str] = {}
        self._thread: threading.Thread | None = None

    def read(self, generation: Generation) -> dict[str, str]:
        """Note that a page of `generation` is being read; what is known to be wrong with its files, by name.

        Costs microseconds. A generation that is not complete has nothing to be compared with.
        """
        if not generation.complete:
            return {}
        now = time.monotonic()
        with self._changed:
            watched = self._watched.get(generation.path)
            if watched is None:
                begin = now + self.pace.start
                watched = self._watched[generation.path] = _Watched(generation, begin, begin + self.pace.again, -1.0)
            asleep = now - watched.read > self.pace.rest
            watched.read = now
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._work, name="file watch", daemon=True)
                self._thread.start()
            elif asleep:
                self._changed.notify()
            return dict(watched.wrong)

    def _work(self) -> None:
        _lower_priority()
        while True:
            for watched in self._next():
                self._step(watched)

    def _next(self) -> list[_Watched]:
        """Wait until the files of some generations are to be looked at; those that are read, one file each in turn."""
        with self._changed:
            while True:
                now = time.monotonic()
                read = [watched for watched in self._watched.values() if now - watched.read <= self.pace.rest]
                due = [watched for watched in read if watched.steps is not None or watched.due <= now]
                if due:
                    return due
                self._changed.wait(min((watched.due - now for watched in read), default=None))

    def _step(self, watched: _Watched) -> None:
        if watched.steps is None:
            watched.steps = self._pass(watched)
        started = time.thread_time()  # not that of the clock: on a busy machine this thread mostly waits for its turn
        try:
            next(watched.steps)
        except StopIteration:
            watched.steps = None
        watched.spent += time.thread_time() - started

    def _pass(self, watched: _Watched) -> Iterator[None]:
        """Compare each file with the manifest; a step for each. Where one vanishes on the way, the next pass tells."""
        watched.spent = 0.0
        again = time.monotonic() >= watched.hash_due
        wrong: dict[str, str] = {}
        with contextlib.suppress(OSError):
            try:
                for name, sentence in self._compared(watched.generation, again):
                    if sentence:
                        wrong[name] = sentence
                        self._note(watched, watched.wrong | wrong)
                    yield
                yield from self._index_pass(watched.generation, again)
            except Refusal as damaged:
                wrong = {"manifest.json": str(damaged)}
            self._note(watched, wrong)
        now = time.monotonic()
        watched.due = now + self.pace.look
        if again:
            watched.hash_due = now + max(self.pace.again, watched.spent / self.pace.share)

    def _compared(self, generation: Generation, again: bool) -> Iterator[tuple[str, str | None]]:
        # parts in another place are not read over and over: `verify` on the command line does that
        return verify(generation, lambda path: self._sha256(path, again), reads_back=False)

    def _index_pass(self, generation: Generation, again: bool) -> Iterator[None]:
        """Compare an index with its own list; one that is not as it was written is removed, and so made anew."""
        place = whole.find(generation)
        if place is None:
            return
        for name, is_changed in whole.changed(place, lambda path: self._sha256(path, again)):
            if is_changed:
                LOG.warning(
                    "%s of the index of run '%s' has changed: it is made anew", name, generation.path.parent.name
                )
                whole.remove(place)
                return
            yield

    def _note(self, watched: _Watched, wrong: dict[str, str]) -> None:
        with self._changed:
            watched.wrong = wrong

    def _sha256(self, path: Path, again: bool) -> str:
        before = _stamp(path)
        if not again and before in self._hashes:
            return self._hashes[before]
        digest = _hashed(path)
        self.n_hashed += 1
        self._hashes.pop(before, None)
        while len(self._hashes) >= MOST_HASHES:
            self._hashes.pop(next(iter(self._hashes)))
        if _stamp(path) == before:
            self._hashes[before] = digest
        return digest


def _stamp(path: Path) -> Stamp:
    status = path.stat()
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns


def _hashed(path: Path) -> str:
    digest, buffer = hashlib.sha256(), bytearray(BUFFER)
    with path.open("rb", buffering=0) as opened:
        while n_bytes := opened.readinto(buffer):
            digest.update(memoryview(buffer)[:n_bytes])
    return digest.hexdigest()


def _lower_priority() -> None:
    """Give this thread what time others leave, where threads have a priority of their own."""
    if sys.platform == "linux":
        with contextlib.suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), LOWER)

"""Ending what takes too long: one thread watches all questions that have a limit, and sleeps while there are none."""

from __future__ import annotations

import contextlib
import itertools
import threading
import time
from collections.abc import Callable, Iterator

AGAIN = 0.2
"""Seconds between two interrupts of one question."""


class _Watcher:
    """Calls the `interrupt` of each question that goes on after its end, until it stops."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._questions: dict[int, tuple[float, Callable[[], object]]] = {}
        self._numbers = itertools.count()
        self._wakes = float("inf")
        self._started = False

    def begin(self, seconds: float, interrupt: Callable[[], object]) -> int:
        """Watch a question; returns its number. A thread for each would cost a millisecond, this costs a few µs."""
        end = time.monotonic() + seconds
        with self._changed:
            if not self._started:
                threading.Thread(target=self._watch, name="time limits", daemon=True).start()
                self._started = True
            number = next(self._numbers)
            self._questions[number] = (end, interrupt)
            if end < self._wakes:
                self._changed.notify()
        return number

    def end(self, number: int) -> None:
        """Watch it no longer; afterwards it is not interrupted."""
        with self._changed:
            self._questions.pop(number, None)

    def _watch(self) -> None:
        with self._changed:
            while True:
                now = time.monotonic()
                for number, (end, interrupt) in self._questions.items():
                    if end <= now:
                        interrupt()
                        # again until it ends: one that comes while the question is still planned is forgotten
                        self._questions[number] = (now + AGAIN, interrupt)
                self._wakes = min((end for end, _ in self._questions.values()), default=float("inf"))
                self._changed.wait(None if self._wakes == float("inf") else self._wakes - now)


_WATCHER = _Watcher()


@contextlib.contextmanager
def limited(seconds: float | None, interrupt: Callable[[], object]) -> Iterator[None]:
    """Call `interrupt` in another thread when the block takes longer than `seconds`; None for no limit.

    `interrupt` is never called after the block, so it may be that of a cursor that is closed then.
    """
    if seconds is None:
        yield
        return
    number = _WATCHER.begin(seconds, interrupt)
    try:
        yield
    finally:
        _WATCHER.end(number)

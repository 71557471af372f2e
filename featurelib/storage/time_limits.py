"""Ending what takes too long, or whose reader has left: one thread watches all questions that have a limit.

It sleeps while there are none.
"""

from __future__ import annotations

import contextlib
import itertools
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from featurelib.schema import Refusal

AGAIN = 0.2
"""Seconds between two interrupts of one question, and between two looks whether its reader has left."""
_asking = threading.local()
"""Whether the reader for whom this thread asks has left."""


def asks_for(has_left: Callable[[], bool]) -> None:
    """Let `has_left` say, at once and without failing, whether the reader has left for whom this thread asks."""
    _asking.has_left = has_left


@dataclass
class _Question:
    """A question that goes on."""

    end: float
    """When it is to be ended."""
    interrupt: Callable[[], object]
    has_left: Callable[[], bool] | None
    looks: float
    """When it is looked at next."""


class _Watcher:
    """Calls the `interrupt` of each question that goes on after its end, until it stops."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._questions: dict[int, _Question] = {}
        self._numbers = itertools.count()
        self._wakes = float("inf")
        self._started = False

    def begin(self, seconds: float, interrupt: Callable[[], object]) -> int:
        """Watch a question; returns its number. A thread for each would cost a millisecond, this costs a few µs."""
        now, has_left = time.monotonic(), getattr(_asking, "has_left", None)
        end = now + seconds
        looks = end if has_left is None else min(end, now + AGAIN)
        with self._changed:
            if not self._started:
                threading.Thread(target=self._watch, name="time limits", daemon=True).start()
                self._started = True
            number = next(self._numbers)
            self._questions[number] = _Question(end, interrupt, has_left, looks)
            if looks < self._wakes:
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
                for question in self._questions.values():
                    if question.looks <= now:
                        # again until it ends: one that comes while the question is still planned is forgotten
                        question.looks = now + AGAIN
                        if question.end <= now or (question.has_left is not None and question.has_left()):
                            question.interrupt()
                self._wakes = min((question.looks for question in self._questions.values()), default=float("inf"))
                self._changed.wait(None if self._wakes == float("inf") else self._wakes - now)


_WATCHER = _Watcher()


@contextlib.contextmanager
def limited(seconds: float | None, interrupt: Callable[[], object]) -> Iterator[None]:
    """Call `interrupt` in another thread when the block takes longer than `seconds`; None for no limit.

    The same where the reader has left for whom this thread asks (`asks_for`).
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


def too_long(seconds: float) -> Refusal:
    """The Refusal of a question of this thread that was ended: its reader has left, or it took too long."""
    has_left = getattr(_asking, "has_left", None)
    if has_left is not None and has_left():
        return Refusal("the page was left, so its question was ended.")
    return Refusal(
        f"the question took longer than {seconds:g} seconds, so it was ended; narrow it, or ask again when the machine "
        "is less busy."
    )

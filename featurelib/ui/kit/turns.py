"""Taking turns: Python runs one thread at a time, so a hundred pages that are drawn at once all come late.

Measured with a hundred readers for 90 s (benchmarks/readers), a click costs 60 ms of CPU when all draw at once, and 48
when two do and the others wait: 23 instead of 18 clicks a second.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections import deque
from collections.abc import Iterator

AT_ONCE = 2
"""Pages that are drawn at once: while one waits for a file or a question, the others go on."""
LONGEST = 0.3
"""Seconds after which a page no longer counts: one that waits for its question or the worker is in nobody's way."""


class Turns:
    """Lets a few threads at once do their work, in the order in which they come."""

    def __init__(self, at_once: int = AT_ONCE, longest: float = LONGEST) -> None:
        self.at_once, self.longest = at_once, longest
        self._lock = threading.Lock()
        self._waiting: deque[threading.Event] = deque()
        self._ends: dict[threading.Event, float] = {}
        """When those whose turn it is no longer count (time.monotonic)."""

    @contextlib.contextmanager
    def turn(self) -> Iterator[None]:
        """Wait for a turn, then have it until the block ends."""
        own = threading.Event()
        with self._lock:
            self._waiting.append(own)
        while not self._begin(own):
            own.wait(self._patience(own))
            own.clear()
        try:
            yield
        finally:
            with self._lock:
                del self._ends[own]
                self._wake_first()

    def _begin(self, own: threading.Event) -> bool:
        with self._lock:
            now = time.monotonic()
            n_drawing = sum(end > now for end in self._ends.values())
            if self._waiting[0] is not own or n_drawing >= self.at_once:
                return False
            self._waiting.popleft()
            self._ends[own] = now + self.longest
            self._wake_first()
            return True

    def _patience(self, own: threading.Event) -> float | None:
        """Seconds until the next of those whose turn it is no longer counts; who is not the first is woken then."""
        with self._lock:
            now = time.monotonic()
            ends = [end - now for end in self._ends.values() if end > now]
            return min(ends, default=0.0) if self._waiting[0] is own else None

    def _wake_first(self) -> None:
        if self._waiting:
            self._waiting[0].set()

"""Making indexes beside a server: one run's after the other, each in a process of its own, of low priority."""

from __future__ import annotations

import logging
import queue
import subprocess
import sys
import threading
import time
from pathlib import Path

from featurelib.storage.runs import Generation

PROJECT = Path(__file__).resolve().parents[3]
MAKING = "featurelib.search"
"""The package whose `__main__` makes all indexes of a run; it stands above this one."""
AGAIN = 300.0
"""Seconds until an index is tried again that could not be made, or was dropped because it was damaged."""
LOG = logging.getLogger(__name__)


class IndexMaker:
    """Makes the indexes that are asked for; why one cannot be made is logged once."""

    def __init__(self) -> None:
        self._asked: dict[Path, float] = {}
        self._said: set[str] = set()
        self._waiting: queue.SimpleQueue[Path] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._started = False

    def ask(self, generation: Generation) -> None:
        """Have the indexes of a complete generation made, unless that was asked for a while ago; returns at once."""
        now = time.monotonic()
        with self._lock:
            if not generation.complete or now - self._asked.get(generation.path, -AGAIN) < AGAIN:
                return
            self._asked[generation.path] = now
            if not self._started:
                threading.Thread(target=self._work, name="index maker", daemon=True).start()
                self._started = True
        self._waiting.put(generation.path)

    def _work(self) -> None:
        while True:
            self._make(self._waiting.get())

    def _make(self, path: Path) -> None:
        command = [sys.executable, "-m", MAKING, str(path)]
        try:
            made = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, errors="replace", check=False)
        except OSError as refused:  # no memory, or no file descriptors, for another process
            self._say(path, str(refused))
            return
        if made.returncode:
            self._say(path, (made.stderr.strip().splitlines() or ["it was ended"])[-1])

    def _say(self, path: Path, why: str) -> None:
        if why not in self._said:
            self._said.add(why)
            LOG.warning("no index of run '%s', so its pages are slower: %s", path.parent.name, why)

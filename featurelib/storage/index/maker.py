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
AGAIN = 300.0
"""Seconds until an index is tried again that could not be made, or was dropped because it was damaged."""
LOG = logging.getLogger(__name__)


class IndexMaker:
    """Makes the indexes that are asked for; why one cannot be made is logged once."""

    def __init__(self, module: str) -> None:
        """Let `python -m module GENERATION_FOLDER` make them."""
        self._module = module
        self._asked: dict[Path, float] = {}
        self._making: set[Path] = set()
        self._said: set[str] = set()
        self._waiting: queue.SimpleQueue[Path] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._started = False

    def ask(self, generation: Generation) -> bool:
        """Have the indexes of a complete generation made, unless that was asked for a while ago.

        Returns at once, and whether they are being made now.
        """
        now = time.monotonic()
        with self._lock:
            if not generation.complete or now - self._asked.get(generation.path, -AGAIN) < AGAIN:
                return generation.path in self._making
            self._asked[generation.path] = now
            self._making.add(generation.path)
            if not self._started:
                threading.Thread(target=self._work, name="index maker", daemon=True).start()
                self._started = True
        self._waiting.put(generation.path)
        return True

    def _work(self) -> None:
        while True:
            path = self._waiting.get()
            try:
                self._make(path)
            finally:
                with self._lock:
                    self._making.discard(path)

    def _make(self, path: Path) -> None:
        command = [sys.executable, "-m", self._module, str(path)]
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

"""The worker process as its parent sees it: pipes, waiting, the end of its log. `client` sets the time limits."""

from __future__ import annotations

import atexit
import collections
import contextlib
import itertools
import json
import os
import queue
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

PROJECT = Path(__file__).resolve().parent.parent.parent
LOOK_SECONDS = 0.1
"""How often it is asked whether a question is cancelled."""
LOG_LINES = 100
LOG_CHARACTERS = 2000
THREADS = max(1, min(4, (os.cpu_count() or 2) // 2))
"""How many threads the worker computes with: it shares the machine with the server."""


class WorkerDied(Exception):
    """The worker has ended, or does not speak as it should; the message is the last line of its log."""


class Worker:
    """A running `python -m featurelib.live.worker`; the constructor waits until it is ready to answer.

    Raises WorkerDied or TimeoutError (whose message is the limit in seconds) when that does not happen.
    """

    def __init__(self, start_seconds: float) -> None:
        started = time.monotonic()
        self._numbers = itertools.count()
        self._log: collections.deque[str] = collections.deque(maxlen=LOG_LINES)
        self._lines: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self._questions: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self._child = subprocess.Popen(
            [sys.executable, "-m", "featurelib.live.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=PROJECT,
            env=os.environ | {"OMP_NUM_THREADS": str(THREADS), "TOKENIZERS_PARALLELISM": "false"},
            text=True,
            encoding="utf-8",
            errors="replace",
        )
        # a pipe that is not read takes no more than some 64 KiB, so whoever waits for an answer must not write itself
        threading.Thread(target=self._send, args=(self._child.stdin,), daemon=True).start()
        threading.Thread(target=self._keep_lines, args=(self._child.stdout,), daemon=True).start()
        threading.Thread(target=self._keep_log, args=(self._child.stderr,), daemon=True).start()
        atexit.register(self.stop)
        try:
            self._await("ready", start_seconds)
        except (WorkerDied, TimeoutError):
            self.stop()
            raise
        self.seconds_to_start = time.monotonic() - started

    @property
    def alive(self) -> bool:
        """Whether it has not ended."""
        return self._child.poll() is None

    @property
    def pid(self) -> int:
        """The number of its process."""
        return self._child.pid

    def exchange(
        self, question: dict[str, Any], seconds: float, cancelled: Callable[[], bool] | None = None
    ) -> dict[str, Any]:
        """Return the reply to a question; raises WorkerDied, or TimeoutError after `seconds`, sending it included.

        Where `cancelled` says yes meanwhile the worker is told to end, and its reply is waited for.
        """
        number = next(self._numbers)
        self._ask({"number": number, **question})
        return self._await(number, seconds, cancelled)

    def _ask(self, question: dict[str, Any]) -> None:
        self._questions.put(json.dumps(question).encode() + b"\n")

    def stop(self) -> None:
        """Kill it, if it has not ended; its threads let go of its pipes then, even one that is writing."""
        atexit.unregister(self.stop)
        self._child.kill()
        self._child.wait()
        self._questions.put(None)

    def _await(self, number: int | str, seconds: float, cancelled: Callable[[], bool] | None = None) -> dict[str, Any]:
        until = time.monotonic() + seconds
        while True:
            left = max(until - time.monotonic(), 0.001)
            try:
                line = self._lines.get(timeout=min(left, LOOK_SECONDS) if cancelled else left)
            except queue.Empty as error:
                if time.monotonic() >= until:
                    raise TimeoutError(f"{seconds:g}") from error
                if cancelled and cancelled():
                    self._ask({"cancel": number})
                    cancelled = None
                continue
            if line is None:
                raise WorkerDied(self._end_of_log())
            try:
                reply: dict[str, Any] = json.loads(line)
            except ValueError as error:
                raise WorkerDied(f"it wrote {line[:80]!r}") from error
            if reply.get("number") == number:
                return reply

    def _send(self, stdin: IO[str]) -> None:
        # a dead worker is seen by the end of its answers
        with contextlib.suppress(OSError):
            while (question := self._questions.get()) is not None:
                sent = 0
                while sent < len(question):
                    sent += os.write(stdin.fileno(), question[sent:])
        stdin.close()

    def _keep_lines(self, stdout: IO[str]) -> None:
        for line in stdout:
            self._lines.put(line)
        self._lines.put(None)
        stdout.close()

    def _keep_log(self, stderr: IO[str]) -> None:
        while line := stderr.readline(LOG_CHARACTERS):
            self._log.append(line.rstrip())
        stderr.close()

    def _end_of_log(self) -> str:
        # its log is read by another thread, which may be a moment behind
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._child.wait(1.0)
        time.sleep(0.05)
        lines = [line for line in self._log if line]
        return lines[-1][:160] if lines else f"exit code {self._child.poll()}"

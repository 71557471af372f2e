"""Tells everybody how far a build is: once a second, from a thread of its own, into a file beside the generations."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

from featurelib.storage.progress import Progress, remove_progress, write_progress

SECONDS = 1.0
"""Between two writes."""


class BuildProgress:
    """What a build is at; stages and their bars change it, `report_progress` writes it."""

    def __init__(self, stages: Sequence[str] = ()) -> None:
        self.present = Progress(None, None, tuple(stages))

    def begin(self, stage: str) -> None:
        """Say that `stage` is being made from now on."""
        self.present = Progress(stage, None, self.present.stages)

    def set_share(self, share: float | None) -> None:
        """Say how much of the present loop is done, 0 to 1; None when it has ended."""
        self.present = Progress(self.present.stage, share, self.present.stages)


@contextlib.contextmanager
def report_progress(run_folder: Path, stages: Sequence[str]) -> Iterator[BuildProgress]:
    """Give the progress of a build of these stages, which is written until the block ends; hold the run's lock here."""
    remove_progress(run_folder)
    progress, ended = BuildProgress(stages), threading.Event()

    def write() -> None:
        # a disk that is full or read-only stops the build itself, with its own sentence
        with contextlib.suppress(OSError):
            write_progress(run_folder, progress.present)

    def write_on() -> None:
        while not ended.wait(SECONDS):
            write()

    write()
    writer = threading.Thread(target=write_on, name="progress of the build", daemon=True)
    writer.start()
    try:
        yield progress
    finally:
        ended.set()
        writer.join()
        remove_progress(run_folder)

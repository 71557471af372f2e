"""How far the build of a run is: a small file beside its generations, written by the build and read by everybody.

The file is about a run's lock: once the lock is free nobody is building, whatever the file says. It is in no manifest,
and a build that ends takes it away.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from featurelib import installation
from featurelib.storage import files

PROGRESS_FILE = ".building.json"
LOCK_FILE = ".lock"
"""The file that a build holds locked; the system frees it when the process ends."""
FRESH_SECONDS = 60.0
"""A build writes about once a second; one that has not for so long stands still."""
LARGEST = 4096
"""Bytes of the file."""


@dataclass(frozen=True)
class Progress:
    """What a build is at."""

    stage: str | None
    """The stage that is being made; None before the first."""
    share: float | None
    """How much of its present loop is done, 0 to 1; None between loops, and in a stage without any."""
    stages: tuple[str, ...] = ()
    """The stages that this build makes, the ones to come included."""
    idle_seconds: float = 0.0
    """How long ago the build wrote this."""

    @property
    def percent(self) -> str:
        """The share in words, such as 27 %; nothing without one. What is not done is never 100 %."""
        return "" if self.share is None else f"{min(int(100 * max(self.share, 0.0)), 99)} %"

    @property
    def sentence(self) -> str:
        """What is going on, without a subject or a full stop: being made now: stage attributions, 27 %."""
        at = ", ".join(filter(None, (f"stage {self.stage}" if self.stage else "", self.percent)))
        if self.idle_seconds > FRESH_SECONDS:
            minutes = round(self.idle_seconds / 60)
            return f"being made, but its build has stood still for {minutes} min{': ' if at else ''}{at}"
        return f"being made now{': ' if at else ''}{at}"


def write_progress(run_folder: Path, progress: Progress) -> None:
    """Put the file in place, whole; it is not synced, as it need not outlive a power cut."""
    place = run_folder / PROGRESS_FILE
    aside = place.with_name(place.name + files.ASIDE)
    aside.write_text(json.dumps(asdict(progress)), encoding="utf-8")
    os.replace(aside, place)


def remove_progress(run_folder: Path) -> None:
    """Take the file away, when a build ends or one begins behind another that was killed."""
    for name in (PROGRESS_FILE, PROGRESS_FILE + files.ASIDE):
        files.remove(run_folder / name)


def find_progress(run_folder: Path) -> Progress | None:
    """Return how far the build of a run is; None when nobody builds it, or when that cannot be told."""
    place = run_folder / PROGRESS_FILE
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError, RecursionError):
        changed, size = place.stat().st_mtime, place.stat().st_size
        idle = max(time.time() - changed, 0.0)
        if size <= LARGEST and _is_locked(run_folder / LOCK_FILE, idle):
            return _parsed(json.loads(place.read_bytes()), idle)
    return None


def say_how_to_build(run_folder: Path, stage: str) -> str:
    """Return what to do about a part that is missing, made by `stage`: wait, where it is being made, or build it."""
    progress = find_progress(run_folder)
    if progress is not None and stage in progress.stages:
        return f"it is {progress.sentence}."
    return f"give its build command once more ({installation.command(f'build … --name {run_folder.name}')})."


def _parsed(content: dict[str, object], idle: float) -> Progress:
    stage, share, stages = content["stage"], content["share"], content["stages"]
    if not (stage is None or isinstance(stage, str)) or not isinstance(stages, list):
        raise ValueError("this is no progress of a build")
    known = float(share) if isinstance(share, int | float) and math.isfinite(share) else None
    return Progress(stage, known, tuple(map(str, stages)), idle)


def _is_locked(lock: Path, idle: float) -> bool:
    """Whether a process holds the lock; where the system cannot tell, whether it wrote a short while ago.

    The lock is tried as a shared one, which two readers can have at once, and let go of at once: a build that begins at
    that moment waits for a second.
    """
    try:
        import fcntl
    except ImportError:  # Windows
        return idle < FRESH_SECONDS
    opened = os.open(lock, os.O_RDONLY)
    try:
        fcntl.flock(opened, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:  # a file system without such locks
        return idle < FRESH_SECONDS
    finally:
        os.close(opened)
    return False

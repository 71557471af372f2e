"""The first page after `streamlit run`, and the server's memory after clicking everywhere.

Usage: python -m benchmarks.start [RUN_FOLDER] [--starts 5] [--clicks 10] [--root CHECKOUT]

Seconds from the command to the overview drawn to its end, over a websocket, as soon as the server answers; then, in the
last server, `--clicks` addresses of every kind of page, each with another feature or text, and the process's memory.
Then the pages are opened again, to see whether memory still grows.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.clicks import PAGES, addresses
from benchmarks.readers import memory
from featurelib.storage.runs import Run
from tests.support import ROOT
from tests.support.server import serve
from tests.support.wire import Wire


def first_page(run: Run, root: Path, folder: Path) -> tuple[float, float]:
    """Seconds until a new server answers, and until it has drawn its first page."""
    began = time.monotonic()
    with serve(run.path.parent.absolute(), folder / "server.txt", root) as (base, _):
        answers = time.monotonic() - began
        with Wire(base) as wire:
            wire.open(f"/?run={run.name}")
            return answers, time.monotonic() - began


def memories(run: Run, root: Path, folder: Path, clicks: int) -> list[tuple[str, float, float]]:
    """The memory in MB, own and shared with files, after the first page and after each round through all pages."""
    seen = []
    with serve(run.path.parent.absolute(), folder / "server.txt", root) as (base, process), Wire(base) as wire:
        wire.open(f"/?run={run.name}")
        seen.append(("first page", *memory(process)))
        for turn in range(3):
            for pattern in PAGES.values():
                addressed = addresses(run, pattern, turn)
                for _ in range(clicks):
                    wire.open(next(addressed))
            seen.append((f"round {turn + 1}", *memory(process)))
    return seen


def main(arguments: list[str] | None = None) -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.start", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("run", nargs="?", type=Path, default=ROOT / "data" / "demo")
    parser.add_argument("--starts", type=int, default=5)
    parser.add_argument("--clicks", type=int, default=10)
    parser.add_argument("--root", type=Path, default=ROOT, help="another checkout to start")
    given = parser.parse_args(arguments)
    run = Run(given.run)
    with tempfile.TemporaryDirectory() as folder:
        starts = [first_page(run, given.root, Path(folder)) for _ in range(given.starts)]
        answers, drawn = (statistics.median(column) for column in zip(*starts, strict=True))
        print(f"first page of '{run.name}': the server answers after {answers:.2f} s, drawn after {drawn:.2f} s")
        for when, own, shared in memories(run, given.root, Path(folder), given.clicks):
            print(f"memory after {when}: {own:.0f} MB of its own, {shared:.0f} MB of files that are mapped")
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""Flip single bits in the files of runs while the server serves them: how many are noticed, and how soon.

    python -m benchmarks.flips [RUN_FOLDER] [--flips 1000] [--copies 20] [--seed 0] [--visits 60]

The run is copied `--copies` times into one data folder, which one server serves as it always does. A round flips one
bit in each of three files of every copy (so many a page names), at a random place of the file; the files take turns, so
that each is flipped about equally often. Every second flip leaves the file's time as it was, as a fault of the disk
would. Meanwhile one reader opens a page of each copy in turn; a flip is noticed when the page names the file. Then the
bytes are put back, and the next round begins when no page names a file any longer.

A flip of run.json or of the manifest is alone in its copy: without the first a run cannot be opened, so that no page
names other files, and the second is what all others are compared to, so that another file may be named in its place:
it is noticed when the page says that the run is damaged.

Afterwards a feature page of the run is opened `--visits` times on each of three servers, in turn: without the watch, as
it always is, and with a watch that hashes all the time. Exit code 1 when fewer than 99 % are noticed within a minute.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import random
import shutil
import statistics
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from featurelib.storage.runs import Generation, Run
from tests.support import ROOT
from tests.support.server import serve
from tests.support.wire import Wire

PER_COPY = 3
MANIFEST = "manifest.json"
ALONE = (MANIFEST, "run.json")
DAMAGED = "is damaged"
MINUTE = 60.0
PACES = {
    "without the watch": "import featurelib.storage.watch as w; w.FileWatch.read = lambda self, generation: {}",
    "as it always is": "",
    "hashing all the time": (
        "import featurelib.storage.watch as w; quick = w.Pace(start=0.0, look=0.0, again=0.0, share=1.0)\n"
        "w.FileWatch.__init__.__defaults__ = (quick,)"
    ),
}


@dataclass
class Flip:
    """One flipped bit."""

    run: str
    """The copy."""
    name: str
    """The file, relative to the generation."""
    content: bytes
    """What it held before."""
    keeps_time: bool
    """Whether its time was left as it was."""
    at: float
    """When it was flipped."""
    noticed: float | None = None
    """Seconds until a page named it."""


@dataclass
class Tally:
    """What the flips of all rounds came to."""

    flips: list[Flip] = field(default_factory=list)
    failed: int = 0
    """Pages that met an error of their own."""


def flipped(generation: Generation, name: str, keeps_time: bool, draw: random.Random) -> Flip:
    """Flip one bit of a file, in place."""
    path = generation.path / name
    content, status = path.read_bytes(), path.stat()
    place = draw.randrange(len(content))
    with path.open("r+b") as opened:
        opened.seek(place)
        opened.write(bytes([content[place] ^ 1 << draw.randrange(8)]))
    if keeps_time:
        os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    return Flip(generation.path.parent.name, name, content, keeps_time, time.monotonic())


def files_in_turn(generation: Generation, draw: random.Random) -> Iterator[str]:
    """The names of all files that the manifest lists, and of the manifest, again and again in another order."""
    names = [path.relative_to(generation.path).as_posix() for path in generation.manifest_files()] + [MANIFEST]
    while True:
        yield from draw.sample(names, len(names))


def round_of(address: str, runs: list[Run], names: Iterator[str], draw: random.Random, tally: Tally) -> None:
    """Flip, look until all is noticed or a minute is over, and mend."""
    generations = {run.name: run.current() for run in runs}
    flips = []
    for generation in generations.values():
        drawn = list(dict.fromkeys(next(names) for _ in range(PER_COPY)))
        alone = [name for name in drawn if name in ALONE]
        for name in alone[:1] or drawn:
            flips.append(flipped(generation, name, len(flips) % 2 == 0, draw))
    end = time.monotonic() + MINUTE + 5
    with Wire(address) as wire:
        while any(flip.noticed is None for flip in flips) and time.monotonic() < end:
            look(wire, list(generations), flips, tally)
        for flip in flips:
            path = generations[flip.run].path / flip.name
            path.write_bytes(flip.content)
        for name in generations:
            while look(wire, [name], [], tally):
                time.sleep(0.5)
    tally.flips += flips


def look(wire: Wire, runs: list[str], flips: list[Flip], tally: Tally) -> bool:
    """Open a page of each run and note which flips it names; whether the last one is damaged."""
    words = ""
    for run in runs:
        words = wire.open(f"/splitting?run={run}")
        tally.failed += "an error of its own" in words
        for flip in flips:
            sign = DAMAGED if flip.name == MANIFEST else f"{flip.name} "
            if flip.run == run and flip.noticed is None and sign in words.replace(",", " "):
                flip.noticed = time.monotonic() - flip.at
    return DAMAGED in words


def report(tally: Tally) -> float:
    """Print what was noticed so far; return the share that was, within a minute."""
    for kind, flips in (
        ("all", tally.flips),
        ("with a new time", [flip for flip in tally.flips if not flip.keeps_time]),
        ("with the old time", [flip for flip in tally.flips if flip.keeps_time]),
        ("of the manifest", [flip for flip in tally.flips if flip.name == MANIFEST]),
    ):
        times = sorted(flip.noticed for flip in flips if flip.noticed is not None and flip.noticed <= MINUTE)
        if times:
            print(
                f"{kind}: {len(times)} of {len(flips)} noticed within a minute ({len(times) / len(flips):.1%}); after "
                f"{statistics.median(times):.0f} s (median), {times[int(0.95 * (len(times) - 1))]:.0f} s (95 %), "
                f"{times[-1]:.0f} s (latest)"
            )
    missed = Counter(flip.name for flip in tally.flips if flip.noticed is None or flip.noticed > MINUTE)
    print(f"not noticed: {dict(missed) or 'none'}; pages with an error of their own: {tally.failed}", flush=True)
    return 1 - sum(missed.values()) / max(len(tally.flips), 1)


def cost(run: Run, folder: Path, visits: int) -> None:
    """Print how long a feature page takes on a server without the watch, as always, and while all is hashed."""
    times: dict[str, list[float]] = {pace: [] for pace in PACES}
    with contextlib.ExitStack() as stack:
        addresses = {}
        for number, (pace, code) in enumerate(PACES.items()):
            place = folder / f"pace{number}"
            place.mkdir()
            (place / "sitecustomize.py").write_text(code, encoding="utf-8")
            log = folder / f"pace{number}.log"
            served = serve(run.path.parent.absolute(), log, PYTHONPATH=f"{place}:{ROOT}")
            addresses[pace] = stack.enter_context(served)[0]
        for visit in range(visits + 5):
            for pace, address in addresses.items():
                started = time.perf_counter()
                with Wire(address) as wire:
                    wire.open(f"/feature?run={run.name}&feature={7 + visit}")
                if visit >= 5:
                    times[pace].append(1000 * (time.perf_counter() - started))
    for pace, taken in times.items():
        ninth = statistics.quantiles(taken, n=10)[-1]
        print(f"a feature page {pace}: {statistics.median(taken):.0f} ms (median), {ninth:.0f} ms (90 %)", flush=True)


def main() -> int:
    """Flip and measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", nargs="?", type=Path, default=Path("data/demo"))
    parser.add_argument("--flips", type=int, default=1000)
    parser.add_argument("--copies", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--visits", type=int, default=60)
    given = parser.parse_args()
    draw, tally, share = random.Random(given.seed), Tally(), 1.0
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        if given.flips:
            runs = [Run(shutil.copytree(given.run, folder / "data" / f"copy{n}")) for n in range(given.copies)]
            names = files_in_turn(runs[0].current(), draw)
            with serve(folder / "data", folder / "server.log") as (address, _):
                while len(tally.flips) < given.flips:
                    round_of(address, runs, names, draw, tally)
                    share = report(tally)
            print(f"tracebacks in the server's log: {(folder / 'server.log').read_text().count('Traceback')}")
        if given.visits:
            cost(Run(given.run), folder, given.visits)
    return 0 if share >= 0.99 else 1


if __name__ == "__main__":
    raise SystemExit(main())

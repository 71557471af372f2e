"""How long every page takes from its address to the last element drawn, here and in another checkout, alternating.

Usage: python -m benchmarks.pages [RUN_FOLDER] [--other CHECKOUT --other-run RUN_FOLDER] [--rounds 5] [--seed 0]

Each address is opened in a fresh tab of one warm server; the other checkout (for example a worktree of an older
version, with its own demo) answers the same addresses in the same round where it has the page. Times are medians in
milliseconds; the ratio is taken within each round.
"""

from __future__ import annotations

import argparse
import contextlib
import random
import statistics
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from benchmarks.tabs import DRAWN
from featurelib.schema import FEATURES
from featurelib.storage.runs import Run
from tests.support import ROOT
from tests.support.server import CHROMIUM_FLAGS, find_chromium, serve

OLD = {
    "overview": "/?run={run}",
    "features": "/features?run={run}",
    "feature": "/feature?run={run}&feature={feature}",
    "map": "/map?run={run}",
    "evaluation": "/evaluation?run={run}",
    "search by words": "/search?run={run}&q=galaxy",
    "search by meaning": "/search?run={run}&q=galaxy+clusters&by=meaning",
    "text": "/text?run={run}&text={text}",
    "try": "/try?run={run}&t=A+survey+of+galaxy+clusters+with+weak+lensing",
}
NEW = {
    "families": "/families?run={run}",
    "combine": "/combine?run={run}&with={feature}",
    "audit": "/audit?run={run}",
    "steer": "/steer?run={run}&text={text}",
    "compare": "/compare?run={run}&a={feature}&b=7",
    "similar": "/similar?run={run}&a={text}&b=7",
    "textmap": "/textmap?run={run}&feature={feature}",
}
PATIENCE_MS = 60_000


def opened(browser: Any, address: str) -> float:
    """The milliseconds until the page at `address` stands still; a fresh tab each time."""
    context = browser.new_context(viewport={"width": 1440, "height": 1000})
    page = context.new_page()
    started = time.perf_counter()
    page.goto(address)
    page.wait_for_function(DRAWN, timeout=PATIENCE_MS)
    seconds = time.perf_counter() - started
    context.close()
    return 1000 * seconds


def live_features(run: Run) -> list[int]:
    """The features that fire on some text."""
    rows = pq.read_table(run.current().file(FEATURES), columns=["feature_id", "dead"])
    return [row["feature_id"] for row in rows.to_pylist() if not row["dead"]]


def measure(run: Run, servers: dict[str, tuple[str, str]], rounds: int, seed: int) -> dict[str, dict[str, list[float]]]:
    """The times of each page on each server, one number a round; a first round warms up."""
    from playwright.sync_api import sync_playwright

    draw = random.Random(seed)
    features = live_features(run)
    times: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    with sync_playwright() as played:
        browser = played.chromium.launch(executable_path=find_chromium(), args=CHROMIUM_FLAGS)
        for number in range(rounds + 1):
            values = {"feature": draw.choice(features), "text": draw.randrange(500)}
            for name, pattern in (OLD | NEW).items():
                for server, (base, run_name) in servers.items():
                    if server == "other" and name in NEW:
                        continue
                    took = opened(browser, base + pattern.format(run=run_name, **values))
                    if number:
                        times[name][server].append(took)
        browser.close()
    return times


def main(arguments: list[str] | None = None) -> int:
    """Print a line for each page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", nargs="?", type=Path, default=Path("data/demo"))
    parser.add_argument("--other", type=Path, help="another checkout of the project")
    parser.add_argument("--other-run", type=Path, help="the run that the other checkout shows (default: its demo)")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args(arguments)
    run = Run(given.run)
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        base, _ = stack.enter_context(serve(given.run.parent.absolute(), folder / "here.log"))
        servers = {"here": (base, run.name)}
        if given.other:
            shown = (given.other_run or given.other / "data" / "demo").absolute()
            log = folder / "other.log"
            there, _ = stack.enter_context(serve(shown.parent, log, root=given.other.absolute()))
            servers["other"] = (there, shown.name)
        times = measure(run, servers, given.rounds, given.seed)
    for name, by_server in times.items():
        here = by_server["here"]
        line = f"{name:<20}{statistics.median(here):7.0f} ms (worst {max(here):.0f})"
        if by_server["other"]:
            ratios = [mine / theirs for mine, theirs in zip(here, by_server["other"], strict=True)]
            line += f"   other {statistics.median(by_server['other']):7.0f} ms   ratio {statistics.median(ratios):.2f}"
        sys.stdout.write(line + "\n")
        sys.stdout.flush()
    return 0


if __name__ == "__main__":
    if Path.cwd() != ROOT:
        raise SystemExit("start it from the project's folder")
    raise SystemExit(main())

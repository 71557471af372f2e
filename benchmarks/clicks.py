"""What one click costs the server: CPU, part by part, questions, elements and bytes, over a websocket.

Usage: python -m benchmarks.clicks [RUN_FOLDER] [--clicks 30] [--seed 0] [--root CHECKOUT] [--only PAGE,PAGE] [--holds]

One session clicks through one kind of page after the other, each time another feature or text; the first three clicks
warm up. The server's CPU time is that of its process, all threads, from the click until nothing of it runs any more.
The server is first left alone until it has hashed the run's files. The parts are measured inside it: `questions`
(DuckDB, all threads, and the index), `elements` (inside
Streamlit's own calls that make and queue an element), `page` (the rest of the script: the project's own Python and
Streamlit's start of a script), `collection` (Python's garbage collection after the script) and `sending` (what remains:
the event loop, serialising, compressing). Times are medians in milliseconds. With --holds a thread of the server wakes
every millisecond: how late it came at worst, while a page was drawn, is how long the interpreter was held (Python
switches among running threads every 5 ms); the other columns are then too high.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow.parquet as pq

from featurelib.schema import FEATURES
from featurelib.storage.runs import Run
from tests.support import ROOT
from tests.support.server import serve
from tests.support.wire import Wire

PAGES = {
    "feature": "/feature?run={run}&feature={feature}",
    "overview": "/?run={run}&least={number}",
    "features": "/features?run={run}&page={number}",
    "search": "/search?run={run}&q={word}",
    "map": "/map?run={run}&feature={feature}",
    "text": "/text?run={run}&text={text}",
    "families": "/families?run={run}&page={number}",
    "combine": "/combine?run={run}&with={feature}",
    "columns": "/columns?run={run}&column=group&page={number}",
    "slices": "/slices?run={run}&a_column=group&page={number}",
    "classify": "/classify?run={run}&page={number}",
    "experiments": "/experiments?run={run}&page={number}",
    "transfer": "/transfer?run={run}&page={number}",
    "matching": "/matching?run={run}&page={number}",
    "evaluation": "/evaluation?run={run}",
    "audit": "/audit?run={run}&page={number}",
    "textmap": "/textmap?run={run}&feature={feature}",
    "bands": "/feature?run={run}&feature={feature}&view=bands",
    "random": "/feature?run={run}&feature={feature}&view=random",
}
WORDS = ("model", "energy", "quantum", "learning", "galaxies", "random", "group", "state", "field", "graph")
WARM = 3
REST = 0.25
"""Seconds after a click in which what it left to do is done."""
PARTS = ("questions", "elements", "page", "collection", "sending")
PLUG = """
import gc, json, os, threading, time

class Spent(threading.local):
    def __init__(self):
        self.seconds = dict.fromkeys(("questions", "elements", "collection"), 0.0)
        self.counts = dict.fromkeys(("questions", "elements"), 0)
        self.inside = 0.0

spent = Spent()

def timed(part, function, clock):
    def call(*args, **kwargs):
        outer, spent.inside = spent.inside, 0.0
        began = clock()
        try:
            return function(*args, **kwargs)
        finally:
            took = clock() - began
            spent.seconds[part] += took - spent.inside
            spent.counts[part] = spent.counts.get(part, 0) + 1
            spent.inside = outer + took
    return call

def plug():
    from streamlit.delta_generator import DeltaGenerator
    from streamlit.runtime.scriptrunner import script_runner
    from featurelib.storage.store import Store
    Store._ask = timed("questions", Store._ask, time.process_time)
    try:
        from featurelib.storage.index.rows import Rows
    except ImportError:  # an older checkout
        pass
    else:
        Rows.ask = timed("questions", Rows.ask, time.thread_time)
    for name in dir(DeltaGenerator):
        if not name.startswith("_") and callable(getattr(DeltaGenerator, name)):
            setattr(DeltaGenerator, name, timed("elements", getattr(DeltaGenerator, name), time.thread_time))
    import streamlit
    for name in ("html", "container", "columns", "page_link", "plotly_chart", "markdown", "text", "code", "button",
                 "selectbox", "segmented_control", "toggle", "text_input", "popover", "pagination", "slider",
                 "number_input", "download_button", "text_area"):
        if hasattr(streamlit, name):
            setattr(streamlit, name, timed("elements", getattr(streamlit, name), time.thread_time))
    late = [0.0]
    def tick():
        while True:
            before = time.monotonic()
            time.sleep(0.001)
            late[0] = max(late[0], time.monotonic() - before - 0.001)
    if os.environ["CLICKS_HOLDS"] == "yes":
        threading.Thread(target=tick, daemon=True).start()
    script_runner.gc.collect = timed("collection", gc.collect, time.thread_time)
    run = script_runner.ScriptRunner._run_script
    def run_script(self, *args, **kwargs):
        before = dict(spent.seconds), dict(spent.counts)
        began = time.thread_time(), time.process_time()
        late[0] = 0.0
        try:
            return run(self, *args, **kwargs)
        finally:
            thread, process = time.thread_time() - began[0], time.process_time() - began[1]
            line = {part: spent.seconds[part] - before[0][part] for part in spent.seconds}
            line |= {"n " + part: spent.counts[part] - before[1][part] for part in before[1]}
            line |= {"script": thread, "process": process, "late": late[0]}
            with open(os.environ["CLICKS_LOG"], "a") as log:
                log.write(json.dumps(line) + "\\n")
    script_runner.ScriptRunner._run_script = run_script

import importlib.abc, importlib.util, sys

class Finder(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name != "featurelib.ui.kit.sidebar":
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(name)
        execute = spec.loader.exec_module
        def exec_module(module):
            execute(module)
            plug()
        spec.loader.exec_module = exec_module
        return spec

sys.meta_path.insert(0, Finder())
"""


@dataclass(frozen=True)
class Click:
    """What one click has cost."""

    cpu: float
    """The server's CPU time, in ms."""
    wall: float
    """From the click to the page drawn to its end, in ms."""
    parts: dict[str, float]
    """CPU time by part, in ms."""
    questions: int
    """Questions to DuckDB."""
    elements: int
    """Elements that were sent."""
    held: float
    """How long the interpreter was held at a stretch, in ms, where that was measured."""
    sent: int
    """Bytes of the messages."""


def process_seconds(process: int) -> float:
    """The CPU time of a process and all its threads, those that have ended too (Linux)."""
    return time.clock_gettime(((~process) << 3) | 2)


def addresses(run: Run, pattern: str, seed: int) -> Iterator[str]:
    """Addresses of one kind of page, each of another feature or text."""
    generation = run.current()
    rows = pq.read_table(generation.file(FEATURES), columns=["feature_id", "dead"]).to_pylist()
    features = [row["feature_id"] for row in rows if not row["dead"]]
    texts = int(generation.done("ingest").facts["n_texts"])
    draw = random.Random(seed)
    number = 0
    while True:
        number += 1
        yield pattern.format(
            run=run.name,
            feature=draw.choice(features),
            text=draw.randrange(texts),
            number=1 + number % 10,
            word=WORDS[number % len(WORDS)],
        )


def clicked(wire: Wire, process: int, address: str, log: Path) -> Click:
    """Click once."""
    n_before = len(log.read_text().splitlines()) if log.exists() else 0
    began, before = time.perf_counter(), process_seconds(process)
    wire.open(address)
    wall = time.perf_counter() - began
    time.sleep(REST)
    cpu = 1000 * (process_seconds(process) - before)
    lines = [json.loads(line) for line in log.read_text().splitlines()[n_before:]] if log.exists() else []
    parts = {name: 1000 * sum(line[name] for line in lines) for name in ("questions", "elements", "collection")}
    script = 1000 * sum(line["script"] for line in lines)
    questions_here = parts["questions"]
    parts["page"] = max(0.0, script - parts["elements"] - parts["collection"] - questions_here)
    parts["sending"] = cpu - sum(parts.values())
    counts = [sum(line[f"n {name}"] for line in lines) for name in ("questions",)]
    held = 1000 * max((line["late"] for line in lines), default=0.0)
    return Click(cpu, 1000 * wall, parts, counts[0], len(wire.drawn), held, wire.received)


def rested(process: int, seconds: float = 300.0) -> None:
    """Wait until the server does nothing by itself, such as hashing the files of a run that was just opened."""
    end = time.monotonic() + seconds
    time.sleep(5)
    while time.monotonic() < end:
        before = process_seconds(process)
        time.sleep(2)
        if process_seconds(process) - before < 0.05:
            return


def measure(run: Run, given: argparse.Namespace) -> dict[str, list[Click]]:
    """The clicks on each kind of page."""
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "sitecustomize.py").write_text(PLUG, encoding="utf-8")
        log = Path(folder) / "clicks.jsonl"
        plugged = os.pathsep.join((folder, str(given.root.absolute())))
        variables = {"PYTHONPATH": plugged, "CLICKS_LOG": str(log), "CLICKS_HOLDS": "yes" if given.holds else "no"}
        found: dict[str, list[Click]] = {}
        with serve(run.path.parent.absolute(), Path(folder) / "server.txt", given.root, **variables) as (base, process):
            with Wire(base) as wire:
                wire.open(f"/?run={run.name}")
            rested(process)
            for name in given.only or PAGES:
                with Wire(base) as wire:
                    asked = addresses(run, PAGES[name], given.seed)
                    for _ in range(WARM):
                        wire.open(next(asked))
                        time.sleep(REST)
                    found[name] = [clicked(wire, process, next(asked), log) for _ in range(given.clicks)]
                report(name, found[name])
    return found


def report(name: str, clicks: list[Click]) -> None:
    """One line of the table."""
    middle = statistics.median
    parts = "".join(f"{middle(click.parts[part] for click in clicks):>12.1f}" for part in PARTS)
    late = sorted(click.cpu for click in clicks)[int(0.95 * (len(clicks) - 1))]
    sys.stdout.write(
        f"{name:<12}{middle(click.cpu for click in clicks):>8.1f}{late:>8.1f}{parts}"
        f"{middle(click.wall for click in clicks):>8.0f}{middle(click.questions for click in clicks):>11.0f}"
        f"{middle(click.elements for click in clicks):>10.0f}{middle(click.sent for click in clicks) / 1000:>9.0f}"
        f"{middle(click.held for click in clicks):>8.1f}{max(click.held for click in clicks):>8.1f}\n"
    )
    sys.stdout.flush()


def main(arguments: list[str] | None = None) -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", nargs="?", type=Path, default=Path("data/demo"))
    parser.add_argument("--clicks", type=int, default=30)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--root", type=Path, default=ROOT, help="another checkout of the project")
    parser.add_argument("--only", type=lambda names: names.split(","), help="kinds of pages, with commas between them")
    parser.add_argument("--holds", action="store_true", help="measure how long the interpreter is held")
    given = parser.parse_args(arguments)
    heads = "".join(f"{part:>12}" for part in PARTS)
    sys.stdout.write(
        f"{'page':<12}{'CPU':>8}{'95 %':>8}{heads}{'wall':>8}{'n questions':>11}{'n drawn':>10}{'kB':>9}"
        f"{'held':>8}{'worst':>8}\n"
    )
    measure(Run(given.run), given)
    return 0


if __name__ == "__main__":
    sys.exit(main())

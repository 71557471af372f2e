"""Many readers of one server, over websockets: how long their clicks take, and whether every row is numpy's.

Usage: python -m benchmarks.readers [RUN_FOLDER] [--readers 24] [--seconds 300] [--every 4] [--seed 0] [--root CHECKOUT]

Each reader is a session that clicks every four seconds on a link drawn at random: half of them features, the others
texts, pages of the table of features, searches by words, the map and the overview. Every answer is compared with
numpy's, computed beforehand from the activations of the run's Parquet files (in the order of texts): the ten strongest
texts of a feature with their activations, the features of a text in their order, the strongest features of the table
and of the overview; of a search, that each text contains the word. A click is timed from its message to the end of the
script. The readers are threads of this process and share the machine with the server: their own CPU time is printed.
"""

from __future__ import annotations

import argparse
import html
import random
import re
import sys
import tempfile
import threading
import time
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.clicks import process_seconds
from featurelib.schema import BY_TEXT, FEATURES, TEXTS
from featurelib.storage.runs import Run
from tests.support import ROOT
from tests.support.page import ANCHOR, text_of
from tests.support.server import serve
from tests.support.wire import Wire

ASKED = 400
"""Features, and texts, that readers look at."""
WORDS = ("quantum", "learning", "galaxies", "random", "graph")
ROUNDED = 6e-3
"""Activations are shown with three digits."""
KINDS = ("feature",) * 10 + ("text",) * 4 + ("features", "features", "search", "search", "map", "overview")
FAILED = ("error of its own", "took longer than", "cannot be read", "is damaged")


class Oracle:
    """What numpy says of some features and texts of a run."""

    def __init__(self, run: Run, seed: int) -> None:
        generation, draw = run.current(), np.random.default_rng(seed)
        n_features = pq.read_metadata(generation.file(FEATURES)).num_rows
        texts = pq.read_table(generation.file(TEXTS), columns=["text"])["text"]
        largest = np.zeros(n_features, np.float32)
        text_ids = np.sort(draw.permutation(len(texts))[:ASKED])
        feature_ids = draw.permutation(n_features)[: 2 * ASKED]
        of_texts: dict[int, list[tuple[float, int]]] = defaultdict(list)
        of_features: dict[int, list[tuple[np.ndarray, np.ndarray]]] = defaultdict(list)
        for part in generation.parts(BY_TEXT):
            rows = pq.read_table(part)
            where, which, values = (rows[name].to_numpy() for name in ("text_id", "feature_id", "activation"))
            np.maximum.at(largest, which, values)
            for place in np.flatnonzero(np.isin(where, text_ids)):
                of_texts[int(where[place])].append((-float(values[place]), int(which[place])))
            own = np.isin(which, feature_ids)
            order = np.argsort(which[own], kind="stable")
            found, starts = np.unique(which[own][order], return_index=True)
            pieces = zip(np.split(where[own][order], starts[1:]), np.split(values[own][order], starts[1:]), strict=True)
            for feature_id, piece in zip(found.tolist(), pieces, strict=True):
                of_features[feature_id].append(piece)
        self.features = {text_id: [feature for _, feature in sorted(rows)] for text_id, rows in of_texts.items()}
        self.top = {feature_id: _top(pieces) for feature_id, pieces in list(of_features.items())[:ASKED]}
        self.strongest = np.lexsort((np.arange(n_features), -largest)).tolist()
        self.texts: pa.ChunkedArray = texts


def _top(pieces: list[tuple[np.ndarray, np.ndarray]]) -> tuple[list[int], list[float]]:
    where, values = (np.concatenate(column) for column in zip(*pieces, strict=True))
    order = np.lexsort((where, -values))[:10]
    return where[order].tolist(), values[order].tolist()


@dataclass
class Tally:
    """What the readers saw."""

    seconds: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    wrong: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    rows: int = 0


def bodies(wire: Wire) -> list[str]:
    """The HTML that was drawn."""
    return [element.html.body for element in wire.drawn if element.WhichOneof("type") == "html"]


def linked(markup: str, page: str, name: str) -> list[int]:
    """The ids that links to a page lead to, each once."""
    found = []
    for attributes, _ in ANCHOR.findall(markup):
        (target,) = re.findall(r'href="([^"]*)"', attributes)
        address = urlsplit(html.unescape(target))
        if address.path == page and name in parse_qs(address.query):
            found.append(int(parse_qs(address.query)[name][0]))
    return list(dict.fromkeys(found))


def compare(kind: str, asked: object, wire: Wire, oracle: Oracle) -> tuple[int, str]:
    """The number of rows compared, and what is wrong; empty when nothing is."""
    drawn = bodies(wire)
    if kind == "feature":
        listed = next((body for body in drawn if "read-texts-top" in body), "")
        shown = linked(listed, "text", "text")
        activations = [float(value) for value in re.findall(r'class="activation"><span><bdi>([\d.]+)', listed)]
        ids, values = oracle.top[int(str(asked))]
        same = shown == ids and len(values) == len(activations) and np.allclose(activations, values, rtol=ROUNDED)
        return len(ids), "" if same else f"feature {asked}: {shown[:5]} {activations[:3]}, numpy {ids[:5]} {values[:3]}"
    if kind == "text":
        shown = linked(next((body for body in drawn if "read-lines-fires" in body), ""), "feature", "feature")
        wanted = oracle.features.get(int(str(asked)), [])
        return len(wanted), "" if shown == wanted else f"text {asked}: {shown[:6]}, numpy {wanted[:6]}"
    if kind in ("features", "overview"):
        mark, n, first = (
            ("<table", 50, 50 * (int(str(asked)) - 1)) if kind == "features" else ("read-lines-range", 10, 0)
        )
        shown = linked(next((body for body in drawn if mark in body), ""), "feature", "feature")
        wanted = oracle.strongest[first : first + n]
        return len(wanted), "" if shown == wanted else f"{kind} {asked}: {shown[:6]}, numpy {wanted[:6]}"
    if kind == "search":
        shown = linked(next((body for body in drawn if "read-texts-" in body), ""), "text", "text")
        without = [text_id for text_id in shown if str(asked) not in oracle.texts[text_id].as_py().lower()]
        return len(shown), f"search {asked}: {without} do not contain it" if without or not shown else ""
    return 0, ""


def address_of(kind: str, run: str, oracle: Oracle, draw: random.Random) -> tuple[str, object]:
    """An address of a kind of page, and what is asked for."""
    if kind == "feature":
        asked: object = draw.choice(list(oracle.top))
        return f"/feature?run={run}&feature={asked}", asked
    if kind == "text":
        asked = draw.choice(list(oracle.features))
        return f"/text?run={run}&text={asked}", asked
    if kind == "features":
        asked = draw.randrange(1, 20)
        return f"/features?run={run}&page={asked}", asked
    if kind == "search":
        asked = draw.choice(WORDS)
        return f"/search?run={run}&q={asked}", asked
    return (f"/map?run={run}", "") if kind == "map" else (f"/?run={run}", "")


def read(base: str, run: str, oracle: Oracle, tally: Tally, given: argparse.Namespace, number: int, end: float) -> None:
    """One reader, from the first page to the end."""
    draw, lock = random.Random(f"{given.seed} {number}"), threading.Lock()
    time.sleep(given.every * number / given.readers)
    with Wire(base, seconds=60) as wire:
        wire.open(f"/?run={run}")
        while time.monotonic() < end:
            kind = draw.choice(KINDS)
            address, asked = address_of(kind, run, oracle, draw)
            began = time.monotonic()
            try:
                wire.open(address)
            except Exception as error:  # noqa: BLE001 - whatever ends a click is counted, and the reader goes on
                tally.failed.append(f"{address}: {type(error).__name__} {error}")
                return
            took = time.monotonic() - began
            said = text_of(" ".join(bodies(wire)))
            n_rows, wrong = compare(kind, asked, wire, oracle)
            with lock:
                tally.seconds[kind].append(took)
                tally.rows += n_rows
                tally.wrong += [wrong] if wrong else []
                tally.failed += [f"{address}: {words}" for words in FAILED if words in said]
            time.sleep(max(0.0, given.every - took))


def main(arguments: list[str] | None = None) -> int:
    """Let them read and print the figures; 0 when no click failed and no row was wrong."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", nargs="?", type=Path, default=Path("data/demo"))
    parser.add_argument("--readers", type=int, default=24)
    parser.add_argument("--seconds", type=float, default=300)
    parser.add_argument("--every", type=float, default=4)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--root", type=Path, default=ROOT)
    given = parser.parse_args(arguments)
    run, tally = Run(given.run), Tally()
    oracle = Oracle(run, given.seed)
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "server.txt"
        with serve(run.path.parent.absolute(), log, given.root) as (base, process):
            end = time.monotonic() + given.seconds
            began, own = process_seconds(process), time.process_time()
            readers = [
                threading.Thread(target=read, args=(base, run.name, oracle, tally, given, number, end))
                for number in range(given.readers)
            ]
            for reader in readers:
                reader.start()
            memories = []
            while any(reader.is_alive() for reader in readers):
                memories.append(memory(process))
                time.sleep(5)
            server, own = process_seconds(process) - began, time.process_time() - own
        tracebacks = log.read_text(encoding="utf-8").count("Traceback")
    report(tally, given, memories, server, own, tracebacks)
    return 1 if tally.wrong or tally.failed or tracebacks else 0


def memory(process: int) -> tuple[float, float]:
    """The resident memory of a process in MB: its own, and that of files that it maps and shares (Linux)."""
    status = Path(f"/proc/{process}/status").read_text(encoding="utf-8")
    own, shared = (int(re.search(rf"{name}:\s+(\d+)", status)[1]) / 1024 for name in ("RssAnon", "RssFile"))
    return own, shared


def report(
    tally: Tally,
    given: argparse.Namespace,
    memories: list[tuple[float, float]],
    server: float,
    own: float,
    tracebacks: int,
) -> None:
    """Print the figures."""
    every = [took for seconds in tally.seconds.values() for took in seconds]
    for kind, seconds in [("all", every), *sorted(tally.seconds.items())]:
        middle, late, last = np.percentile(seconds, [50, 95, 99])
        sys.stdout.write(
            f"{kind:<10}{len(seconds):>6} clicks   median {middle:.3f} s   95 % {late:.3f} s   99 % {last:.3f} s   "
            f"worst {max(seconds):.3f} s\n"
        )
    for sentence in [*tally.failed[:5], *tally.wrong[:5]]:
        sys.stdout.write(f"! {sentence[:300]}\n")
    sys.stdout.write(
        f"{given.readers} readers, {given.seconds:.0f} s: {len(tally.failed)} failed, {tally.rows} rows compared with "
        f"numpy, {len(tally.wrong)} wrong pages, {tracebacks} tracebacks\n"
        f"server: {1000 * server / max(len(every), 1):.1f} ms of CPU a click, {server:.0f} s in all "
        f"(the readers: {own:.0f} s)\n"
        f"memory of its own {memories[1][0]:.0f} MB after 5 s, {memories[-2][0]:.0f} MB at the end, "
        f"{max(own for own, _ in memories):.0f} MB at most; files that it maps {memories[-2][1]:.0f} MB at the end\n"
    )


if __name__ == "__main__":
    sys.exit(main())

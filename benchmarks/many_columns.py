"""How long every page takes, and how large the server grows, with 30, 300 and 3,000 metadata columns.

    python -m benchmarks.many_columns FOLDER [--columns 30,300,3000] [--texts 8000] [--embeddings FILE.npy]
        [--checkout FOLDER] [--seed 0]

Builds a run of each width in FOLDER, unless it is there: invented texts, columns of six kinds (numbers, years,
categories, hardly ever filled ones, lists, names), the embeddings of --embeddings or invented ones, a small SAE. Each
run gets a server of its own (of --checkout, such as a worktree of an older version); each page is asked for twice over
the server's websocket, without a browser, so that the first visit stands beside the second one. Times are from the
question to the last element; memory is the server's resident memory then, and its largest until then. The build is
timed too, with its own largest memory.
"""

from __future__ import annotations

import argparse
import os
import random
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from tests.support import ROOT
from tests.support.server import serve
from tests.support.wire import Wire

WORDS = (
    *("star", "galaxy", "orbit", "gene", "cell", "protein", "market", "price", "trade"),
    *("model", "graph", "proof", "wave", "field", "spin", "light", "ice", "cloud"),
)
PAGES = {
    "text": "/text?text=7",
    "text, names searched": "/text?text=8&about=_17",
    "feature": "/feature?feature={feature}",
    "feature, a value": "/feature?feature={feature}&column=category_6&value=k3",
    "feature, bands": "/feature?feature={feature}&view=bands",
    "feature, random": "/feature?feature={feature}&view=random",
    "feature, near": "/feature?feature={feature}&view=near",
    "overview": "/overview",
    "features": "/features",
    "map": "/map",
    "families": "/families",
    "search by words": "/search?q=galaxy",
    "search, near a text": "/search?near=7",
    "try": "/try",
    "steer": "/steer?text=7",
    "text map": "/textmap?feature={feature}",
    "text map, a column": "/textmap?feature={feature}&colour=category_6",
    "combine": "/combine?with={feature}",
    "similar": "/similar?a=7&b=8",
    "evaluation": "/evaluation",
    "audit": "/audit",
    "splitting": "/splitting",
}
SECONDS = 180


def column(number: int, n_texts: int, draw: np.random.Generator) -> tuple[str, pa.Array]:
    """The name and the values of one metadata column; its kind goes by its number."""
    kind = number % 10
    if kind < 4:
        return f"measure_{number}", pa.array(draw.standard_normal(n_texts))
    if kind < 6:
        return f"year_{number}", pa.array(draw.integers(2000, 2010, n_texts))
    if kind == 6:
        return f"category_{number}", pa.array([f"k{value}" for value in draw.integers(0, 20, n_texts)])
    if kind == 7:
        filled = draw.random(n_texts) < 0.05
        return f"rare_{number}", pa.array([f"r{n % 5}" if filled[n] else None for n in range(n_texts)])
    if kind == 8:
        pairs = draw.integers(0, 12, (n_texts, 2))
        return f"topics_{number}", pa.array([sorted({f"t{a}", f"t{b}"}) for a, b in pairs])
    return f"name_{number}", pa.array([f"name {number} {value}" for value in draw.integers(0, 10**9, n_texts)])


def write_source(path: Path, n_columns: int, n_texts: int, seed: int) -> None:
    """Write the corpus as Parquet, or as CSV where `path` ends so."""
    draw, words = np.random.default_rng(seed), random.Random(seed)
    texts = [" ".join(words.choices(WORDS, k=24)) + f" number {n}" for n in range(n_texts)]
    columns = dict(column(number, n_texts, draw) for number in range(n_columns))
    pq.write_table(pa.table({"text": pa.array(texts), **columns}), path)


def write_embeddings(path: Path, n_texts: int, seed: int) -> None:
    """Write made embeddings: sums of a few of 64 directions, float32 [n_texts, 96]."""
    draw = np.random.default_rng(seed)
    directions = draw.standard_normal((64, 96))
    strengths = draw.random((n_texts, 64)) * (draw.random((n_texts, 64)) < 0.08)
    x = strengths @ directions + 0.1 * draw.standard_normal((n_texts, 96))
    np.save(path, (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32))


def build(folder: Path, n_columns: int, n_texts: int, embeddings: Path | None, seed: int) -> str:
    """Build the run of one width unless it is there; return its name."""
    name = f"columns{n_columns}"
    if (folder / "data" / name / "g0001" / "manifest.json").is_file():
        return name
    (folder / "data").mkdir(parents=True, exist_ok=True)
    source, vectors = folder / f"{name}.parquet", embeddings or folder / "embeddings.npy"
    write_source(source, n_columns, n_texts, seed)
    if embeddings is None:
        write_embeddings(vectors, n_texts, seed)
    flags = ["--text-column", "text", "--embeddings", str(vectors), "--keyword-embedder", "stand-in:64"]
    flags += ["--features", "128", "--k", "8", "--name", name, "--data", str(folder / "data")]
    started = time.perf_counter()
    built = subprocess.Popen(
        [sys.executable, "-m", "precompute", "build", str(source), *flags], cwd=ROOT, stdout=subprocess.DEVNULL
    )
    _, status, used = os.wait4(built.pid, 0)
    if status:
        raise SystemExit(f"the build of {name} ended with {os.waitstatus_to_exitcode(status)}")
    seconds = time.perf_counter() - started
    print(f"{name}: built in {seconds:.0f} s, at most {used.ru_maxrss / 1024:.0f} MB", flush=True)
    return name


def memory(pid: int) -> tuple[float, float]:
    """The resident memory of a process now and at most, in MB."""
    lines = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines() if ":" in line)
    return tuple(int(lines[name].split()[0]) / 1024 for name in ("VmRSS", "VmHWM"))  # type: ignore[return-value]


def measure(folder: Path, name: str, checkout: Path, feature_id: int) -> None:
    """Print a line for each page of one run: seconds of the first and the second visit, and the server's memory."""
    with serve(folder / "data", folder / f"{name}.log", root=checkout) as (address, pid):
        print(f"{name:<24}{'first':>9}{'second':>9}{'memory':>10}{'at most':>10}", flush=True)
        for page, pattern in PAGES.items():
            path = pattern.format(feature=feature_id)
            path += ("&" if "?" in path else "?") + f"run={name}"
            visits = [visit(address, path) for _ in range(2)]
            now, most = memory(pid)
            print(f"{page:<24}{visits[0]:>9}{visits[1]:>9}{now:>7.0f} MB{most:>7.0f} MB", flush=True)
            if "over" in visits[0]:
                break


def visit(address: str, path: str) -> str:
    """The seconds that a page takes in a session of its own, or that it takes longer than anybody waits."""
    started = time.perf_counter()
    try:
        with Wire(address, seconds=SECONDS) as wire:
            wire.open(path)
    except TimeoutError:
        return f"over {SECONDS}"
    return f"{time.perf_counter() - started:.2f} s"


def main() -> None:
    """Build and measure each width."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--columns", default="30,300,3000")
    parser.add_argument("--texts", type=int, default=8000)
    parser.add_argument("--embeddings", type=Path)
    parser.add_argument("--checkout", type=Path, default=ROOT)
    parser.add_argument("--feature", type=int, default=5)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    for width in given.columns.split(","):
        name = build(given.folder.absolute(), int(width), given.texts, given.embeddings, given.seed)
        measure(given.folder.absolute(), name, given.checkout.absolute(), given.feature)


if __name__ == "__main__":
    main()

"""What a Ray cluster costs beside one process on the same machine: embed and encode, seconds and CPU seconds.

    python -m benchmarks.ray_engine [--texts 2000] [--embeddings 5000] [--embedder NAME]

The texts are the demo's. First the same texts are embedded, then the demo's own embeddings are encoded, by one process
and by a Ray of this machine (`--address local`), alternately; each with what starting it takes. Needs ray.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from featurelib.schema import BY_TEXT, EMBEDDINGS, TEXTS
from featurelib.storage import files
from featurelib.storage.runs import Generation, Run

ROOT = Path(__file__).resolve().parent.parent
ENGINES = {"local": [], "ray": ["--engine", "ray", "--address", "local"]}


def main() -> None:
    """Print a table of both engines and how far their tables are from each other."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--texts", type=int, default=2_000, help="texts that are embedded")
    parser.add_argument("--embeddings", type=int, default=5_000, help="embeddings that are encoded")
    parser.add_argument("--embedder", default=None, help="default: the one that a build takes")
    parser.add_argument("--repeats", type=int, default=1)
    options = parser.parse_args()
    demo = Run(ROOT / "data" / "demo").current()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        cases = {"embed": texts_case(demo, folder, options), "encode": embeddings_case(demo, folder, options)}
        print("| stage | engine | whole command, s | CPU, s | the stage, s | its rate, texts/s |")
        print("|---|---|---|---|---|---|")
        for stage, (n, arguments) in cases.items():
            for repeat in range(options.repeats):
                made = {engine: measure(stage, engine, folder / f"{stage}{repeat}", arguments, n) for engine in ENGINES}
                compare(stage, *made.values())


def texts_case(demo: Generation, folder: Path, options: argparse.Namespace) -> tuple[int, list[str]]:
    """The demo's first texts, embedded."""
    texts = pq.read_table(demo.file(TEXTS), columns=["text"]).slice(0, options.texts)
    pq.write_table(texts, folder / "texts.parquet")
    embedder = ["--embedder", options.embedder] if options.embedder else []
    return len(texts), [str(folder / "texts.parquet"), "--text-column", "text", *embedder, "--to", "embed"]


def embeddings_case(demo: Generation, folder: Path, options: argparse.Namespace) -> tuple[int, list[str]]:
    """The demo's first embeddings, encoded by its SAE."""
    n = options.embeddings
    pq.write_table(pq.read_table(demo.file(TEXTS), columns=["text"]).slice(0, n), folder / "embedded.parquet")
    columns = [pq.read_table(part, columns=["embedding"])["embedding"] for part in demo.parts(EMBEDDINGS)]
    rows = np.concatenate([np.stack(column.to_numpy()) for column in columns])[:n].astype(np.float32)
    np.save(folder / "rows.npy", rows)
    given = ["--embeddings", str(folder / "rows.npy"), "--sae", str(demo.sae_folder)]
    return n, [str(folder / "embedded.parquet"), "--text-column", "text", *given, "--to", "encode"]


def measure(stage: str, engine: str, folder: Path, arguments: list[str], n: int) -> Generation:
    """Run the command; print its seconds, and its CPU seconds with those of every process that it waited for."""
    command = [sys.executable, "-m", "precompute", "build", *arguments, "--name", "run", "--data", str(folder / engine)]
    started, cpu = time.monotonic(), {}
    log = folder / f"{engine}.txt"
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("w") as opened:
        running = subprocess.Popen([*command, *ENGINES[engine]], cwd=ROOT, stdout=opened, stderr=opened)
        while running.poll() is None:
            cpu |= cpu_ticks(running.pid)
            time.sleep(0.1)
    if running.returncode:
        raise SystemExit(log.read_text()[-2_000:])
    seconds, cpu_seconds = time.monotonic() - started, sum(cpu.values()) / os.sysconf("SC_CLK_TCK")
    generation = Run(folder / engine / "run").current()
    of_stage = generation.volatile()[stage]["seconds"]
    print(
        f"| {stage} {n:,} | {engine} | {seconds:.1f} | {cpu_seconds:.1f} | {of_stage:.1f} | {n / of_stage:,.0f} |",
        flush=True,
    )
    return generation


def cpu_ticks(root: int) -> dict[tuple[int, int], int]:
    """CPU time until now of a process and all below it, by process number and start, in clock ticks.

    Ray's own processes are never waited for, so that a parent's times do not hold theirs.
    """
    parents, ticks = {}, {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            numbers = path.read_text().rpartition(")")[2].split()
        except OSError:  # it has ended
            continue
        process = (int(path.parent.name), int(numbers[19]))
        parents[process], ticks[process] = int(numbers[1]), int(numbers[11]) + int(numbers[12])
    below = {root}
    while more := {own for (own, _), parent in parents.items() if parent in below and own not in below}:
        below |= more
    return {process: n for process, n in ticks.items() if process[0] in below}


def compare(stage: str, one: Generation, other: Generation) -> None:
    """Print whether the parts of both are the same bytes, and else by how much they differ at most."""
    table, column = (EMBEDDINGS, "embedding") if stage == "embed" else (BY_TEXT, "activation")
    pairs = list(zip(one.parts(table), other.parts(table), strict=True))
    if all(files.sha256_file(ours) == files.sha256_file(theirs) for ours, theirs in pairs):
        print(f"{stage}: the same bytes in {len(pairs)} parts")
        return
    values = [[np.stack(pq.read_table(path)[column].to_numpy()) for path in pair] for pair in pairs]
    print(f"{stage}: differ by at most {max(float(np.abs(ours - theirs).max()) for ours, theirs in values):.2g}")


if __name__ == "__main__":
    main()

"""Activations of a corpus and the top texts of every feature: ours beside HypotheSAEs' own functions, with one SAE.

    python -m benchmarks.top_examples --python PATH [RUN] [--texts 8000] [--embeddings FILE.npy] [--rounds 2]

PATH is the Python of an environment that has HypotheSAEs (`pip install hypothesaes`). The SAE and the embeddings are a
run's (default data/demo); embeddings are repeated with noise where there are fewer than --texts. The SAE's weights and
its one threshold are put into HypotheSAEs' SparseAutoencoder, whose formula for BatchTopK at inference is the same.

Each side is a process of its own, in turn (see benchmarks/examples/). What they found is compared first: activations
within 1e-5, all but those within 1e-6 of the threshold, which may fall on either side in float32; and the top 100
texts of every feature, where texts that are equally strong within 1e-5 may stand in another order. Then their CPU
seconds, loading aside, and their peak memory (ru_maxrss), with what they held before they began. Exit code 1 when
they do not agree.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.examples.side import FIGURES, TOP, Found, Given

ROOT = Path(__file__).resolve().parent.parent
OURS, THEIRS = "ours", "hypothesaes"
LARGEST_DIFFERENCE = 1e-5
NEAR = 1e-6
"""The same as in benchmarks/recompute."""


@dataclass(frozen=True)
class Agreement:
    """How two sides compare."""

    lines: list[str]
    """What was counted, in words."""
    wrong: int
    """Activations and ranks that differ."""


def compare_activations(ours: Found, theirs: Found, given: Given) -> Agreement:
    """Compare every activation that is not zero on one side or the other."""
    n_features = len(given.threshold)
    keys = [side.rows * n_features + side.feature_ids for side in (ours, theirs)]
    both, at_ours, at_theirs = np.intersect1d(*keys, assume_unique=True, return_indices=True)
    gaps = np.abs(ours.activations[at_ours] - theirs.activations[at_theirs])
    differ = int((gaps > LARGEST_DIFFERENCE).sum())
    alone = []
    at_threshold = 0
    for side, place in ((ours, at_ours), (theirs, at_theirs)):
        rest = np.delete(np.arange(len(side.rows)), place)
        near = np.abs(side.activations[rest] - given.threshold[side.feature_ids[rest]]) <= NEAR
        at_threshold += int(near.sum())
        alone.append(int((~near).sum()))
    counts = (
        f"{len(both) - differ:,} activations equal within {LARGEST_DIFFERENCE:.0e}, {differ:,} differ, "
        f"{alone[0]:,} only in ours, {alone[1]:,} only in HypotheSAEs, "
        f"{at_threshold:,} within {NEAR:.0e} of the threshold in one of them"
    )
    largest = f"largest difference of an activation {gaps.max(initial=0):.2e}"
    return Agreement([counts, largest], differ + sum(alone))


def compare_top(ours: Found, theirs: Found, given: Given) -> Agreement:
    """Compare the top texts rank by rank; another text must have, by our activations, the strength of its rank."""
    n_features, a, b = len(given.threshold), ours.top_activations, theirs.top_activations
    keys = theirs.top_texts * n_features + np.arange(n_features)[:, None]
    at, known = look_up(keys, ours.rows * n_features + ours.feature_ids)
    strength = np.where(known, ours.activations[at], 0)
    one_sided = (np.minimum(a, b) == 0) & (np.abs(np.maximum(a, b) - given.threshold[:, None]) <= NEAR)
    right = (np.maximum(np.abs(a - strength), np.abs(b - strength)) <= LARGEST_DIFFERENCE) | one_sided
    same = ours.top_texts == theirs.top_texts
    filled = (ours.top_texts >= 0) | (theirs.top_texts >= 0)
    n_same, n_tied, n_wrong = (int((filled & which).sum()) for which in (right & same, right & ~same, ~right))
    dead = int((~filled.any(axis=1)).sum())
    line = (
        f"{n_same:,} ranks with the same text, {n_tied:,} with another that is as strong, {n_wrong:,} differ; "
        f"{dead:,} features fire nowhere"
    )
    return Agreement([line], n_wrong)


def look_up(keys: np.ndarray, ascending: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return where each key stands in others that ascend, and whether it does; two arrays of its shape."""
    at = np.searchsorted(ascending, keys).clip(max=len(ascending) - 1)
    return at, ascending[at] == keys


def run_python(command: list[str], threads: int) -> str:
    """Run a module of the project with a Python, in so many threads, and return what it printed."""
    names = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
    environment = os.environ | dict.fromkeys(names, str(threads)) | {"PYTHONPATH": str(ROOT), "HF_HUB_OFFLINE": "1"}
    # -P keeps the working folder off the path, where a file could stand before a library of the same name.
    python, *rest = command
    done = subprocess.run([python, "-P", "-m", *rest], env=environment, capture_output=True, text=True)
    if done.returncode:
        print(done.stderr[-2000:].strip(), file=sys.stderr)
        raise SystemExit(done.returncode)
    return done.stdout


def measure(python: str, side: str, folder: Path, threads: int) -> dict:
    """Return the figures of one side, see side.Meter; what it found is written to the folder."""
    printed = run_python([python, f"benchmarks.examples.{side}", str(folder), str(folder / f"{side}.npz")], threads)
    line = next(line for line in printed.splitlines() if line.startswith(FIGURES))
    return dict(json.loads(line.removeprefix(FIGURES)))


def table(rounds: dict[str, list[dict]]) -> list[str]:
    """Return a row for each figure: its value in each round, and the ratio of the sums to that of ours."""
    rows = [("", [f"round {number + 1}" for number in range(len(rounds[OURS]))], "to ours")]
    sums: dict[str, float] = {}

    def add(side: str, what: str, name: str, values: list[float], digits: int) -> None:
        if side == OURS:
            sums[name] = sum(values)
        ratio = "" if what == "held before, MB" else f"{sum(values) / sums[name]:.2f} ×"
        rows.append((f"{side}: {what}", [f"{value:,.{digits}f}" for value in values], ratio))

    for side, figures in rounds.items():
        seconds = [figure["cpu_seconds"] for figure in figures]
        for step in seconds[0]:
            add(side, f"{step}, CPU s", step.split(",")[0], [each[step] for each in seconds], 2)
        whole = [each["activations"] + each["top texts"] for each in seconds]
        add(side, "activations and top texts, CPU s", "whole", whole, 2)
        add(side, "held before, MB", "held", [figure["held"] / 1e6 for figure in figures], 0)
        add(side, "peak, MB", "peak", [figure["peak"] / 1e6 for figure in figures], 0)
        beyond = [(figure["peak"] - figure["held"]) / 1e6 for figure in figures]
        add(side, "peak beyond that, MB", "beyond", beyond, 0)
    return [f"{name:<48}" + "".join(f"{value:>10}" for value in values) + f"{end:>12}" for name, values, end in rows]


def arguments() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", nargs="?", type=Path, default=ROOT / "data" / "demo")
    parser.add_argument("--python", required=True, metavar="PATH", help="of an environment that has hypothesaes")
    parser.add_argument("--texts", type=int, default=8_000)
    parser.add_argument("--embeddings", type=Path, metavar="FILE.npy")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--threads", type=int, default=1)
    return parser


def main() -> int:
    """Run both sides in turn, compare what they found, print what they cost."""
    options = arguments().parse_args()
    rounds: dict[str, list[dict]] = {OURS: [], THEIRS: []}
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        given_to = [str(options.run.absolute()), str(options.texts), made]
        given_to += [str(options.embeddings.absolute())] if options.embeddings else []
        run_python([sys.executable, "benchmarks.examples.prepare", *given_to], options.threads)
        for _ in range(options.rounds):
            for side, python in ((OURS, sys.executable), (THEIRS, options.python)):
                rounds[side].append(measure(python, side, folder, options.threads))
        given = Given.read(folder)
        sides = [Found.read(folder / f"{side}.npz") for side in (OURS, THEIRS)]
    agreements = [compare_activations(*sides, given), compare_top(*sides, given)]
    l0 = len(sides[0].rows) / len(given.x)
    print(
        f"{len(given.x):,} texts of dimension {given.x.shape[1]}, {len(given.threshold):,} features, L0 {l0:.1f}, "
        f"threshold {given.threshold[0]:.4f}, {TOP} top texts, {options.threads} threads"
    )
    print("\n".join(line for agreement in agreements for line in agreement.lines))
    print("\n".join(table(rounds)))
    return int(any(agreement.wrong for agreement in agreements))


if __name__ == "__main__":
    sys.exit(main())

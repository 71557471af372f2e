"""Our SAE training beside HypotheSAEs, SAELens, dictionary_learning and sparsify, on the same embeddings, in one run.

    python -m benchmarks.peers TRAIN.npy TUNE.npy HELD.npy OUT.jsonl --python SYSTEM=PATH … [--path SYSTEM=FOLDER …]
    python -m benchmarks.peers --table OUT.jsonl

The three files hold embeddings [n, d] of one corpus and share no text. Each system runs in an environment of its own,
whose interpreter --python names (ours, saelens, hypothesaes, dictionary_learning, sparsify; a system that is not named
is left out); --path puts a folder first on a system's module path, for a copy of featurelib, say.

The protocol:
- Every system sees the same training embeddings, unscaled, and the same number of samples, at 1,024 and 4,096
  features, L0 16, 32, 64 and three seeds. It keeps its own recipe (see benchmarks/peer/, a short file each), save
  spans in steps that are longer than the run; sparsify, whose Trainer wants a language model, is its SparseCoder and
  loss in a loop.
- Learning rate, batch size and the system's switches (benchmarks/peer/plan.py) are tuned on TUNE for every system:
  the same list in the same order, until --tune-seconds of CPU time in training are spent, at 1,024 features
  and L0 32; the last candidate is finished. The lowest FVU at exactly k wins, whatever is dead, and is used for all
  sizes, with the system's own rule for the learning rate where it has one (1/√features: dictionary_learning,
  sparsify).
- One piece of numpy (benchmarks/peer/figures.py) measures all of them on HELD: FVU in the raw space and L0 with the
  system's own gate at inference; FVU where exactly k·n activations of the n texts are kept, because learned
  thresholds drift and a larger L0 buys a lower FVU; features dead on all training texts.
- Ours is compared as shipped: with the recipe that a build takes, for any size. It was chosen by hand on such a tuning
  part, with more seconds than the peers get; what the tuning finds for ours is only printed.
- Seconds are the CPU time of the training alone, in one thread (wall time stands in the file). Ours is trained
  also with 3/4 and 1/2 of the samples: the table says how early it passes the FVU (at exactly k) of each peer's end.

A line of JSON is added to OUT.jsonl after each training, and what stands there is not done again: it can be
stopped at any time.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks.peer.plan import OPTIONS, candidates, grid
from benchmarks.peer.table import Line, write_tables
from benchmarks.peer.trial import FOUND, Asked

ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class Bench:
    """Where things are."""

    train: Path
    """The training embeddings."""
    tune: Path
    """Those on which the tuned candidates are measured."""
    test: Path
    """Those on which the comparison is measured."""
    out: Path
    """The file of lines."""
    pythons: dict[str, str]
    """The interpreter of each system's environment."""
    paths: dict[str, str]
    """The folder that comes first on a system's module path."""

    def lines(self) -> list[Line]:
        """Return what is done."""
        return read_lines(self.out) if self.out.is_file() else []

    def do(self, asked: list[Asked], test: Path) -> None:
        """Do those trainings of one system that have no line yet, in one process, and add their lines."""
        done = {line.asked for line in self.lines()}
        left = [training for training in asked if training not in done]
        if not left:
            return
        # -P keeps the working folder off the path, where a file could stand before a library of the same name.
        command = [self.pythons[left[0].system], "-P", "-m", f"benchmarks.peer.{left[0].system}", self.train, test]
        with tempfile.TemporaryFile() as complaints:
            running = subprocess.Popen(
                [*map(str, command), *(json.dumps(asdict(training)) for training in left)],
                env=os.environ | self._environment(left[0].system),
                stdout=subprocess.PIPE,
                stderr=complaints,
                text=True,
            )
            for printed in running.stdout:
                if printed.startswith(FOUND):
                    self._add(printed.removeprefix(FOUND))
            if running.wait():
                complaints.seek(0)
                raise SystemExit(f"{left[0].system} failed:\n{complaints.read().decode(errors='replace')[-2000:]}")

    def _environment(self, system: str) -> dict[str, str]:
        path = os.pathsep.join(filter(None, [self.paths.get(system), str(ROOT)]))
        threads = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
        return {"PYTHONPATH": path, "HF_HUB_OFFLINE": "1", **threads}

    def _add(self, line: str) -> None:
        with self.out.open("a", encoding="utf-8") as out:
            out.write(line)
        print(line, end="", flush=True)

    def tune_system(self, system: str, samples: int, seconds: float) -> Asked:
        """Return the best of the candidates that were tried within the seconds."""
        tried: list[Line] = []
        for asked in candidates(system, samples):
            if sum(line.cpu_seconds for line in tried) >= seconds:
                break
            self.do([asked], self.tune)
            tried += [line for line in self.lines() if line.asked == asked]
        return min(tried, key=lambda line: line.fvu_exact).asked


def read_lines(path: Path) -> list[Line]:
    """Return the lines of a file that `do` wrote."""
    return [Line.read(json.loads(line)) for line in path.read_text(encoding="utf-8").splitlines() if line]


def arguments() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="*", type=Path, metavar="TRAIN TUNE HELD OUT")
    parser.add_argument("--table", type=Path)
    parser.add_argument("--python", action="append", default=[], metavar="SYSTEM=PATH")
    parser.add_argument("--path", action="append", default=[], metavar="SYSTEM=FOLDER")
    parser.add_argument("--samples", type=int, default=108_000)
    parser.add_argument("--tune-samples", type=int, default=108_000)
    parser.add_argument("--tune-seconds", type=float, default=130.0)
    return parser


def main() -> int:
    """Do what is left of the comparison, or print its tables."""
    parser = arguments()
    given = parser.parse_args()
    if given.table:
        print("\n".join(write_tables(read_lines(given.table))))
        return 0
    pythons, paths = (dict(pair.split("=", 1) for pair in pairs) for pairs in (given.python, given.path))
    if len(given.files) != 4 or not pythons or not pythons.keys() | paths.keys() <= OPTIONS.keys():
        parser.error(f"expected TRAIN TUNE HELD OUT and --python SYSTEM=PATH, a system of {', '.join(OPTIONS)}")
    bench = Bench(*given.files, pythons, paths)
    tuned = {
        system: bench.tune_system(system, given.tune_samples, given.tune_seconds)
        for system in OPTIONS
        if system in pythons
    }
    for asked in grid(tuned, given.samples):
        bench.do(asked, bench.test)
    return 0


if __name__ == "__main__":
    sys.exit(main())

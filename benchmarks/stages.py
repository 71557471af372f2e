"""What each stage of a build costs: seconds, CPU seconds and peak memory, each stage a process of its own.

Usage: python -m benchmarks.stages SOURCE [--name costs] [--data FOLDER] [--stages NAME,NAME] [-- flags of the build…]

Stages follow one another with `--only`, so each one's figures hold what it loads itself; about two seconds and 300 MB
of each are Python and the libraries. Peak memory is the largest resident size that the kernel saw (ru_maxrss). A stage
that stood already is said to be so. Without --data the run lies in a temporary folder and is removed at the end.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from benchmarks.kill_sweep import ROOT
from featurelib.storage.runs import Run
from precompute.build.stage_table import PIPELINE

KILOBYTE = 1024
"""ru_maxrss is in kilobytes on Linux."""
BETWEEN = """
import json, resource, subprocess, sys
code = subprocess.call(sys.argv[1:])
used = resource.getrusage(resource.RUSAGE_CHILDREN)
print(json.dumps([code, used.ru_utime + used.ru_stime, used.ru_maxrss]))
"""
"""Runs a command and prints its exit code, CPU seconds and peak."""


@dataclass(frozen=True)
class Cost:
    """What one stage took: wall and CPU seconds, peak resident bytes, the exit code of its process."""

    seconds: float
    cpu_seconds: float
    peak_bytes: int
    code: int


def run_stage(command: list[str], log: Path, root: Path = ROOT) -> Cost:
    """Run the build of one stage in the checkout `root`; ask the kernel what the process and its children took.

    A small process stands between: the peak of a process that a large one starts is said to be no less than its own.
    """
    between = [sys.executable, "-S", "-c", BETWEEN, *command]
    began = time.perf_counter()
    with log.open("a", encoding="utf-8") as stream:
        done = subprocess.run(between, cwd=root, stdout=subprocess.PIPE, stderr=stream, text=True, check=False)
        *printed, figures = done.stdout.splitlines()
        stream.write("\n".join(printed) + "\n")
    code, cpu_seconds, peak = json.loads(figures)
    return Cost(time.perf_counter() - began, cpu_seconds, peak * KILOBYTE, code)


def measure(options: argparse.Namespace, data_folder: Path) -> int:
    """Print a line for each stage; the exit code of the first that failed, else 0."""
    wanted = [name for name in options.stages.split(",") if name]
    log = data_folder / f"{options.name}.log"
    build = [sys.executable, "-m", "precompute", "build", options.source]
    build += ["--name", options.name, "--data", str(data_folder), *options.flags]
    print(f"{'stage':<16}{'seconds':>10}{'CPU s':>10}{'peak MB':>10}")
    for stage in PIPELINE:
        if wanted and stage.name not in wanted:
            continue
        run = Run(data_folder / options.name)
        stood = (run.path / "current").exists() and run.current().done(stage.name) is not None
        cost = run_stage([*build, "--only", stage.name], log)
        note = "  (stood already)" if stood else ""
        row = f"{stage.name:<16}{cost.seconds:>10.1f}{cost.cpu_seconds:>10.1f}{cost.peak_bytes / 1e6:>10.0f}"
        print(row + note, flush=True)
        if cost.code:
            print(f"{stage.name} ended with exit code {cost.code}: {log}", file=sys.stderr)
            return cost.code
    return 0


def main() -> int:
    """Measure in the folder that was given, else in one that is removed."""
    argv = sys.argv[1:]
    split = argv.index("--") if "--" in argv else len(argv)
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source")
    parser.add_argument("--name", default="costs")
    parser.add_argument("--data", type=Path)
    parser.add_argument("--stages", default="", help="names with commas; all stages when left out")
    options = parser.parse_args(argv[:split])
    options.flags = argv[split + 1 :]
    if options.data is not None:
        options.data.mkdir(parents=True, exist_ok=True)
        return measure(options, options.data)
    with tempfile.TemporaryDirectory() as folder:
        return measure(options, Path(folder))


if __name__ == "__main__":
    sys.exit(main())

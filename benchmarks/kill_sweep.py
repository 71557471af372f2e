"""Kill a build with SIGKILL at random moments of each stage, give the same command again, compare every file's sha256.

Usage: python -m benchmarks.kill_sweep SOURCE [--trials 3] [--seed 0] [-- flags of the build…]

A reference is built without a kill. For each stage and trial, the reference's earlier stages are laid in a fresh data
folder, the build is started, killed once the stage has begun and a random share of its measured seconds has gone by,
and started again until it ends. Every file but volatile.json must then have the reference's sha256.
"""

from __future__ import annotations

import argparse
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from featurelib.storage import files
from featurelib.storage.runs import WORK_FOLDER, Generation, Run
from precompute.build.stage_table import PIPELINE, Stage

ROOT = Path(__file__).resolve().parent.parent

NAME = "killed"


def command(source: str, data_folder: Path, flags: list[str]) -> list[str]:
    """The build command, the same every time."""
    return [sys.executable, "-m", "precompute", "build", source, "--name", NAME, "--data", str(data_folder), *flags]


def hashes(run: Run) -> dict[str, str]:
    """The sha256 of every file of the current generation but volatile.json."""
    folder = run.current().path
    paths = (path for path in sorted(folder.rglob("*")) if path.is_file() and path.name != "volatile.json")
    return {path.relative_to(folder).as_posix(): files.sha256_file(path) for path in paths}


def lay_before(stage: Stage, reference: Run, data_folder: Path) -> None:
    """Copy the reference into `data_folder` as it was when `stage` had not begun."""
    shutil.copytree(reference.path, data_folder / NAME)
    generation = Run(data_folder / NAME).current()
    (generation.path / "manifest.json").unlink()
    names = [member.name for member in PIPELINE]
    for later in PIPELINE[names.index(stage.name) :]:
        files.remove(generation.path / "done" / f"{later.name}.json")
        for output in later.outputs:
            files.remove(generation.path / output)


def kill_in(stage: Stage, generation: Generation, started: list[str], delay: float) -> str:
    """Start the build, kill it `delay` seconds after `stage` has begun; say what the kill met."""
    building = subprocess.Popen(started, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    begun = generation.path / WORK_FOLDER / f"{stage.name}.json"
    while building.poll() is None and not begun.exists() and generation.done(stage.name) is None:
        time.sleep(0.002)
    time.sleep(delay)
    met = "ended before the kill" if building.poll() is not None else "killed"
    within = " in the stage" if generation.done(stage.name) is None else " after the stage"
    building.send_signal(signal.SIGKILL)
    building.wait()
    return met + within


def main() -> int:
    """Run the sweep; 0 when every file is equal after every kill."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("source")
    arguments.add_argument("--trials", type=int, default=3)
    arguments.add_argument("--seed", type=int, default=0)
    given, flags = arguments.parse_known_args()
    flags = [flag for flag in flags if flag != "--"]
    draw = random.Random(given.seed)
    differing = 0
    with tempfile.TemporaryDirectory() as folder:
        data_folder = Path(folder) / "reference"
        subprocess.run(command(given.source, data_folder, flags), cwd=ROOT, check=True, stderr=subprocess.DEVNULL)
        reference = Run(data_folder / NAME)
        expected, seconds = hashes(reference), reference.current().volatile()
        # a stage that does not apply to such a run has taken no time
        made = [stage for stage in PIPELINE if stage.name in seconds]
        for stage in made:
            for trial in range(given.trials):
                data_folder = Path(folder) / f"{stage.name}-{trial}"
                lay_before(stage, reference, data_folder)
                delay = draw.random() * seconds[stage.name]["seconds"]
                started = command(given.source, data_folder, flags)
                met = kill_in(stage, Run(data_folder / NAME).current(), started, delay)
                subprocess.run(started, cwd=ROOT, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
                digests = hashes(Run(data_folder / NAME))
                wrong = sorted(name for name in expected | digests if expected.get(name) != digests.get(name))
                differing += bool(wrong)
                print(
                    f"{stage.name:<10} {met} {delay:6.2f} s in: {len(expected)} files, {len(wrong)} differ {wrong[:4]}",
                    flush=True,
                )
                shutil.rmtree(data_folder)
    print(f"{len(made) * given.trials} kills, {differing} runs that differ from the one never killed")
    return 1 if differing else 0


if __name__ == "__main__":
    sys.exit(main())

"""How far a build is, as pages, a notebook and `status` see it: a real build in another process, alive and killed."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

import featurelib
from featurelib.schema import AUDIT, FEATURES, RunNotReady
from featurelib.storage.progress import (
    PROGRESS_FILE,
    Progress,
    find_progress,
    say_how_to_build,
    write_progress,
)
from featurelib.storage.runs import Run
from precompute.__main__ import main
from precompute.build.build import alone
from precompute.build.build_progress import report_progress
from tests.conftest import TINY_FLAGS
from tests.support import ROOT
from tests.support.page import page_of, words
from tests.support.planted import Planted

NOW = r"being made now: stage train, \d+ %"
ONCE_MORE = "give its build command once more"
PAGES = sorted(path.name for path in (ROOT / "pages").glob("*.py") if path.name != "navigation.py")
LONG = ("--epochs", "100000")
"""A training that outlives its test."""


class Building(NamedTuple):
    """A build that is going on in another process, in the middle of a long loop."""

    child: subprocess.Popen[bytes]
    run: Run


def begin(planted: Planted, folder: Path, *flags: str) -> Building:
    """Start a build whose training does not end, and wait until it is at it."""
    command = [sys.executable, "-m", "precompute", "build", str(planted.path), "--name", "tiny", "--data", str(folder)]
    child = subprocess.Popen(
        [*command, *TINY_FLAGS, *LONG, *flags], cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    run = Run(folder / "tiny")
    until = time.monotonic() + 120
    while time.monotonic() < until and child.poll() is None:
        progress = find_progress(run.path)
        if progress and progress.stage == "train" and progress.share is not None:
            return Building(child, run)
        time.sleep(0.05)
    end(child)
    pytest.fail(f"the build has not come to its training: {find_progress(run.path)}, code {child.poll()}")


def end(child: subprocess.Popen[bytes]) -> None:
    child.send_signal(signal.SIGKILL)
    child.wait()


@pytest.fixture
def building(planted: Planted, tmp_path: Path) -> Iterator[Building]:
    building = begin(planted, tmp_path / "data")
    yield building
    end(building.child)


def missing(run: Run) -> str:
    """What a notebook is told that asks for a table of a later stage."""
    with pytest.raises(RunNotReady) as refused:
        featurelib.open(run.path).ask("select * from features")
    return str(refused.value)


def status(run: Run, capsys: pytest.CaptureFixture[str]) -> str:
    capsys.readouterr()
    assert main(["status", "tiny", "--data", str(run.path.parent)]) == 0
    return capsys.readouterr().out


def test_while_a_build_is_alive_everybody_is_told_its_stage_and_share_and_after_a_kill_nobody(
    building, use_data, planted, capsys
):
    run = building.run
    use_data(run.path.parent)
    assert re.search(f"its stage 'summarise' is not done; it is {NOW}\\.$", missing(run))
    for page in PAGES:
        shown = words(page_of(page, {"run": "tiny"}))
        assert re.search(f"This run is {NOW}\\.", shown) and ONCE_MORE not in shown, page
    assert re.search(f"tiny · g0001 · {NOW}\n", status(run, capsys))
    assert re.search(r"\n  train +now, \d+ %: an SAE\n", status(run, capsys))
    building.child.send_signal(signal.SIGKILL)
    building.child.wait()
    assert (run.path / PROGRESS_FILE).is_file() and find_progress(run.path) is None
    assert ONCE_MORE in missing(run) and "being made" not in missing(run)
    for page in ("overview.py", "features.py", "audit.py"):
        assert "being made" not in words(page_of(page, {"run": "tiny"})), page
    assert ONCE_MORE in words(page_of("features.py", {"run": "tiny"}))
    assert "tiny · g0001 · unfinished, and nobody is building it\n" in status(run, capsys)
    flags = [*TINY_FLAGS, "--to", "train", "--data", str(run.path.parent)]
    assert main(["build", str(planted.path), "--name", "tiny", *flags]) == 0
    assert not list(run.path.glob(f"{PROGRESS_FILE}*"))


def test_a_build_that_stands_still_is_called_so(building):
    building.child.send_signal(signal.SIGSTOP)
    long_ago = time.time() - 300
    os.utime(building.run.path / PROGRESS_FILE, (long_ago, long_ago))
    assert re.search(r"being made, but its build has stood still for 5 min: stage train, \d+ %", missing(building.run))


def test_a_part_that_this_build_will_not_make_is_not_promised(planted, tmp_path):
    building = begin(planted, tmp_path / "data", "--to", "encode")
    try:
        generation = building.run.current()
        with pytest.raises(RunNotReady, match="it is being made now: stage train"):
            generation.need(next(table for table in featurelib.schema.TABLES if table.stage == "encode"))
        for table in (FEATURES, AUDIT):
            with pytest.raises(RunNotReady, match=ONCE_MORE):
                generation.need(table)
    finally:
        end(building.child)


def test_a_build_that_is_refused_leaves_nothing_behind_and_no_manifest_lists_it(planted, own_data, capsys):
    arguments = ["build", str(planted.path), "--name", "tiny", "--data", str(own_data), *TINY_FLAGS]
    assert main([*arguments, "--sae", "/no/such/sae"]) == 2
    assert main([*arguments, "--from", "audit"]) == 0
    assert not list(own_data.rglob(f"{PROGRESS_FILE}*"))
    assert PROGRESS_FILE not in (Run(own_data / "tiny").current().path / "manifest.json").read_text()


# the file and the lock


@pytest.mark.parametrize(
    "content",
    ["", "[", "[]", "5", "{}", '{"stage": 5, "share": 0.5, "stages": []}', '{"stage": "a", "share": 1, "stages": 3}',
     "[" * 9999, '{"stage": "' + "a" * 5000 + '", "share": 0.5, "stages": ["audit"]}', "\udcff"],
)  # fmt: skip
def test_a_file_that_is_no_progress_says_nothing(content, tmp_path):
    run = Run(tmp_path / "x")
    with alone(run):
        (run.path / PROGRESS_FILE).write_text(content, encoding="utf-8", errors="surrogateescape")
        assert find_progress(run.path) is None and ONCE_MORE in say_how_to_build(run.path, "audit")


@pytest.mark.parametrize(
    ("stage", "share", "sentence"),
    [
        (None, None, "being made now"),
        ("layout", None, "being made now: stage layout"),
        ("attributions", 0.279, "being made now: stage attributions, 27 %"),
        ("audit", 1.0, "being made now: stage audit, 99 %"),
        ("audit", -0.5, "being made now: stage audit, 0 %"),
    ],
)
def test_what_is_going_on_is_said_as_far_as_it_is_known(stage, share, sentence, tmp_path):
    run = Run(tmp_path / "x")
    with alone(run):
        write_progress(run.path, Progress(stage, share, ("audit",)))
        assert find_progress(run.path).sentence == sentence
        assert say_how_to_build(run.path, "audit") == f"it is {sentence}."
    assert find_progress(run.path) is None


def test_looking_at_a_free_lock_neither_takes_it_from_a_build_nor_seems_to_hold_it(tmp_path):
    run, stopped = Run(tmp_path / "x"), threading.Event()
    with alone(run):
        pass
    write_progress(run.path, Progress("audit", 0.5, ("audit",)))
    seen: list[bool] = []

    def look() -> None:
        while not stopped.is_set():
            seen.append(find_progress(run.path) is not None)

    readers = [threading.Thread(target=look, daemon=True) for _ in range(4)]
    for reader in readers:
        reader.start()
    try:
        until = time.monotonic() + 20
        while len(seen) < 2000 and time.monotonic() < until:
            time.sleep(0.01)
        assert seen and not any(seen)
        for _ in range(30):
            with alone(run):
                assert find_progress(run.path) is not None
    finally:
        stopped.set()


def test_the_last_share_is_written_without_being_asked_for(tmp_path):
    run = Run(tmp_path / "x")
    with alone(run), report_progress(run.path, ["audit"]) as reported:
        assert find_progress(run.path).sentence == "being made now"
        reported.begin("audit")
        reported.set_share(0.5)
        until = time.monotonic() + 20
        while find_progress(run.path).percent != "50 %" and time.monotonic() < until:
            time.sleep(0.05)
        assert find_progress(run.path).sentence == "being made now: stage audit, 50 %"
    assert not list(run.path.glob(f"{PROGRESS_FILE}*"))

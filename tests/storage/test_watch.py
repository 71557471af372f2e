"""The watch over the files of the runs that are read: what changed is named, and nothing is hashed without need."""

from __future__ import annotations

import errno
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import pytest

import featurelib.storage.watch as watch_module
from featurelib.storage.runs import Generation, Run
from featurelib.storage.watch import FileWatch, Pace
from tests.support.numpy_run import NumpyRun, make_run

QUICK = Pace(start=0.0, look=0.02, again=1e6, share=1.0, rest=60.0)
"""Looks all the time, and hashes again only what has another stamp."""
AGAIN = Pace(start=0.0, look=0.02, again=0.05, share=1.0, rest=60.0)
"""Hashes everything again all the time."""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> NumpyRun:
    return make_run(tmp_path_factory.mktemp("watch") / "small")


@pytest.fixture
def copied(made: NumpyRun, tmp_path: Path) -> Generation:
    return Run(shutil.copytree(made.run.path, tmp_path / "copy")).current()


def wait(condition: Callable[[], bool]) -> None:
    """Wait until something holds; half a minute is long even for a busy machine."""
    end = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < end, "it never came to hold"
        time.sleep(0.01)


def n_files(generation: Generation) -> int:
    return sum(1 for _ in generation.manifest_files())


def flip(path: Path, *, keep_time: bool = False) -> None:
    """Flip one bit in the middle of a file, without replacing it."""
    before = path.stat()
    with path.open("r+b") as opened:
        opened.seek(before.st_size // 2)
        byte = opened.read(1)[0]
        opened.seek(before.st_size // 2)
        opened.write(bytes([byte ^ 4]))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns if keep_time else before.st_mtime_ns + 10**9))
    assert path.stat().st_size == before.st_size and (path.stat().st_mtime_ns == before.st_mtime_ns) is keep_time


def test_each_file_is_hashed_once_and_one_that_changes_once_more(copied: Generation) -> None:
    watch = FileWatch(QUICK)
    assert watch.read(copied) == {}
    wait(lambda: watch.n_hashed == n_files(copied))
    flip(copied.path / "summaries/labels.parquet")
    wait(lambda: list(watch.read(copied)) == ["summaries/labels.parquet"])
    time.sleep(0.3)  # some ten looks
    assert watch.n_hashed == n_files(copied) + 1
    assert watch.read(copied)["summaries/labels.parquet"].startswith("summaries/labels.parquet has changed: its sha256")


def test_a_file_that_cannot_be_read_is_named_and_hides_no_other(
    copied: Generation, monkeypatch: pytest.MonkeyPatch
) -> None:
    hashed = watch_module._hashed

    def broken(path: Path) -> str:
        if path.name == "run.json":
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return hashed(path)

    monkeypatch.setattr(watch_module, "_hashed", broken)
    flip(copied.path / "summaries/labels.parquet")
    watch = FileWatch(QUICK)
    wait(lambda: set(watch.read(copied)) == {"run.json", "summaries/labels.parquet"})
    said = watch.read(copied)["run.json"]
    assert said == "run.json cannot be read (Input/output error); the disk may be damaged."


def test_a_file_that_is_mended_is_named_no_longer(made: NumpyRun, copied: Generation) -> None:
    watch = FileWatch(QUICK)
    flip(copied.path / "texts.parquet")
    wait(lambda: list(watch.read(copied)) == ["texts.parquet"])
    shutil.copyfile(made.generation.path / "texts.parquet", copied.path / "texts.parquet")
    wait(lambda: watch.read(copied) == {})


def test_a_bit_that_flips_without_a_new_time_is_found_when_all_is_hashed_again(copied: Generation) -> None:
    watch = FileWatch(AGAIN)
    watch.read(copied)
    wait(lambda: watch.n_hashed >= n_files(copied))
    flip(copied.path / "sae/sae_weights.safetensors", keep_time=True)
    wait(lambda: list(watch.read(copied)) == ["sae/sae_weights.safetensors"])


def test_what_takes_long_to_hash_is_hashed_again_seldom(copied: Generation) -> None:
    watch = FileWatch(Pace(start=0.0, look=0.02, again=0.05, share=1e-6, rest=60.0))
    watch.read(copied)
    wait(lambda: watch.n_hashed == 2 * n_files(copied))  # once, and once again
    time.sleep(0.3)
    assert watch.n_hashed == 2 * n_files(copied)


def test_files_that_vanish_or_grow_and_a_broken_manifest_are_named_too(copied: Generation) -> None:
    watch = FileWatch(QUICK)
    (copied.path / "summaries/keywords.parquet").unlink()
    with (copied.path / "run.json").open("ab") as opened:
        opened.write(b" ")
    wait(lambda: set(watch.read(copied)) == {"summaries/keywords.parquet", "run.json"})
    assert "is missing" in watch.read(copied)["summaries/keywords.parquet"]
    (copied.path / "manifest.json").write_text("{")
    wait(lambda: list(watch.read(copied)) == ["manifest.json"])


def test_a_run_that_is_being_built_is_not_hashed(tmp_path: Path) -> None:
    watch = FileWatch(QUICK)
    unfinished = make_run(tmp_path / "unfinished", upto="encode").generation
    assert watch.read(unfinished) == {} and watch.n_hashed == 0 and watch._thread is None


def test_only_the_runs_that_are_read_are_hashed_again(made: NumpyRun, copied: Generation, tmp_path: Path) -> None:
    other = Run(shutil.copytree(made.run.path, tmp_path / "other")).current()
    watch = FileWatch(Pace(start=0.0, look=0.02, again=0.05, share=1.0, rest=0.5))
    wait(lambda: watch.read(other) == {} and watch.n_hashed >= n_files(other))
    time.sleep(0.8)  # nobody reads it any longer
    flip(other.path / "split.parquet")
    flip(copied.path / "split.parquet")
    wait(lambda: list(watch.read(copied)) == ["split.parquet"])
    assert watch._watched[other.path].wrong == {}
    wait(lambda: list(watch.read(other)) == ["split.parquet"])


def test_a_file_that_two_generations_share_is_hashed_once(made: NumpyRun, tmp_path: Path) -> None:
    watch = FileWatch(QUICK)
    linked = Run(shutil.copytree(made.run.path, tmp_path / "linked", copy_function=os.link)).current()
    watch.read(made.generation)
    wait(lambda: watch.n_hashed == n_files(made.generation))
    watch.read(linked)
    wait(lambda: watch._watched[linked.path].steps is None and watch._watched[linked.path].due > 0)
    time.sleep(0.2)
    assert watch.n_hashed == n_files(made.generation)


def test_a_run_that_is_removed_while_it_is_watched_does_not_end_the_watch(made: NumpyRun, copied: Generation) -> None:
    watch = FileWatch(AGAIN)
    watch.read(copied)
    wait(lambda: watch.n_hashed > 3)
    shutil.rmtree(copied.path)
    watch.read(made.generation)
    before = watch.n_hashed
    wait(lambda: watch.n_hashed > before + n_files(made.generation))
    assert watch.read(copied) == {} and watch.read(made.generation) == {}

"""A disk that fills, in every stage: one sentence, and the same command goes on when there is room."""

from __future__ import annotations

import contextlib
import os
import resource
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from featurelib.schema import Refusal
from featurelib.storage import files
from featurelib.storage.runs import Run
from featurelib.storage.store import open_store
from tests.precompute.test_build import build, hashes
from tests.support.planted import Planted
from tests.support.shared import TEXT_STAGES

SIZE = 64_000_000
ROOMS = (0, 8192, 65_536)
"""How much room a stage finds, attempt after attempt; then there is enough."""
FINISH = "manifest"


class SmallDisk:
    """A file system of its own, in memory, filled up with one large file."""

    complaint = "no space is left on the disk"

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._filler = folder / "filler"

    def leave(self, n_bytes: int | None) -> None:
        """Leave so much room; None: all there is."""
        self._filler.unlink(missing_ok=True)
        if n_bytes is not None:
            status = os.statvfs(self.folder)
            with self._filler.open("wb") as opened:
                os.posix_fallocate(opened.fileno(), 0, max(1, status.f_bavail * status.f_bsize - n_bytes))


class SmallFiles:
    """Where no file system may be mounted: files that may not grow beyond a size."""

    complaint = "File too large"

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def leave(self, n_bytes: int | None) -> None:
        """Let files grow to so many bytes; None: as they like."""
        hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
        resource.setrlimit(resource.RLIMIT_FSIZE, (hard if n_bytes is None else n_bytes, hard))


@pytest.fixture(scope="module")
def disk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SmallDisk | SmallFiles]:
    folder = tmp_path_factory.mktemp("disk")
    with contextlib.suppress(OSError):
        mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={SIZE}", "tmpfs", folder], capture_output=True)
        if mounted.returncode == 0:
            yield SmallDisk(folder)
            subprocess.run(["umount", folder], check=True)
            return
    small = SmallFiles(folder)
    yield small
    small.leave(None)


class Filling:
    """Fills the disk whenever a stage begins, less each time that the same stage does."""

    def __init__(self, disk: SmallDisk | SmallFiles) -> None:
        self.disk = disk
        self.begun: list[str] = []

    def begin(self, stage: str) -> None:
        """Leave as much room as the stage finds this time."""
        attempts = self.begun.count(stage)
        self.begun.append(stage)
        self.disk.leave(ROOMS[attempts] if attempts < len(ROOMS) else None)


@pytest.fixture
def filling(disk: SmallDisk | SmallFiles, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Filling]:
    """The disk fills when a stage begins, and when the manifest is written; temporary files lie elsewhere."""
    from precompute.build import build as module
    from precompute.build.build_progress import BuildProgress

    filling = Filling(disk)
    begin, manifest = BuildProgress.begin, module.write_manifest
    monkeypatch.setattr(BuildProgress, "begin", lambda self, stage: (filling.begin(stage), begin(self, stage))[1])
    monkeypatch.setattr(module, "write_manifest", lambda generation: (filling.begin(FINISH), manifest(generation))[1])
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    yield filling
    disk.leave(None)


def test_a_disk_that_fills_in_any_stage_is_a_sentence_and_the_build_goes_on_when_there_is_room(
    planted: Planted, tiny: Run, filling: Filling, capsys: pytest.CaptureFixture[str]
) -> None:
    data, failed = filling.disk.folder / "data", []
    while build(planted, data) != 0:
        filling.disk.leave(None)
        complaint = capsys.readouterr().err
        errors = [line for line in complaint.splitlines() if line.startswith("error: ")]
        assert len(errors) == 1 and filling.disk.complaint in errors[0] and "Traceback" not in complaint, complaint
        failed.append(filling.begun[-1])
        assert not Run(data / "tiny").generations()[-1].complete
        assert len(failed) <= len(ROOMS) * (len(TEXT_STAGES) + 1), failed
    assert set(failed) == {*TEXT_STAGES, FINISH}, failed
    assert hashes(Run(data / "tiny").current().path) == hashes(tiny.current().path)
    shutil.rmtree(data)


def test_a_finished_run_whose_index_finds_no_room_is_complete(
    own_data: Path, planted: Planted, disk: SmallDisk | SmallFiles, capsys: pytest.CaptureFixture[str], monkeypatch
) -> None:
    from precompute.build import build as module

    data, make = disk.folder / "finished", module.make_indexes
    shutil.copytree(own_data, data)
    shutil.rmtree(Run(data / "tiny").cache_folder)
    (disk.folder / "temporary").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(disk.folder / "temporary"))
    monkeypatch.setattr(module, "make_indexes", lambda *given, **named: (disk.leave(8192), make(*given, **named))[1])
    try:
        assert build(planted, data, "--from", "audit") == 0
    finally:
        disk.leave(None)
    printed = capsys.readouterr().out
    assert "the index can be written nowhere" in printed and "the word index can be written nowhere" in printed
    assert Run(data / "tiny").current().complete and "is complete (g0002)" in printed
    assert [path for path in Run(data / "tiny").cache_folder.rglob("*") if path.suffix == files.ASIDE] == []
    monkeypatch.undo()
    make(Run(data / "tiny").current())
    assert open_store(Run(data / "tiny").current()).index is not None
    shutil.rmtree(data)


def test_what_a_question_puts_aside_may_find_no_room(tiny: Run, disk: SmallDisk | SmallFiles) -> None:
    if isinstance(disk, SmallFiles):
        pytest.skip("no file system may be mounted here")
    spill = disk.folder / "spill"
    disk.leave(2_000_000)
    store = open_store(tiny.current(), memory_limit="40MB", spill=spill)
    try:
        with pytest.raises(Refusal, match=r"no space is left on the disk for what does not fit into 40MB of memory"):
            store.ask(COUNTED)
    finally:
        store.close()
        disk.leave(None)
    assert not spill.exists() or not list(spill.iterdir())


COUNTED = """
select sum(n)
from (
    select word, count(*) as n, max(longer)
    from (select (i * 7919) % 2000000 as word, i::varchar || 'abcdefghijklmnop' as longer from range(4000000) t(i))
    group by word
)
"""

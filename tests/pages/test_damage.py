"""Pages of a run whose files have changed: they say so, and what cannot be read is a sentence without a traceback."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from featurelib.schema import LABELS, TOP_TEXT_ROWS
from featurelib.storage.runs import Run
from featurelib.storage.watch import FileWatch
from featurelib.ui.kit import session
from tests.storage.test_watch import QUICK, flip, wait
from tests.support import ROOT
from tests.support.numpy_run import NumpyRun, make_run
from tests.support.page import UseData, page_of, words
from tests.support.server import serve
from tests.support.wire import Wire

PAGES = sorted(path.name for path in (ROOT / "pages").glob("*.py") if path.name != "navigation.py")
PARAMS = {"text.py": {"text": 7}, "feature.py": {"feature": 7}, "similar.py": {"a": 1, "b": 2}}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> NumpyRun:
    return make_run(tmp_path_factory.mktemp("damage") / "small")


@pytest.fixture
def copied(made: NumpyRun, tmp_path: Path) -> Run:
    return Run(shutil.copytree(made.run.path, tmp_path / "small"))


def test_every_page_says_at_its_top_which_file_has_changed(
    made: NumpyRun, copied: Run, use_data: UseData, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(made.run.path, copied.path.parent / "whole")
    watch = FileWatch(QUICK)
    monkeypatch.setattr(session, "file_watch", lambda: watch)
    use_data(copied.path.parent)
    assert "damaged" not in words(page_of("features.py", {"run": "small"}))
    flip(copied.current().file(TOP_TEXT_ROWS))
    wait(lambda: bool(watch.read(copied.current())))
    for page in PAGES:
        drawn = words(page_of(page, {"run": "small", **PARAMS.get(page, {})}))
        assert drawn.startswith(
            "Run 'small' is damaged, so this page may be wrong: summaries/top_texts.parquet is not as it was built. "
            "Build it again, or copy it once more."
        ), page
    assert "damaged" not in words(page_of("features.py", {"run": "whole"}))


def test_many_changed_files_are_named_by_three_and_a_number(
    copied: Run, use_data: UseData, monkeypatch: pytest.MonkeyPatch
) -> None:
    watch = FileWatch(QUICK)
    monkeypatch.setattr(session, "file_watch", lambda: watch)
    use_data(copied.path.parent)
    parts = sorted((copied.current().path / "embeddings").iterdir())
    for part in parts:
        flip(part)
    wait(lambda: len(watch.read(copied.current())) == len(parts) == 5)
    drawn = words(page_of("features.py", {"run": "small"}))
    assert "embeddings/part-00002.parquet and 2 more files are not as they were built" in drawn


def test_a_file_that_cannot_be_read_is_a_sentence_and_no_traceback_in_the_log(copied: Run, tmp_path: Path) -> None:
    """/features asks for labels at its top level, outside every section: its Refusal reaches the top of the page."""
    labels = copied.current().file(LABELS)
    whole, log = labels.read_bytes(), tmp_path / "log.txt"
    with serve(copied.path.parent, log) as (address, _):
        shown = []
        for place in range(0, len(whole), max(1, len(whole) // 12)):
            labels.write_bytes(whole[:place] + bytes([whole[place] ^ 8]) + whole[place + 1 :])
            with Wire(address) as wire:
                shown.append(wire.open("/features?run=small"))
    refused = [drawn for drawn in shown if "is gone or cannot be read" in drawn]
    assert refused and all("verify small" in drawn for drawn in refused)
    assert not any("an error of its own" in drawn for drawn in shown)
    assert "Traceback" not in log.read_text() and "a page failed" not in log.read_text()

"""What is converted once lies whole in the user's cache, or in a folder of this user where there can be none."""

from __future__ import annotations

from pathlib import Path

import pytest

from featurelib.storage import converted as cache
from featurelib.storage.converted import converted


def fill(folder: Path) -> None:
    (folder / "model").write_text("weights")


def test_it_is_made_once_and_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))

    def fail(folder: Path) -> None:
        fill(folder)
        raise OSError("the disk is full")

    with pytest.raises(OSError, match="full"):
        converted("one", fail)
    assert list((tmp_path / "feature-browser").iterdir()) == [], "nothing is left of it"
    made = converted("one", fill)
    assert made == tmp_path / "feature-browser" / "one" and (made / "model").read_text() == "weights"
    assert converted("one", lambda folder: pytest.fail("made again")) == made


def test_where_no_cache_can_be_made_it_is_a_folder_of_this_user(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    monkeypatch.setattr(cache, "own_temporary_folder", lambda: tmp_path / "own")
    (tmp_path / "own").mkdir()
    assert converted("one", fill) == tmp_path / "own" / "one"

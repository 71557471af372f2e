"""What most tests use: a planted corpus, a stand-in embedder, one complete run made by the real command."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from featurelib.live.client import Live
from featurelib.storage.runs import Generation, Run
from precompute.__main__ import main
from tests.support.planted import Planted, plant
from tests.support.shared import build_once

STAND_IN = "stand-in:64"
TINY_FLAGS = (
    *("--text-column", "abstract", "--title-column", "title", "--id-column", "id"),
    *("--embedder", STAND_IN, "--keyword-embedder", STAND_IN, "--features", "32", "--k", "3"),
)


@pytest.fixture(scope="session")
def planted(tmp_path_factory: pytest.TempPathFactory) -> Planted:
    """The planted corpus as a Parquet file."""
    return plant(build_once(tmp_path_factory, "corpus", plant))


@pytest.fixture(scope="session")
def tiny_data(planted: Planted, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder that holds the complete run 'tiny', built once; read it, never write to it."""

    def build(folder: Path) -> None:
        assert main(["build", str(planted.path), "--name", "tiny", "--data", str(folder), *TINY_FLAGS]) == 0

    return build_once(tmp_path_factory, "data", build)


@pytest.fixture(scope="session")
def tiny(tiny_data: Path) -> Run:
    """The tiny run."""
    return Run(tiny_data / "tiny")


@pytest.fixture(scope="session")
def generation(tiny: Run) -> Generation:
    """Its complete generation."""
    return tiny.current()


@pytest.fixture(scope="module")
def live() -> Iterator[Live]:
    """A client of a worker of its own, which ends with the tests of one file."""
    live = Live()
    yield live
    live.close()


@pytest.fixture
def own_data(tiny_data: Path, tmp_path: Path) -> Path:
    """A copy of the data folder for tests that write."""
    return shutil.copytree(tiny_data, tmp_path / "data")


@pytest.fixture
def use_data() -> Iterator[Callable[[Path], None]]:
    """Chooses the data folder of the pages; the previous one is restored after the test."""
    from featurelib import ui

    before = ui.data_folder()
    yield ui.use_data_folder
    ui.use_data_folder(before)


@pytest.fixture
def open_tiny(tiny_data: Path, use_data: Callable[[Path], None]) -> Callable[..., object]:
    """Opens a page of the tiny run: the name of its file, then the parameters of its address."""
    from tests.support.page import page_of

    use_data(tiny_data)
    return lambda file, /, **params: page_of(file, {"run": "tiny", **params})

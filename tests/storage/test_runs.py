"""A run is a folder with a current generation; names never leave the data folder."""

from __future__ import annotations

import string
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from featurelib.schema import FORMAT_VERSION, TEXTS, Refusal, RunNotReady
from featurelib.storage import files
from featurelib.storage.run_manifest import missing_or_resized, verify
from featurelib.storage.runs import Generation, Run, check_name, find_runs, open_run
from tests.support.shared import TEXT_STAGES


@pytest.mark.parametrize(
    "name", ["..", ".", "a/b", "a\\b", "", "a..b", "x" * 65, "a\n", "a\x00", "ä", "-a", "C:x", " a"]
)
def test_a_name_that_could_leave_the_folder_is_refused(name: str) -> None:
    with pytest.raises(Refusal):
        check_name(name)


@given(st.text(max_size=70))
def test_an_accepted_name_is_one_plain_path_component(name: str) -> None:
    try:
        check_name(name)
    except Refusal:
        return
    assert set(name) <= set(string.ascii_letters + string.digits + "._-")
    assert (Path("data") / name).parent == Path("data")


def test_a_link_out_of_the_data_folder_is_no_run(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "current").write_text("g0001\n")
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / "sneaky").symlink_to(outside)
    assert find_runs(folder) == {}


def test_current_must_name_a_generation_that_is_there(tmp_path: Path) -> None:
    run = Run(tmp_path / "r")
    run.path.mkdir()
    with pytest.raises(RunNotReady, match="current is missing"):
        run.current()
    (run.path / "current").write_text("../../etc\n")
    with pytest.raises(RunNotReady, match="is missing"):
        run.current()
    generation = Generation(run.path / "g0001")
    files.write_json(generation.path / "run.json", {"format_version": FORMAT_VERSION + 1})
    run.point_to(generation)
    with pytest.raises(Refusal, match="format version"):
        run.current()


def test_an_unfinished_run_says_which_stage_is_missing(tmp_path: Path) -> None:
    generation = Generation(tmp_path / "r" / "g0001")
    with pytest.raises(RunNotReady, match="stage 'ingest' is not done"):
        generation.need(TEXTS)


def test_a_folder_that_is_no_run_names_the_runs_beside_it(tiny_data: Path) -> None:
    with pytest.raises(Refusal, match="tiny"):
        open_run(tiny_data)


def test_the_tiny_run_is_complete_and_verifies(tiny: Run) -> None:
    generation = tiny.current()
    assert generation.complete
    assert all(generation.done(stage) for stage in TEXT_STAGES)
    assert [sentence for _, sentence in verify(generation) if sentence] == []
    assert not (generation.path / "work").exists()


@pytest.mark.parametrize("damage", ["flip", "cut", "remove"])
def test_verify_finds_every_damage_and_size_check_the_coarse_ones(own_data: Path, damage: str) -> None:
    generation = Run(own_data / "tiny").current()
    path = generation.path / "summaries" / "features.parquet"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.unlink()
    if damage != "remove":
        path.write_bytes(content if damage == "flip" else content[:-1])
    assert [name for name, sentence in verify(generation) if sentence] == ["summaries/features.parquet"]
    assert bool(missing_or_resized(generation)) is (damage != "flip")

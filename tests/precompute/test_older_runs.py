"""Runs and commands from before stages were renamed: they open, their stages stand, the old names are understood."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from featurelib.schema import FORMERLY, RENAMED, STAGES
from featurelib.storage import files
from featurelib.storage.runs import Run
from precompute.__main__ import main
from precompute.build.provenance import write_manifest
from precompute.build.stage_table import PIPELINE, stage_of
from tests.conftest import TINY_FLAGS
from tests.support import ROOT
from tests.support.planted import Planted
from tests.support.shared import TEXT_STAGES


@pytest.fixture
def older(own_data: Path) -> Run:
    """The tiny run with the markers and records that an earlier version left."""
    run = Run(own_data / "tiny")
    generation = run.current()
    (generation.path / "manifest.json").unlink()
    for name, first in FORMERLY.items():
        (generation.path / "done" / f"{name}.json").rename(generation.path / "done" / f"{first}.json")
    records = files.read_json(generation.path / "volatile.json")
    files.write_json(
        generation.path / "volatile.json", {FORMERLY.get(name, name): record for name, record in records.items()}
    )
    write_manifest(generation)
    return run


def build(planted: Planted, run: Run, *flags: str) -> int:
    folder = run.path.parent
    return main(["build", str(planted.path), "--name", run.name, "--data", str(folder), *TINY_FLAGS, *flags])


def test_the_demo_of_an_earlier_version_is_complete_under_the_present_names(capsys: pytest.CaptureFixture[str]) -> None:
    generation = Run(ROOT / "data" / "demo").current()
    made = {RENAMED.get(marker.stem, marker.stem) for marker in (generation.path / "done").iterdir()}
    assert set(FORMERLY) <= made <= set(STAGES) and all(generation.done(stage) for stage in made)
    data_flag = ("--data", str(ROOT / "data"))
    assert main(["status", "demo", *data_flag]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[1:]] == list(TEXT_STAGES)
    assert "110,141 keywords" in lines[1 + TEXT_STAGES.index("keywords")]
    assert main(["verify", "demo", *data_flag]) == 0
    assert "all as they were built" in capsys.readouterr().out


def test_every_stage_of_an_older_run_stands(planted: Planted, older: Run, capsys: pytest.CaptureFixture[str]) -> None:
    before = sorted(older.current().path.rglob("*"))
    assert older.current().volatile().keys() == set(TEXT_STAGES)
    assert build(planted, older) == 0
    assert capsys.readouterr().out.count("skipped, done before") == len(TEXT_STAGES)
    assert sorted(older.current().path.rglob("*")) == before


def test_a_rebuild_of_an_older_run_keeps_what_stands_under_the_present_names(
    planted: Planted, older: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    assert build(planted, older, "--keyword-texts", "5", "--to", "keywords") == 0
    printed = capsys.readouterr().out
    for stage in STAGES[: STAGES.index("keywords")]:
        assert f"{stage}: skipped" in printed
    assert "keywords: made again, --keyword-texts was 10 and is 5" in printed
    newest = older.generations()[-1]
    assert newest.name == "g0002" and not newest.done("labels") and newest.done("layout")
    assert {path.stem for path in (newest.path / "done").iterdir()} <= set(STAGES)
    assert "layout" in newest.volatile() and newest.describe()["layout"]["method"] == "UMAP"


def test_an_unfinished_older_run_goes_on(planted: Planted, older: Run, capsys: pytest.CaptureFixture[str]) -> None:
    generation = older.current()
    (generation.path / "manifest.json").unlink()
    (generation.path / "done" / "relate.json").unlink()
    assert main(["status", "tiny", "--data", str(older.path.parent)]) == 0
    assert "families to do: families of features" in " ".join(capsys.readouterr().out.split())
    assert build(planted, older) == 0
    assert capsys.readouterr().out.count("skipped, done before") == len(TEXT_STAGES) - 1
    assert generation.complete and (generation.path / "done" / "families.json").is_file()


def test_a_lost_marker_of_an_older_run_has_its_stage_made_again(
    planted: Planted, older: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    (older.current().path / "done" / "miss.json").unlink()
    assert build(planted, older, "--to", "near_misses") == 0
    printed = capsys.readouterr().out
    assert "damaged: done/miss.json is missing" in printed and "attributions: skipped" in printed
    assert "near_misses: 3" in printed


def test_a_file_belongs_to_its_stage_under_both_names() -> None:
    for stage in PIPELINE:
        assert stage_of(f"done/{stage.name}.json") == stage_of(f"done/{stage.hashed_name}.json") == stage.name


def test_stages_may_be_called_by_their_first_names(
    planted: Planted, own_data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = Run(own_data / "tiny")
    assert build(planted, run, "--only", "miss", "--from", "miss") == 0
    printed = capsys.readouterr().out
    assert printed.count("note: the stage 'miss' is now called 'near_misses'") == 1
    assert "near_misses: 3" in printed and "families: skipped" in printed
    shutil.rmtree(run.path)
    assert build(planted, run, "--to", "ingest", "--from", "relate") == 2
    assert "--from families comes after --to ingest" in capsys.readouterr().err


def test_a_stage_that_does_not_exist_is_one_sentence(
    planted: Planted, own_data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, mend in (("label_s", "did you mean 'labels'?"), ("wash", "stages: ingest, embed, train")):
        assert build(planted, Run(own_data / "tiny"), "--only", name) == 2
        complaint = capsys.readouterr().err
        assert f"there is no stage '{name}'" in complaint and mend in complaint and complaint.count("\n") == 1

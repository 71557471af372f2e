"""Files of a run that are damaged, missing or left over: refused or built again, and never mixed with others."""

from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from featurelib.embedder import precomputed
from featurelib.schema import EMBEDDINGS, STAGES
from featurelib.storage import files
from featurelib.storage.runs import WORK_FOLDER, Run
from precompute.__main__ import _disk_complaint, main
from precompute.build.config import BuildConfig
from precompute.build.stage_table import expect, readers_of, stage_of
from tests.precompute.test_build import build, hashes
from tests.support.planted import Planted
from tests.support.shared import TEXT_STAGES


@pytest.mark.parametrize("content", [b"", b'{"x', b"[]", b"\xff\xfe", b"{}"])
@pytest.mark.parametrize("name", ["done/train.json", "manifest.json", "run.json"])
def test_a_damaged_json_file_is_one_sentence_with_its_name(
    own_data: Path, capsys: pytest.CaptureFixture[str], name: str, content: bytes
) -> None:
    (Run(own_data / "tiny").current().path / name).write_bytes(content)
    for command in ("status", "verify"):
        assert main([command, "tiny", "--data", str(own_data)]) == 2
        complaint = capsys.readouterr().err
        assert complaint.count("\n") == 1 and complaint.startswith("error: ")


def test_status_shows_the_other_runs_beside_a_damaged_one(own_data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copytree(own_data / "tiny", own_data / "broken")
    (own_data / "broken" / "current").write_bytes(b"\xff\xfe")
    (own_data / "foreign.txt").write_text("not a run")
    assert main(["status", "--data", str(own_data)]) == 0
    printed = capsys.readouterr().out
    assert "broken · run 'broken' points to" in printed and "tiny · g0001 · complete" in printed


@pytest.mark.parametrize("name", ["summaries/top_texts.parquet", "sae/cfg.json", "run.json"])
def test_building_a_damaged_run_again_makes_what_is_missing(
    planted: Planted, own_data: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    run = Run(own_data / "tiny")
    whole = hashes(run.current().path)
    (run.current().path / name).unlink()
    assert main(["verify", "tiny", "--data", str(own_data)]) == 2 or name == "run.json"
    assert f"--from {stage_of(name)}" in capsys.readouterr().err or name == "run.json"
    assert build(planted, own_data) == 0
    assert f"run 'tiny' is damaged: {name} is missing" in capsys.readouterr().out
    assert hashes(run.current().path) == whole and run.current().name == "g0002"


def test_a_stage_is_not_taken_from_a_run_that_lacks_a_file(planted: Planted, own_data: Path) -> None:
    (Run(own_data / "tiny").current().path / "embeddings/part-00001.parquet").unlink()
    assert build(planted, own_data, "--to", "embed", name="twin") == 0
    generation = Run(own_data / "twin").current()
    assert len(generation.parts(EMBEDDINGS)) == 3


def test_a_stage_is_not_built_on_what_other_options_made(
    planted: Planted, own_data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert build(planted, own_data, "--only", "layout", "--seed", "3") == 2
    assert "--only layout needs the stage 'train'" in capsys.readouterr().err
    assert [generation.name for generation in Run(own_data / "tiny").generations()] == ["g0001"]


def test_what_was_not_asked_for_is_not_said_to_stand(
    planted: Planted, own_data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert build(planted, own_data, "--only", "ingest", "--k", "2") == 0
    printed = capsys.readouterr().out
    assert "ingest: skipped" in printed and "train: left as it is, made with other options" in printed
    assert "train: skipped" not in printed


def test_an_unfinished_run_never_shows_tables_of_an_older_sae(planted: Planted, tmp_path: Path) -> None:
    folder = tmp_path / "data"
    assert build(planted, folder, "--to", "summarise") == 0
    generation = Run(folder / "tiny").current()
    assert build(planted, folder, "--k", "2", "--only", "train") == 0
    assert [stage for stage in STAGES if generation.done(stage)] == ["ingest", "embed", "train"]
    assert [stage.name for stage in readers_of("train")] == list(STAGES[STAGES.index("encode") :])


def test_parts_of_one_config_are_not_completed_with_parts_of_another(planted: Planted, own_data: Path) -> None:
    """Killed in embed, then embed taken from elsewhere under other options, then the first options again."""
    assert build(planted, own_data, "--to", "ingest", "--embedder", "stand-in:8", name="other") == 0
    generation = Run(own_data / "other").current()
    config = BuildConfig(
        source=str(planted.path), name="other", text_column="abstract", title_column="title", id_column="id",
        embedder="stand-in:8", keyword_embedder="stand-in:64", features=32, k=3,
    )  # fmt: skip
    killed = expect(config)["embed"].fingerprint
    files.write_json(generation.path / WORK_FOLDER / "embed.json", killed)
    assert build(planted, own_data, "--to", "embed", name="other") == 0
    assert generation.describe()["embedder"]["dimension"] == 64
    assert build(planted, own_data, "--to", "embed", "--embedder", "stand-in:8", name="other") == 0
    assert generation.done("embed").fingerprint == killed
    import pyarrow.parquet as pq

    dimensions = {pq.read_schema(part).field("embedding").type.list_size for part in generation.parts(EMBEDDINGS)}
    assert dimensions == {8}


@pytest.mark.parametrize(
    ("flags", "sentence"),
    [
        (("--only", "encode", "--from", "train"), "--only encode names the one stage"),
        (("--from", "train", "--to", "embed"), "--from train comes after --to embed"),
        (("--seed", "-1"), "--seed is -1"),
        (("--seed", str(2**32)), "--seed is 4294967296"),
        (("--threshold", "nan"), "--threshold is nan"),
        (("--keyword-texts", "101"), "--keyword-texts is 101"),
    ],
)
def test_flags_that_cannot_be_met_are_refused_before_anything_is_made(
    planted: Planted, tmp_path: Path, capsys: pytest.CaptureFixture[str], flags: tuple[str, ...], sentence: str
) -> None:
    assert build(planted, tmp_path / "data", *flags) == 2
    assert sentence in capsys.readouterr().err and not (tmp_path / "data").exists()


def test_the_default_embedder_by_name_and_another_device_are_the_same_build(planted: Planted) -> None:
    plain = {"source": str(planted.path), "name": "x"}
    named = {"embedder": "sentence-transformers/all-MiniLM-L6-v2", "device": "cpu", "batch_size": 7}
    assert expect(BuildConfig(**plain)) == expect(BuildConfig(**plain, **named))
    assert expect(BuildConfig(**plain))["embed"] != expect(BuildConfig(**plain, max_seq_length=7))["embed"]


def test_every_file_of_a_run_belongs_to_a_stage(tiny: Run) -> None:
    owners = {stage_of(name) for name in hashes(tiny.current().path) if name not in ("run.json", "manifest.json")}
    assert owners == set(TEXT_STAGES)
    assert stage_of("summaries/texts.parquet") == "encode" and stage_of("texts.parquet") == "ingest"


def test_keyword_embeddings_that_find_no_room_fail_with_the_number_of_the_system(tmp_path: Path) -> None:
    resource = pytest.importorskip("resource")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))
    try:
        with pytest.raises(OSError) as full:
            files.write_array(tmp_path / "part.npy", np.ones((100, 100)))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert full.value.errno == errno.EFBIG and list(tmp_path.iterdir()) == []
    assert "no space is left" in _disk_complaint(OSError(errno.ENOSPC, "full"))


@pytest.mark.skipif(not hasattr(os, "posix_fallocate"), reason="the room cannot be reserved on this system")
def test_a_mapped_matrix_has_its_room_on_the_disk_before_it_is_filled(tmp_path: Path) -> None:
    precomputed._new_matrix(tmp_path / "m.npy", 1000, 256)
    status = (tmp_path / "m.npy").stat()
    assert status.st_blocks * 512 >= status.st_size > 1000 * 256 * 4


def test_an_error_of_the_system_without_a_number_is_a_sentence_too() -> None:
    assert "71232 requested and 35808 written" in _disk_complaint(OSError("71232 requested and 35808 written"))

"""The build skips what stands, says why it makes the rest, and never mixes or loses a generation."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from featurelib.schema import STAGES
from featurelib.storage import files
from featurelib.storage.runs import Run
from precompute.__main__ import main
from precompute.build.build import alone
from tests.conftest import TINY_FLAGS
from tests.support import ROOT
from tests.support.planted import Planted
from tests.support.shared import TEXT_STAGES


def hashes(folder: Path) -> dict[str, str]:
    """The sha256 of every file of a generation but volatile.json."""
    paths = (path for path in sorted(folder.rglob("*")) if path.is_file() and path.name != "volatile.json")
    return {path.relative_to(folder).as_posix(): files.sha256_file(path) for path in paths}


def build(planted: Planted, folder: Path, *flags: str, name: str = "tiny") -> int:
    return main(["build", str(planted.path), "--name", name, "--data", str(folder), *TINY_FLAGS, *flags])


def test_a_second_build_skips_every_stage_and_says_why(
    planted: Planted, own_data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = hashes(own_data / "tiny")
    assert build(planted, own_data) == 0
    printed = capsys.readouterr().out
    for stage in TEXT_STAGES:
        assert f"{stage}: skipped, done before with the same" in printed
    assert hashes(own_data / "tiny") == before


def test_another_k_keeps_texts_and_embeddings_and_leaves_the_old_generation_whole(
    planted: Planted, own_data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = Run(own_data / "tiny")
    old = run.current()
    before = hashes(old.path)
    assert build(planted, own_data, "--k", "2") == 0
    printed = capsys.readouterr().out
    assert "ingest: skipped" in printed and "embed: skipped" in printed
    assert "train: made again" in printed and "--k was 3 and is 2" in printed
    new = run.current()
    assert new.name == "g0002" and new.complete and hashes(old.path) == before
    part = "embeddings/part-00000.parquet"
    assert (new.path / part).stat().st_ino == (old.path / part).stat().st_ino
    assert new.describe()["sae"]["k"] == 2


def test_a_second_run_takes_texts_and_embeddings_from_the_first(
    planted: Planted, own_data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert build(planted, own_data, "--only", "ingest", name="twin") == 0
    assert "ingest: taken from tiny/g0001" in capsys.readouterr().out
    assert not Run(own_data / "twin").current().complete


def test_a_build_killed_at_any_moment_ends_in_the_same_bytes(planted: Planted, own_data: Path, tmp_path: Path) -> None:
    expected = hashes(Run(own_data / "tiny").current().path)
    folder = tmp_path / "killed"
    command = [sys.executable, "-m", "precompute", "build", str(planted.path), "--name", "tiny", "--data", str(folder)]
    for seconds in (1.5, 5.0):
        killed = subprocess.Popen(
            [*command, *TINY_FLAGS], cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        time.sleep(seconds)
        killed.send_signal(signal.SIGKILL)
        killed.wait()
    assert build(planted, folder) == 0
    assert hashes(Run(folder / "tiny").current().path) == expected


def test_two_builds_of_one_run_at_once_are_refused(
    planted: Planted, own_data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with alone(Run(own_data / "tiny")):
        assert build(planted, own_data) == 2
    assert "being built by another process" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["build", "nowhere.csv", "--name", "x"], "nowhere.csv"),
        (["build", "{corpus}", "--name", "../x"], "cannot be a run's name"),
        (["build", "{corpus}"], "--name"),
        (["build", "{corpus}", "--name", "x", "--textcolumn", "a"], "did you mean --text-column?"),
        (["build", "{corpus}", "--name", "x", "--text-column", "nothere"], "nothere"),
        (["build", "{corpus}", "--name", "x", "--k", "64", "--features", "32"], "--k is 64"),
        (["build", "{corpus}", "--name", "x", "--features", "none"], "--features"),
        (["build", "--config", "{yaml}", "--name", "x"], "did you mean 'text_column'"),
        (["build", "{corpus}", "--name", "x", "--sae", "/no/such/sae"], "/no/such/sae"),
        (["build", "{corpus}", "--name", "x", "--embedder", "/no/such/embedder"], "/no/such/embedder"),
        (["verify", "x"], "there is no run 'x'"),
        (["status", "x"], "there is no run 'x'"),
    ],
)
def test_bad_input_gets_one_sentence_and_exit_code_2(
    planted: Planted, tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], sentence: str
) -> None:
    yaml = tmp_path / "keys.yaml"
    yaml.write_text(f"source: {planted.path}\ntext_colum: abstract\n")
    filled = [argument.format(corpus=planted.path, yaml=yaml) for argument in arguments]
    assert main([*filled, "--data", str(tmp_path / "data")]) == 2
    complaint = capsys.readouterr().err
    assert sentence in complaint and complaint.count("\n") == 1 and "Traceback" not in complaint


def test_yaml_and_flags_ask_for_the_same_build(
    planted: Planted, own_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    keys = dict(zip([flag[2:].replace("-", "_") for flag in TINY_FLAGS[::2]], TINY_FLAGS[1::2], strict=True))
    lines = [f"source: {planted.path}", "name: tiny", *(f"{key}: {value}" for key, value in keys.items())]
    path = tmp_path / "tiny.yaml"
    path.write_text("\n".join(lines))
    assert main(["build", str(path), "--data", str(own_data)]) == 0
    assert capsys.readouterr().out.count("skipped") == len(TEXT_STAGES)


def test_from_makes_a_stage_again_although_it_stands(
    planted: Planted, own_data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    old = hashes(Run(own_data / "tiny").current().path)
    assert build(planted, own_data, "--from", "summarise") == 0
    printed = capsys.readouterr().out
    assert "encode: skipped" in printed and "summarise: skipped" not in printed
    assert hashes(Run(own_data / "tiny").current().path) == old


def test_from_and_only_make_that_stage_again_and_leave_the_later_ones(
    planted: Planted, own_data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert build(planted, own_data, "--only", "near_misses", "--from", "near_misses") == 0
    printed = capsys.readouterr().out
    assert "families: skipped" in printed and "audit: skipped" in printed and "near_misses: skipped" not in printed
    assert Run(own_data / "tiny").current().complete


def test_no_space_left_is_a_sentence_and_nothing_half_made_counts(
    planted: Planted, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Path, write: object) -> None:
        raise OSError(28, "No space left on device", str(path))

    monkeypatch.setattr(files, "write_aside", full)
    assert build(planted, tmp_path / "data", name="full") == 2
    assert "no space is left on the disk" in capsys.readouterr().err
    monkeypatch.undo()
    generations = Run(tmp_path / "data" / "full").generations()
    assert not any(generation.done(stage) for generation in generations for stage in STAGES)
    shutil.rmtree(tmp_path / "data")

"""--memory: read or refused in one sentence, no ground to make anything again, and too little of it is no end."""

from __future__ import annotations

from pathlib import Path

import pytest

from featurelib.schema import Refusal
from featurelib.storage.runs import Run
from precompute.build import memory
from precompute.build.config import BuildConfig
from precompute.build.memory import memory_bytes
from precompute.build.stage_table import expect
from tests.precompute.test_build import build, hashes
from tests.support.planted import Planted


@pytest.mark.parametrize(
    ("size", "n_bytes"),
    [("2GB", 2 * 10**9), ("1.5 GiB", 3 * 2**29), ("800mb", 8 * 10**8), (" 1TB ", 10**12), ("250MB", 250 * 10**6)],
)
def test_a_size_is_read_as_duckdb_reads_it(size: str, n_bytes: int) -> None:
    import duckdb

    assert memory_bytes(size) == n_bytes == BuildConfig(source="x.csv", name="x", memory=size).memory_bytes
    as_bytes = [
        duckdb.connect(config={"memory_limit": limit}).sql("select current_setting('memory_limit')").fetchall()
        for limit in (size.strip(), f"{n_bytes}B")
    ]
    assert as_bytes[0] == as_bytes[1]


@pytest.mark.parametrize(
    "size", ["", "2", "2 gigabytes", "-1GB", "GB", "80%", "1e3GB", "2GB!", "٢GB", "9" * 400 + "GB"]
)
def test_what_is_no_size_is_refused_with_an_example(size: str) -> None:
    with pytest.raises(Refusal, match=r"--memory is .{0,40}; give a number and a unit, such as 2GB .*, from 250MB\.$"):
        BuildConfig(source="x.csv", name="x", memory=size)


@pytest.mark.parametrize("size", ["249MB", "0GB", "1KB", "0.1GB"])
def test_too_little_for_any_stage_is_refused_with_the_least(size: str) -> None:
    with pytest.raises(Refusal, match=f"--memory is {size}, which is too little for a stage; give 250MB or more"):
        BuildConfig(source="x.csv", name="x", memory=size)


def test_another_memory_makes_nothing_again(planted: Planted) -> None:
    plain = {"source": str(planted.path), "name": "x"}
    assert expect(BuildConfig(**plain)) == expect(BuildConfig(**plain, memory="1GB"))


@pytest.mark.parametrize("stage", ["summarise", "explanations"])
def test_a_stage_without_memory_is_a_sentence_and_goes_on_with_more(
    planted: Planted,
    own_data: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    stage: str,
) -> None:
    old = hashes(Run(own_data / "tiny").current().path)
    monkeypatch.setattr(memory, "LEAST_MEMORY", "1KB")
    labeller = ("--labeller", "http://127.0.0.1:9/v1", "--labeller-model", "m") if stage == "explanations" else ()
    assert build(planted, own_data, "--from", stage, "--memory", "3MB", *labeller) == 2
    complaint = capsys.readouterr().err
    assert f"the stage {stage} needs more than --memory 3MB; give a larger --memory" in complaint
    assert "Traceback" not in complaint and not Run(own_data / "tiny").generations()[-1].done(stage)
    assert build(planted, own_data, "--memory", "250MB") == 0
    assert hashes(Run(own_data / "tiny").current().path) == old


def test_a_machine_without_memory_is_a_sentence(
    planted: Planted, own_data: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    import numpy as np

    monkeypatch.setattr(
        "precompute.stages.summarise.count_coactivations", lambda *_: [(0, np.empty((2**40, 2**20), np.int32))]
    )
    assert build(planted, own_data, "--from", "summarise") == 2
    assert "the stage summarise finds no memory left on this machine" in capsys.readouterr().err

"""New texts are added to a complete run: equal to a rebuild with its SAE, and what is refused leaves it as it was."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from benchmarks.compared_tables import compare
from featurelib.schema import (
    ATTRIBUTIONS,
    BY_TEXT,
    EMBEDDINGS,
    FEATURES,
    FIRING_LAYOUT,
    LAYOUT,
    REGION_FEATURES,
    REGION_TEXTS,
    SAE_SPLIT,
    TEXT_LAYOUT,
    TEXT_SUMMARIES,
    TEXTS,
)
from featurelib.storage import files
from featurelib.storage.run_manifest import verify
from featurelib.storage.runs import WORK_FOLDER, Generation, Run
from featurelib.ui.overview import provenance, run_sentence
from precompute.__main__ import main, parser, read_keys
from precompute.build.build import build as build_config
from precompute.build.config import BuildConfig
from precompute.build.provenance import describe
from precompute.build.stage_selection import Span
from precompute.build.stage_table import expect
from tests.conftest import STAND_IN, TINY_FLAGS
from tests.precompute.test_build import hashes
from tests.support import ROOT
from tests.support.planted import Planted
from tests.support.shared import build_once

N_OLD, N_NEW = 540, 60
KEPT_FLAGS = TINY_FLAGS[: TINY_FLAGS.index("--features")]
"""Those that have a meaning with --sae."""
FROZEN = (LAYOUT, FIRING_LAYOUT, REGION_FEATURES, TEXT_LAYOUT)


@dataclass(frozen=True)
class Corpora:
    """The planted corpus in two, and whole."""

    old: Path
    new: Path
    both: Path


def write_corpora(folder: Path, table: pa.Table) -> Corpora:
    corpora = Corpora(folder / "old.parquet", folder / "new.parquet", folder / "both.parquet")
    for path, rows in ((corpora.old, table.slice(0, N_OLD)), (corpora.new, table.slice(N_OLD)), (corpora.both, table)):
        pq.write_table(rows, path)
    return corpora


def run_build(source: Path, data: Path, *flags: str, name: str = "run") -> int:
    return main(["build", str(source), "--name", name, "--data", str(data), *flags])


def append(source: Path, data: Path, *flags: str, name: str = "run") -> int:
    return run_build(source, data, "--append", *flags, name=name)


@pytest.fixture(scope="session")
def folder(planted: Planted, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The corpora, and data folders with the run of the old texts before and after the new ones were appended."""

    def make(folder: Path) -> None:
        corpora = write_corpora(folder, pq.read_table(planted.path))
        assert run_build(corpora.old, folder / "before", *TINY_FLAGS) == 0
        shutil.copytree(folder / "before", folder / "after")
        assert append(corpora.new, folder / "after") == 0

    return build_once(tmp_path_factory, "append", make)


@pytest.fixture(scope="session")
def corpora(folder: Path) -> Corpora:
    return Corpora(folder / "old.parquet", folder / "new.parquet", folder / "both.parquet")


@pytest.fixture(scope="session")
def before(folder: Path) -> Generation:
    return Run(folder / "before" / "run").current()


@pytest.fixture(scope="session")
def after(folder: Path) -> Generation:
    return Run(folder / "after" / "run").current()


@pytest.fixture
def own(folder: Path, tmp_path: Path) -> Path:
    """A data folder of a test's own with the run of the old texts."""
    return shutil.copytree(folder / "before", tmp_path / "own")


def rebuild(corpora: Corpora, data: Path, sae: Path, places: Generation) -> Generation:
    """All texts in one file, with that SAE and with the places of `places` in the stage layout's stead."""
    flags = ["--sae", str(sae), *KEPT_FLAGS]
    assert run_build(corpora.both, data, *flags, "--to", "keywords") == 0
    options = parser().parse_args(["build", str(corpora.both), "--name", "run", *flags])
    config = BuildConfig(**read_keys(options))
    generation, marker, expected = Run(data / "run").current(), places.done("layout"), expect(config)["layout"]
    assert marker is not None
    for table in (*FROZEN, REGION_TEXTS):
        files.link_or_copy(places.file(table), generation.file(table))
    generation.mark_done("layout", type(marker)(expected.fingerprint, marker.facts, marker.line, expected.slices))
    return build_config(config, data, Span(), lambda _: None)


def test_it_is_equal_to_a_rebuild_with_that_sae(
    folder: Path, corpora: Corpora, after: Generation, tmp_path: Path
) -> None:
    rebuilt = rebuild(corpora, tmp_path / "data", folder / "before" / "run", after)
    found = compare(after, rebuilt)
    assert len(found) > 35 and found["texts"].n_rows == N_OLD + N_NEW
    assert {name: each.words for name, each in found.items() if not each.equal} == {}
    assert found["near_misses"].n_rows and found["labels"].n_rows and found["audit"].n_rows, "nothing is compared"


def test_what_is_frozen_is_linked_and_the_old_generation_is_as_it_was(
    folder: Path, before: Generation, after: Generation
) -> None:
    old = Generation(after.path.parent / before.name)
    assert hashes(old.path) == hashes(before.path) and after.name == "g0002" and after.complete
    for table in (EMBEDDINGS, BY_TEXT):
        linked = [part.name for part in after.parts(table) if (old.file(table) / part.name).is_file()]
        assert linked == [part.name for part in old.parts(table)] and len(after.parts(table)) == len(linked) + 1
        for name in linked:
            assert (after.file(table) / name).stat().st_ino == (old.file(table) / name).stat().st_ino
    for table in FROZEN:
        assert after.file(table).read_bytes() == old.file(table).read_bytes()
    for path in old.sae_folder.iterdir():
        assert (after.sae_folder / path.name).read_bytes() == path.read_bytes()
    split = [pq.read_table(each.file(SAE_SPLIT))["sae_split"].to_pylist() for each in (old, after)]
    assert split[1][:N_OLD] == split[0] and split[1][N_OLD:] == ["held_out"] * N_NEW
    assert pq.read_table(after.file(TEXTS))["text_id"].to_pylist() == list(range(N_OLD + N_NEW))


def test_run_json_says_what_was_appended(corpora: Corpora, after: Generation) -> None:
    described = after.describe()
    own = {"source": "new.parquet", "sha256": files.sha256_file(corpora.new), "n_texts": N_NEW, "n_rows": N_NEW}
    assert described["corpus"]["appended"] == [own | {"n_dropped": 0}]
    assert described["corpus"]["n_texts"] == described["evaluation"]["n_texts"] == N_OLD + N_NEW
    assert described["sae"]["source"] == "trained here"
    assert described["sae"]["appended"] == {"train": 0, "held_out": N_NEW, "unknown": 0}
    assert run_sentence(described).startswith("Texts of old.parquet and new.parquet, embedded by stand-in:64 in 64")
    twice = described["corpus"] | {"appended": described["corpus"]["appended"] * 2}
    assert run_sentence({"corpus": twice}).startswith("Texts of old.parquet and 2 files appended since; they are not")
    made_from = dict(provenance(described))
    assert made_from["appended"].startswith("new.parquet · 60 texts · sha256")
    assert made_from["trained on"] == "486 of these texts, 54 held out, 60 appended since"


def test_fvu_is_measured_by_the_mean_of_all_texts(after: Generation) -> None:
    from featurelib.sae.checkpoints import load_sae

    x = np.concatenate([np.stack(pq.read_table(part)["embedding"].to_pylist()) for part in after.parts(EMBEDDINGS)])
    rebuilt = load_sae(after.sae_folder).reconstruct(x.astype(np.float32)).numpy().astype(np.float64)
    fvu = ((x - rebuilt) ** 2).sum(axis=1) / ((x - x.astype(np.float64).mean(axis=0)) ** 2).sum(axis=1)
    stored = pq.read_table(after.file(TEXT_SUMMARIES))["fvu"].to_numpy()
    np.testing.assert_allclose(stored, fvu, rtol=1e-5)


def region_texts_by_definition(generation: Generation) -> dict[tuple[int, int], tuple[int, float]]:
    """The strongest region of each text at each level, by text: Σ a/max a·ln(1/density) over the region's features."""
    rows = pa.concat_tables([pq.read_table(part) for part in generation.parts(BY_TEXT)]).to_pylist()
    features = {row["feature_id"]: row for row in pq.read_table(generation.file(FEATURES)).to_pylist()}
    regions: dict[int, list[tuple[int, int]]] = {}
    for row in pq.read_table(generation.file(REGION_FEATURES)).to_pylist():
        regions.setdefault(row["feature_id"], []).append((row["level"], row["region_id"]))
    sums: dict[tuple[int, int], dict[int, float]] = {}
    for row in rows:
        feature = features[row["feature_id"]]
        weight = max(-np.log(feature["density"]), 1e-3) * row["activation"] / feature["max_activation"]
        for level, region in regions.get(row["feature_id"], []):
            of_text = sums.setdefault((level, row["text_id"]), {})
            of_text[region] = of_text.get(region, 0.0) + weight
    return {place: max(of_text.items(), key=lambda pair: (pair[1], -pair[0])) for place, of_text in sums.items()}


def check_region_texts(generation: Generation) -> None:
    expected = region_texts_by_definition(generation)
    stored = pq.read_table(generation.file(REGION_TEXTS)).to_pylist()
    assert {(row["level"], row["text_id"]) for row in stored} == expected.keys() and len(stored) == len(expected)
    for row in stored:
        region, strength = expected[row["level"], row["text_id"]]
        assert row["region_id"] == region and row["strength"] == pytest.approx(strength, rel=1e-5)


def test_all_texts_are_in_the_regions_of_the_frozen_map(after: Generation) -> None:
    check_region_texts(after)


def test_several_appends_come_to_the_same_as_one(
    corpora: Corpora, own: Path, after: Generation, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    new = pq.read_table(corpora.new)
    parts = [tmp_path / "first.parquet", tmp_path / "second.parquet"]
    for path, rows in zip(parts, (new.slice(0, 25), new.slice(25)), strict=True):
        pq.write_table(rows, path)
        assert append(path, own) == 0
    run = Run(own / "run")
    assert run.current().name == "g0003" and [each.name for each in run.generations()] == ["g0002", "g0003"]
    found = compare(run.current(), after)
    assert {name: each.words for name, each in found.items() if not each.equal} == {}
    listed = run.current().describe()["corpus"]["appended"]
    assert [source["source"] for source in listed] == ["first.parquet", "second.parquet"]
    capsys.readouterr()
    assert append(parts[1], own) == 0
    assert "ingest: skipped" in capsys.readouterr().out and run.current().name == "g0003"
    kept = hashes(own / "run")
    assert append(parts[0], own) == 2
    assert "holds the texts of first.parquet already" in capsys.readouterr().err
    assert run_build(corpora.old, own, *TINY_FLAGS) == 2
    assert "a build of old.parquet alone would leave them out" in capsys.readouterr().err
    assert hashes(own / "run") == kept


def test_a_later_stage_is_made_again_without_the_generation_before(
    corpora: Corpora, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = shutil.copytree(folder / "after", tmp_path / "own")
    expected = hashes(Run(data / "run").current().path)
    shutil.rmtree(data / "run" / "g0001")
    assert append(corpora.new, data, "--from", "near_misses") == 0
    printed = capsys.readouterr().out
    assert "labels: skipped" in printed and "near_misses: made again" in printed
    assert hashes(Run(data / "run").current().path) == expected
    shutil.rmtree(data / "run" / "g0002")
    assert append(corpora.new, data, "--from", "encode") == 2
    assert "is no longer there" in capsys.readouterr().err
    assert Run(data / "run").current().complete


def test_what_is_made_again_may_have_other_options(
    corpora: Corpora, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = shutil.copytree(folder / "after", tmp_path / "own")
    run = Run(data / "run")
    assert append(corpora.new, data, "--attributed-texts", "3", "--keyword-texts", "4") == 0
    printed = capsys.readouterr().out
    for stage in ("ingest", "embed", "train", "encode", "summarise"):
        assert f"{stage}: skipped" in printed
    assert "attributions: made again" in printed and "keywords: made again" in printed
    ranks = Counter(row["feature_id"] for row in pq.read_table(run.current().file(ATTRIBUTIONS)).to_pylist())
    assert run.current().name == "g0003" and max(ranks.values()) == 3
    assert append(corpora.new, data) == 0
    assert "attributions: skipped" in capsys.readouterr().out, "what was said once is the run's"


def kill_at(stage: str, source: Path, data: Path) -> None:
    """Start the append and kill it when `stage` has begun."""
    command = [sys.executable, "-m", "precompute", "build", str(source), "--name", "run", "--data", str(data)]
    building = subprocess.Popen([*command, "--append"], cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    new = Generation(data / "run" / "g0002")
    begun = new.path / WORK_FOLDER / f"{stage}.json"
    while building.poll() is None and not begun.exists() and new.done(stage) is None:
        time.sleep(0.002)
    building.send_signal(signal.SIGKILL)
    building.wait()
    assert not new.complete


def test_an_append_killed_in_the_middle_ends_in_the_same_bytes(
    corpora: Corpora, own: Path, before: Generation, after: Generation
) -> None:
    for stage in ("ingest", "encode", "labels"):
        kill_at(stage, corpora.new, own)
        run = Run(own / "run")
        assert run.current().name == "g0001" and hashes(run.current().path) == hashes(before.path)
    assert append(corpora.new, own) == 0
    assert hashes(Run(own / "run").current().path) == hashes(after.path)


def test_an_append_killed_at_either_end_goes_on(
    corpora: Corpora, own: Path, after: Generation, capsys: pytest.CaptureFixture[str]
) -> None:
    run = Run(own / "run")
    describe(run.next_generation())  # the generation is there, and what is appended not yet written down
    assert append(corpora.new, own, "--to", "encode") == 0
    assert run_build(corpora.old, own, *TINY_FLAGS) == 2
    assert "new.parquet is being appended to run 'run'" in capsys.readouterr().err
    assert append(corpora.new, own) == 0
    # the work in progress is removed before every file is hashed for the manifest
    (run.current().path / "manifest.json").unlink()
    run.point_to(run.generations()[0])
    assert run_build(corpora.old, own, *TINY_FLAGS) == 2
    assert "alone would leave them out" in capsys.readouterr().err
    assert append(corpora.new, own) == 0
    assert run.current().name == "g0002" and hashes(run.current().path) == hashes(after.path)


def test_activations_that_a_killed_build_has_written_are_measured_as_they_are(
    corpora: Corpora, own: Path, after: Generation
) -> None:
    assert append(corpora.new, own, "--to", "encode") == 0
    generation = Run(own / "run").generations()[-1]
    assert not generation.complete and Run(own / "run").current().name == "g0001"
    assert append(corpora.new, own) == 0
    assert hashes(generation.path) == hashes(after.path)


def changed(table: pa.Table, change: Callable[[pa.Table], pa.Table], folder: Path) -> Path:
    path = folder / "new.parquet"
    pq.write_table(change(table), path)
    return path


def with_column(name: str, values: list[object]) -> Callable[[pa.Table], pa.Table]:
    def change(table: pa.Table) -> pa.Table:
        return table.set_column(table.schema.names.index(name), name, pa.array(values))

    return change


ANY: Callable[[pa.Table], pa.Table] = lambda table: table  # noqa: E731  # a function that changes nothing


@pytest.mark.parametrize(
    ("change", "flags", "words"),
    [
        (lambda table: table.drop_columns(["year"]), [], "has other columns than the texts that are there: it lacks"),
        (lambda table: table.drop_columns(["abstract"]), [], "has no column 'abstract'"),
        (lambda table: table.append_column("extra", table["year"]), [], "it has 'extra' besides"),
        (with_column("year", ["many"] * N_NEW), [], "column 'year' of new.parquet holds string, and int64"),
        (with_column("year", [0.5] * N_NEW), [], "column 'year' of new.parquet holds double, and int64"),
        (with_column("abstract", [" "] * N_NEW), [], "holds no usable text in column 'abstract' (60 only whitespace)"),
        (
            with_column("id", [*(f"p{number:04d}" for number in range(7)), *(f"q{number}" for number in range(53))]),
            [],
            "7 ids in column 'id' of new.parquet are those of texts that are there already "
            "(p0000, p0001, p0002, p0003, p0004, …)",
        ),
        (ANY, ["--embedder", "stand-in:32"], "was embedded by stand-in:64"),
        (ANY, ["--k", "5"], "--k is 5, and run 'run' was built with 3"),
        (ANY, ["--prompt", "query: "], "--prompt is 'query: ', and run 'run' was built without it"),
        (ANY, ["--text-column", "title"], "--text-column is 'title', and run 'run' was built with 'abstract'"),
        (ANY, ["--embedding-dtype", "float16"], "--embedding-dtype is 'float16', and run 'run' was built with"),
        (ANY, ["--embed-backend", "onnx"], "--embed-backend is 'onnx', and run 'run' was built without it"),
        (
            ANY,
            ["--dtype", "bfloat16"],
            "--dtype is 'bfloat16', and run 'run' was built without it (which came to 'float32'",
        ),
        (ANY, ["--seed", "1"], "--seed is 1, and run 'run' was built with 0"),
        (ANY, ["--sample", "10"], "--sample has no meaning together with --append"),
        (ANY, ["--sae", "x"], "--sae has no meaning together with --append"),
        (ANY, ["--embeddings", "{npy}"], "the texts of run 'run' were embedded by stand-in:64"),
    ],
)
def test_bad_input_is_one_sentence_and_the_run_stays_as_it_was(
    corpora: Corpora,
    own: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    change: Callable[[pa.Table], pa.Table],
    flags: list[str],
    words: str,
) -> None:
    np.save(tmp_path / "x.npy", np.zeros((N_NEW, 64), np.float32))
    kept, names = hashes(own / "run"), sorted(path.name for path in (own / "run").iterdir())
    source = changed(pq.read_table(corpora.new), change, tmp_path)
    assert append(source, own, *(flag.format(npy=tmp_path / "x.npy") for flag in flags)) == 2
    complaint = capsys.readouterr().err
    complaint = complaint[complaint.index("error: ") :]
    assert words in complaint and complaint.count("\n") == 1 and "Traceback" not in complaint
    left = {name: digest for name, digest in hashes(own / "run").items() if not name.startswith(".")}
    assert left == {name: digest for name, digest in kept.items() if not name.startswith(".")}
    assert [path.name for path in sorted((own / "run").iterdir()) if path.name not in names] in ([], [".lock"])
    assert append(corpora.new, own, "--to", "embed") == 0, "the run can go on"


def test_flags_that_say_what_the_run_was_built_with_are_welcome(corpora: Corpora, own: Path) -> None:
    assert append(corpora.new, own, *TINY_FLAGS, "--embed-backend", "torch", "--to", "train") == 0
    yaml = own / "append.yaml"
    yaml.write_text(f"source: {corpora.new}\nname: run\nappend: true\nk: 3\n")
    assert main(["build", str(yaml), "--data", str(own), "--to", "train"]) == 0


def test_only_a_complete_run_is_appended_to(
    corpora: Corpora, tmp_path: Path, own: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert append(corpora.new, tmp_path / "nowhere") == 2
    assert "there is no run 'run'" in capsys.readouterr().err and not (tmp_path / "nowhere").exists()
    assert run_build(corpora.old, tmp_path / "data", *TINY_FLAGS, "--to", "embed") == 0
    assert append(corpora.new, tmp_path / "data") == 2
    assert "is not complete, and texts are appended to a complete run only" in capsys.readouterr().err
    assert run_build(corpora.old, own, *TINY_FLAGS[:-1], "2", "--to", "train") == 0
    assert append(corpora.new, own) == 2, "a rebuild with another k has begun"
    assert "finish its build first" in capsys.readouterr().err


def test_a_damaged_run_is_not_appended_to(corpora: Corpora, own: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (Run(own / "run").current().path / "embeddings" / "part-00001.parquet").unlink()
    assert append(corpora.new, own) == 2
    assert "run 'run' is damaged" in capsys.readouterr().err
    assert [each.name for each in Run(own / "run").generations()] == ["g0001"]


def test_no_other_append_undoes_an_unfinished_one(
    corpora: Corpora, own: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = tmp_path / "other.parquet"
    pq.write_table(pq.read_table(corpora.new).slice(0, 10), other)
    assert append(other, own, "--to", "encode") == 0
    unfinished = Run(own / "run").generations()[-1]
    held = hashes(unfinished.path)
    assert append(corpora.new, own, "--to", "encode") == 2
    assert "other.parquet is being appended to run 'run', and its append is not finished" in capsys.readouterr().err
    assert unfinished.name == "g0002" and hashes(unfinished.path) == held
    files.remove(unfinished.path)
    assert append(corpora.new, own, "--to", "encode") == 0
    generation = Run(own / "run").generations()[-1]
    assert generation.name == "g0002" and pq.read_metadata(generation.file(TEXTS)).num_rows == N_OLD + N_NEW
    done = generation.done("ingest")
    assert done is not None and [source["source"] for source in done.facts["appended"]] == ["new.parquet"]


def test_a_text_with_the_words_of_a_training_text_counts_as_seen(corpora: Corpora, own: Path, tmp_path: Path) -> None:
    split = pq.read_table(Run(own / "run").current().file(SAE_SPLIT))["sae_split"].to_pylist()
    rows = pq.read_table(corpora.old).slice(split.index("train"), 1).to_pylist()
    rows[0]["id"] = "copy"
    copied = pa.concat_tables([pa.Table.from_pylist(rows, corpora_schema(corpora)), pq.read_table(corpora.new)])
    path = changed(copied, ANY, tmp_path)
    assert append(path, own, "--to", "train") == 0
    generation = Run(own / "run").generations()[-1]
    assert pq.read_table(generation.file(SAE_SPLIT))["sae_split"].to_pylist()[N_OLD:] == ["train"] + ["held_out"] * 60


def corpora_schema(corpora: Corpora) -> pa.Schema:
    return pq.read_schema(corpora.new)


@pytest.fixture(scope="session")
def taken(planted: Planted, tiny_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder with a run that took the tiny run's SAE for texts of some topics, those of others appended."""

    def make(folder: Path) -> None:
        of_music = np.array(["music" in topics for topics in planted.topics])
        table = pq.read_table(planted.path)
        pq.write_table(table.filter(pa.array(~of_music)), folder / "old.parquet")
        pq.write_table(table.filter(pa.array(of_music)), folder / "new.parquet")
        sae = ("--sae", str(tiny_data / "tiny"))
        assert run_build(folder / "old.parquet", folder / "data", *sae, *KEPT_FLAGS) == 0
        shutil.copytree(folder / "data", folder / "before")
        assert append(folder / "new.parquet", folder / "data") == 0

    return build_once(tmp_path_factory, "append-taken", make)


def test_features_that_fire_on_new_texts_only_have_no_place(taken: Path) -> None:
    before, after = (Run(taken / name / "run").current() for name in ("before", "data"))
    dead = [set(np.flatnonzero(pq.read_table(each.file(FEATURES))["dead"].to_pylist())) for each in (before, after)]
    woken = dead[0] - dead[1]
    placed = set(pq.read_table(after.file(FIRING_LAYOUT))["feature_id"].to_pylist())
    assert woken and not woken & placed and len(placed) == 32 - len(dead[0])
    check_region_texts(after)
    assert not list(problem for _, problem in verify(after) if problem)


def test_what_a_taken_sae_has_seen_of_new_texts_is_unknown_unless_it_has(taken: Path, tiny_data: Path) -> None:
    before, after = (Run(taken / name / "run").current() for name in ("before", "data"))
    split = pq.read_table(after.file(SAE_SPLIT))["sae_split"].to_pylist()
    n_old = pq.read_metadata(before.file(TEXTS)).num_rows
    assert split[:n_old] == pq.read_table(before.file(SAE_SPLIT))["sae_split"].to_pylist()
    assert {"train", "held_out"} == set(split[:n_old]) and set(split[n_old:]) == {"unknown"}
    assert after.describe()["sae"]["source"] == before.describe()["sae"]["source"]


def test_embeddings_from_files(
    corpora: Corpora, after: Generation, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    parts = [np.stack(pq.read_table(part)["embedding"].to_pylist()) for part in after.parts(EMBEDDINGS)]
    x, data = np.concatenate(parts).astype(np.float32), tmp_path / "data"
    for name, rows in (("old", x[:N_OLD]), ("new", x[N_OLD:]), ("short", x[N_OLD:-1]), ("narrow", x[N_OLD:, :32])):
        np.save(tmp_path / f"{name}.npy", rows)
    columns = ("--text-column", "abstract", "--title-column", "title", "--id-column", "id")
    options = (*columns, "--features", "32", "--k", "3", "--keyword-embedder", STAND_IN)
    assert run_build(corpora.old, data, "--embeddings", str(tmp_path / "old.npy"), *options) == 0
    for file, words in (
        (None, "the embeddings of run 'run' came from the file old.npy; give those of the new texts with --embeddings"),
        ("narrow", "the embeddings of run 'run' have dimension 64, and those of"),
        ("short", "short.npy has 59 rows; 60 (the texts kept) are expected"),
    ):
        flags = ["--embeddings", str(tmp_path / f"{file}.npy")] if file else []
        assert append(corpora.new, data, *flags) == 2
        assert words in capsys.readouterr().err and Run(data / "run").current().name == "g0001"
    assert append(corpora.new, data, "--embeddings", str(tmp_path / "new.npy"), "--to", "encode") == 0
    generation = Run(data / "run").generations()[-1]
    stored = [np.stack(pq.read_table(part)["embedding"].to_pylist()) for part in generation.parts(EMBEDDINGS)]
    assert np.array_equal(np.concatenate(stored).astype(np.float32), x)
    done = generation.done("embed")
    assert done is not None and [file["name"] for file in done.facts["appended"]] == ["new.npy"]


def write_csv(path: Path, rows: list[str]) -> Path:
    path.write_text("\n".join(["words,version,count", *rows]) + "\n")
    return path


def test_cells_are_read_in_the_types_of_the_texts_that_are_there(planted: Planted, tmp_path: Path) -> None:
    texts = [text.replace(",", " ") for text in planted.texts]
    old = [f"{text},{'1.0.2' if number % 2 else '1.0'},{number + 0.5}" for number, text in enumerate(texts[:80])]
    new = [f"{text},1.0,{number}" for number, text in enumerate(texts[80:90])]
    new.insert(3, " ,1.0,7")
    columns = ("--text-column", "words", "--embedder", STAND_IN, "--keyword-embedder", STAND_IN)
    flags = (*columns, "--features", "16", "--k", "2")
    corpora = (("old", old), ("new", new), ("both", old + new))
    sources = [write_csv(tmp_path / f"{name}.csv", rows) for name, rows in corpora]
    data = tmp_path / "data"
    assert run_build(sources[0], data, *flags) == 0
    assert append(sources[1], data, "--to", "ingest") == 0
    assert run_build(sources[2], data, *flags, "--to", "ingest", name="both") == 0
    generations = [Run(data / name).generations()[-1] for name in ("run", "both")]
    found = compare(*generations)
    assert [found[name].words for name in ("texts", "dropped")] == ["equal, every bit"] * 2
    table = pq.read_table(generations[0].file(TEXTS))
    assert table["version"].to_pylist()[-1] == "1.0" and table.schema.field("count").type == pa.float64()
    assert table["source_row"].to_pylist()[-8:] == [82, *range(84, 91)]
    assert table["source_id"].to_pylist()[-1] == "90"
    assert pq.read_table(generations[0].path / "dropped.parquet")["source_row"].to_pylist() == [83]


def test_an_older_run_that_does_not_say_what_it_was_made_from(
    corpora: Corpora, own: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    generation = Run(own / "run").current()
    marker = json.loads(generation.marker("embed").read_text())
    marker["made_from"]["version"] = 0
    generation.marker("embed").write_text(json.dumps(marker))
    assert append(corpora.new, own) == 2
    assert "was made by version 0 of its code, and this is version 1" in capsys.readouterr().err
    del marker["made_from"]
    generation.marker("embed").write_text(json.dumps(marker))
    assert append(corpora.new, own) == 2
    assert "build it again before texts are appended" in capsys.readouterr().err

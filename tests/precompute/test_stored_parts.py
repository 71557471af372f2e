"""Parts in a bucket, of a server that speaks S3: the same bytes as in a folder; what a store that refuses does."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import featurelib
from featurelib.schema import BY_FEATURE, BY_TEXT, EMBEDDINGS, TABLES, Refusal
from featurelib.storage.parts.part_files import Part, PartFolder, StoredPart, parts_in, pointed_at, read_part
from featurelib.storage.parts.part_places import Place, parse_place
from featurelib.storage.runs import Done, Generation, Run
from featurelib.storage.store import open_store
from featurelib.storage.watch import FileWatch
from precompute.__main__ import main
from precompute.build.build import _prune
from precompute.build.stored_parts import remove_stored, stored_parts
from tests.conftest import TINY_FLAGS
from tests.precompute.test_build import hashes
from tests.support import ROOT
from tests.support.object_store import ObjectStore, object_store
from tests.support.page import UseData, page_of, words
from tests.support.planted import Planted
from tests.support.token_run import token_run_data

PARTED = (EMBEDDINGS, BY_TEXT, BY_FEATURE)
UP_TO_ENCODE = ("--to", "encode")


@pytest.fixture(scope="module")
def store() -> Iterator[ObjectStore]:
    with object_store() as store:
        store.make_bucket("bucket")
        yield store


@pytest.fixture
def place(store: ObjectStore, request: pytest.FixtureRequest) -> Iterator[str]:
    """A prefix of a test's own."""
    yield f"s3://bucket/{request.node.name[:60]}"
    store.parts_until_refusal = None


def build(planted: Planted, data: Path, *flags: str, name: str = "tiny") -> int:
    return main(["build", str(planted.path), "--name", name, "--data", str(data), *TINY_FLAGS, *flags])


def newest(data: Path, name: str = "tiny") -> Generation:
    return Run(data / name).generations()[-1]


def complaint(capsys: pytest.CaptureFixture[str]) -> str:
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    assert len(lines) == 1
    return lines[0]


@pytest.fixture(scope="module")
def stored_data(planted: Planted, store: ObjectStore, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder with the complete tiny run, whose parts lie in the bucket; read it, never write to it."""
    folder = tmp_path_factory.mktemp("stored")
    assert build(planted, folder, "--parts", "s3://bucket/some/labs") == 0
    return folder


@pytest.fixture(scope="module")
def up_to_encode(planted: Planted, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder with the tiny run up to encode, with all its files."""
    folder = tmp_path_factory.mktemp("folder")
    assert build(planted, folder, *UP_TO_ENCODE) == 0
    return folder


def content(store: ObjectStore, part: Part) -> bytes:
    if isinstance(part, Path):
        return part.read_bytes()
    return store.content(f"{part.place.removeprefix('s3://')}/{part.key}")


def same_parts(stored: Generation, expected: Generation, store: ObjectStore) -> None:
    """Every part is in the bucket, with the bytes that it has in the other; the run's own folder has none of them."""
    for table in PARTED:
        parts = stored.parts(table)
        assert [part.name for part in parts] == [part.name for part in expected.parts(table)] and parts
        for part, other in zip(parts, expected.parts(table), strict=True):
            assert isinstance(part, StoredPart)
            assert content(store, part) == content(store, other)
            assert part.n_rows == pq.read_metadata(pa.BufferReader(content(store, other))).num_rows
        assert not list(stored.file(table).glob("*.parquet"))


def test_every_file_of_a_run_is_the_same_byte_for_byte(stored_data: Path, tiny: Run, store: ObjectStore) -> None:
    stored, local = Run(stored_data / "tiny").current(), tiny.current()
    same_parts(stored, local, store)
    of_stored, of_local = hashes(stored.path), hashes(local.path)
    pointers = {name for name in of_stored if name.rpartition("/")[2].startswith("part-") and name.endswith(".json")}
    parts = {name.replace(".json", ".parquet") for name in pointers}
    assert len(pointers) == 7 and not pointers & of_local.keys()
    assert {name: of_stored[name] for name in of_stored.keys() - pointers - {"manifest.json"}} == {
        name: of_local[name] for name in of_local.keys() - parts - {"manifest.json"}
    }
    assert {
        path.removeprefix("bucket/some/labs/tiny/g0001/") for path in store.objects("bucket/some/labs/tiny/g0001")
    } == parts


def without_index(data: Path, copy: Path) -> Path:
    return shutil.copytree(data, copy, ignore=shutil.ignore_patterns(".cache", "index-*"))


def test_all_tables_answer_alike_from_the_bucket_and_from_the_folder(
    stored_data: Path, tiny_data: Path, tmp_path: Path
) -> None:
    bare = without_index(stored_data, tmp_path / "stored"), without_index(tiny_data, tmp_path / "local")
    for stored, local in (bare, (stored_data, tiny_data)):
        ours, theirs = (open_store(Run(data / "tiny").current()) for data in (stored, local))
        assert (ours.index is None) == (theirs.index is None) == (stored in bare)
        for table in TABLES:
            if theirs.has(table):
                sql = f"select * from {table.view} order by all"
                assert ours.ask(sql).equals(theirs.ask(sql)), table.view
        opened, expected = featurelib.open(stored / "tiny"), featurelib.open(local / "tiny")
        pd.testing.assert_frame_equal(opened.features(), expected.features())
        pd.testing.assert_frame_equal(opened.top_texts(3), expected.top_texts(3))
        pd.testing.assert_frame_equal(opened.keywords(3), expected.keywords(3))


def test_pages_are_the_same_and_ask_the_bucket_nothing_once_the_run_is_open(
    stored_data: Path, tiny_data: Path, store: ObjectStore, use_data: UseData
) -> None:
    shown = []
    for data in (stored_data, tiny_data):
        use_data(data)
        page_of("feature.py", {"run": "tiny", "feature": 5})
        n_asked = len(store.asked)
        shown.append(
            [
                words(page_of("feature.py", {"run": "tiny", "feature": 3})),
                words(page_of("text.py", {"run": "tiny", "text": 7})),
            ]
        )
        assert "600 texts" in words(page_of("overview.py", {"run": "tiny"}))
        assert len(store.asked) == n_asked
    assert shown[0] == shown[1] and all(len(text) > 300 for text in shown[0])


def test_verify_reads_every_part_back(
    stored_data: Path, store: ObjectStore, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    verify = ["verify", "tiny", "--data", str(stored_data)]
    assert main(verify) == 0
    assert "all as they were built" in capsys.readouterr().out
    path = "bucket/some/labs/tiny/g0001/embeddings/part-00001.parquet"
    whole = store.content(path)
    flipped = bytearray(whole)
    flipped[len(whole) // 2] ^= 1
    store.put(path, bytes(flipped))
    try:
        assert main(verify) == 2
        said = capsys.readouterr()
        assert "tiny/g0001/embeddings/part-00001.parquet in s3://bucket/some/labs has changed" in said.out
        assert "--from embed" in said.err
        store.put(path, whole[:-1])
        assert main(verify) == 2
        assert main(["status", "tiny", "--data", str(stored_data)]) == 0
        said = capsys.readouterr()
        assert (
            f"damaged: tiny/g0001/embeddings/part-00001.parquet in s3://bucket/some/labs has {len(whole) - 1} bytes"
            in said.out
        )
        with pytest.raises(Refusal, match="is damaged: .*part-00001.parquet in s3://bucket/some/labs has"):
            open_store(Run(stored_data / "tiny").current())
        store.system().delete_file(path)
        assert main(verify) == 2
        assert "part-00001.parquet is missing in s3://bucket/some/labs" in capsys.readouterr().out
    finally:
        store.put(path, whole)
    assert main(verify) == 0


def test_a_server_does_not_read_parts_over_and_over(stored_data: Path, store: ObjectStore) -> None:
    generation = Run(stored_data / "tiny").current()
    asked = len(store.asked)
    assert all(wrong is None for _, wrong in FileWatch()._compared(generation, again=True))
    assert len(store.asked) == asked


def write_by_feature(generation: Generation, parts: list[pa.Table]) -> Generation:
    """Write activations by feature, and so much of the rest that the stage counts as done."""
    for number, rows in enumerate(parts):
        generation.part_folder(BY_FEATURE).number(number).write(rows, BY_FEATURE.schema)
    for table in TABLES:
        if table.stage == "encode" and not table.parts:
            generation.write_rows(table, [])
    generation.mark_done("encode", Done("", {}, "", {}))
    return generation


def test_duckdb_reads_only_the_pieces_that_it_needs(store: ObjectStore, place: str, tmp_path: Path) -> None:
    n = 400_000
    rows = BY_FEATURE.from_columns([np.arange(n), np.arange(n) // 1000, np.random.default_rng(0).random(n)])
    generation = write_by_feature(Generation(tmp_path / "run" / "g0001", place), [rows])
    (part,) = generation.parts(BY_FEATURE)
    assert isinstance(part, StoredPart)
    opened = open_store(generation)
    store.n_bytes.clear()
    answer = opened.ask("select sum(text_id) as n from activations_by_feature where feature_id = 7")
    assert answer["n"][0].as_py() == sum(range(7000, 8000))
    # one of four row groups, two of three columns, and the footer
    assert 0 < sum(store.n_bytes) < part.n_bytes / 4
    with pytest.raises(Refusal, match="No files found that match the pattern"):
        opened.select("select * from read_parquet('stored://parts/other.parquet')")
    with pytest.raises(Refusal, match="refuses this SQL"):
        opened.select(f"select * from read_parquet('s3://bucket/{part.key}')")


def test_threads_that_read_one_part_get_their_own_pieces_of_it(place: str, tmp_path: Path) -> None:
    n, draw = 600_000, np.random.default_rng(0)
    parts = [BY_FEATURE.from_columns([draw.integers(0, n, n), np.arange(n) // 999, draw.random(n)]) for _ in range(3)]
    stored = write_by_feature(Generation(tmp_path / "run" / "g0001", place), parts)
    local = write_by_feature(Generation(tmp_path / "local" / "g0001"), parts)
    sums = "sum(hash(text_id)) as t, sum(hash(feature_id)) as f, sum(hash(activation)) as a"
    sql = f"select {sums} from activations_by_feature"
    assert open_store(stored, threads=4).ask(sql).equals(open_store(local, threads=4).ask(sql))


def test_a_bucket_that_does_not_exist_is_a_sentence_and_the_run_goes_on(
    planted: Planted, store: ObjectStore, up_to_encode: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert build(planted, tmp_path, "--to", "train", "--parts", "s3://bucket/first") == 0
    flags = (*UP_TO_ENCODE, "--parts", "s3://not-yet/second")
    capsys.readouterr()
    assert build(planted, tmp_path, *flags) == 2
    assert complaint(capsys) == (
        "error: s3://not-yet/second cannot be used for parts: there is no such bucket (the bucket does not exist); "
        "make the bucket, or name another, and give the same command again: parts that are finished stay."
    )
    store.make_bucket("not-yet")
    before = len(store.uploaded())
    assert build(planted, tmp_path, *flags) == 0
    assert "embed: skipped" in capsys.readouterr().out
    assert not any("embeddings" in path for path in store.uploaded()[before:])
    same_parts(newest(tmp_path), newest(up_to_encode), store)


def test_a_bucket_that_refuses_in_the_middle_is_a_sentence_and_no_part_is_made_twice(
    planted: Planted,
    store: ObjectStore,
    place: str,
    up_to_encode: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    store.asked.clear()
    for n_parts, n_there in ((2, 2), (3, 5)):  # of three parts of embeddings, then of three and one of activations
        store.parts_until_refusal = n_parts
        assert build(planted, tmp_path, *UP_TO_ENCODE, "--parts", place) == 2
        said = complaint(capsys)
        assert said.startswith(f"error: {place} cannot be used for parts: it refuses these credentials (")
        assert "ACCESS_DENIED" in said and "give credentials that may list, read, write and delete there" in said
        store.parts_until_refusal = None
        assert len(stored_parts(newest(tmp_path))) == n_there
    assert build(planted, tmp_path, *UP_TO_ENCODE, "--parts", place) == 0
    same_parts(newest(tmp_path), newest(up_to_encode), store)
    begun = store.uploaded()
    # each part once, and the two that were refused once more
    assert len(begun) == 7 + 2 and len(set(begun)) == 7


def test_an_address_that_does_not_answer_is_a_sentence(
    planted: Planted, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert build(planted, tmp_path, "--to", "ingest") == 0
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    capsys.readouterr()
    assert build(planted, tmp_path, "--to", "embed", "--parts", "s3://bucket/first") == 2
    said = complaint(capsys)
    assert said.startswith("error: s3://bucket/first cannot be used for parts: it does not answer (")
    assert "check the network and the address (AWS_ENDPOINT_URL, for a store that is not Amazon's)" in said
    assert not stored_parts(newest(tmp_path))


def test_a_run_whose_bucket_is_away_says_so(
    stored_data: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    with pytest.raises(Refusal, match="s3://bucket/some/labs cannot be used for parts: it does not answer"):
        open_store(Run(stored_data / "tiny").current())
    assert main(["verify", "tiny", "--data", str(stored_data)]) == 2
    assert "it does not answer" in complaint(capsys)


def test_summaries_of_parts_that_cannot_be_read_are_the_same_sentence(
    planted: Planted, store: ObjectStore, place: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert build(planted, tmp_path, *UP_TO_ENCODE, "--parts", place) == 0
    store.parts_until_refusal = -1
    capsys.readouterr()
    assert build(planted, tmp_path, "--to", "summarise") == 2
    assert complaint(capsys) == (
        f"error: {place} cannot be used for parts: it refuses these credentials (AWS Error ACCESS_DENIED during "
        "HeadObject operation: No response body.); give credentials that may list, read, write and delete there, as "
        "its own tools read them from the environment, and give the same command again: parts that are finished stay."
    )
    store.parts_until_refusal = None
    assert build(planted, tmp_path, "--to", "summarise") == 0
    said = capsys.readouterr().out
    assert f"note: parts of this run lie in {place}; those made now go into its folder" in said
    assert "encode: skipped" in said and newest(tmp_path).done("summarise") is not None


def test_a_run_that_has_lost_a_part_is_built_again_from_there(
    planted: Planted,
    stored_data: Path,
    store: ObjectStore,
    place: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    own = shutil.copytree(stored_data, tmp_path / "own")
    path = "bucket/some/labs/tiny/g0001/embeddings/part-00002.parquet"
    whole = store.content(path)
    store.system().delete_file(path)
    try:
        assert build(planted, own, *UP_TO_ENCODE, "--parts", place) == 0
    finally:
        store.put(path, whole)
    said = capsys.readouterr().out
    assert "run 'tiny' is damaged: tiny/g0001/embeddings/part-00002.parquet is missing in s3://bucket/some/labs" in said
    assert "ingest: skipped" in said and newest(own).name == "g0002"
    same_parts(newest(own), newest(stored_data), store)


def test_a_build_killed_in_the_middle_goes_on(
    planted: Planted, store: ObjectStore, place: str, up_to_encode: Path, tmp_path: Path
) -> None:
    command = ["build", str(planted.path), "--name", "tiny", "--data", str(tmp_path), *TINY_FLAGS, *UP_TO_ENCODE]
    command += ["--parts", place]
    for table in (EMBEDDINGS, BY_TEXT):
        killed = subprocess.Popen([sys.executable, "-m", "precompute", *command], cwd=ROOT, stderr=subprocess.DEVNULL)
        folder = tmp_path / "tiny" / "g0001" / table.path
        while killed.poll() is None and not list(folder.glob("part-*.json")):
            time.sleep(0.005)
        killed.send_signal(signal.SIGKILL)
        killed.wait()
        assert parts_in(folder)
    assert main(command) == 0
    same_parts(newest(tmp_path), newest(up_to_encode), store)


def test_a_folder_is_a_place_too(planted: Planted, up_to_encode: Path, tmp_path: Path) -> None:
    assert build(planted, tmp_path / "data", *UP_TO_ENCODE, "--parts", str(tmp_path / "big")) == 0
    stored, local = newest(tmp_path / "data"), newest(up_to_encode)
    for table in PARTED:
        for part, file in zip(stored.parts(table), local.parts(table), strict=True):
            assert isinstance(part, StoredPart) and isinstance(file, Path)
            assert (tmp_path / "big" / part.key).read_bytes() == file.read_bytes()
        sql = f"select * from {table.view} order by all"
        assert open_store(stored).ask(sql).equals(open_store(local).ask(sql))


def test_the_data_folder_itself_is_no_place(
    planted: Planted, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert build(planted, tmp_path, "--to", "embed", "--parts", str(tmp_path)) == 2
    assert "is the data folder, where parts go without it" in complaint(capsys)


def test_parts_of_another_run_of_the_same_name_are_not_overwritten(
    planted: Planted, place: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert build(planted, tmp_path / "ours", "--to", "embed", "--parts", place) == 0
    capsys.readouterr()
    assert build(planted, tmp_path / "theirs", "--to", "embed", "--parts", place) == 2
    assert f"{place}/tiny holds parts of another run 'tiny'" in complaint(capsys)
    assert build(planted, tmp_path / "theirs", "--to", "embed", "--parts", place, name="other") == 0


def test_a_rebuild_shares_parts_and_removes_those_that_nothing_points_to(
    planted: Planted, store: ObjectStore, place: str, tmp_path: Path
) -> None:
    prefix = place.removeprefix("s3://")
    assert build(planted, tmp_path, *UP_TO_ENCODE, "--parts", place) == 0
    first = newest(tmp_path)
    n_embeddings = len(first.parts(EMBEDDINGS))
    # as a finished build leaves it: the next one carries over what stands
    twin = Generation(tmp_path / "twin" / "g0001")
    shutil.copytree(first.path, twin.path)
    assert build(planted, tmp_path, "--to", "encode", "--from", "encode", "--parts", place) == 0
    assert len(store.objects(f"{prefix}/tiny")) == 1 + 7
    remove_stored(stored_parts(first), tmp_path, first)
    assert len(store.objects(f"{prefix}/tiny")) == 1 + 7, "another run points to them"
    shutil.rmtree(twin.path)
    said: list[str] = []
    store.parts_until_refusal = -1
    _prune(first, said.append)
    assert "tiny/g0001 stays until its parts can be removed" in said[0] and first.path.is_dir()
    store.parts_until_refusal = None
    _prune(first, said.append)
    assert store.objects(f"{prefix}/tiny") == [f"{prefix}/tiny/owner.txt"] and not first.path.exists()
    assert n_embeddings == 3


def test_another_run_takes_parts_from_a_complete_one_only(
    planted: Planted, stored_data: Path, place: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert build(planted, tmp_path / "unfinished", *UP_TO_ENCODE, "--parts", place) == 0
    assert build(planted, tmp_path / "unfinished", *UP_TO_ENCODE, "--parts", place, name="other") == 0
    said = capsys.readouterr().out
    assert "train: taken from tiny/g0001" in said
    assert "embed: taken from" not in said and "encode: taken from" not in said
    own = shutil.copytree(stored_data, tmp_path / "own")
    assert build(planted, own, *UP_TO_ENCODE, "--parts", place, name="another") == 0
    said = capsys.readouterr().out
    assert "embed: taken from tiny/g0001" in said and "encode: taken from tiny/g0001" in said
    for table in PARTED:
        assert newest(own, "another").parts(table) == newest(own).parts(table)


def test_new_texts_are_appended_to_parts_in_a_bucket(
    stored_data: Path, store: ObjectStore, place: str, planted: Planted, tmp_path: Path
) -> None:
    own = shutil.copytree(stored_data, tmp_path / "own")
    few = tmp_path / "few.parquet"
    rows = pq.read_table(planted.path).slice(0, 20)
    pq.write_table(rows.set_column(0, "id", pa.array([f"new{number}" for number in range(20)])), few)
    command = ["build", str(few), "--name", "tiny", "--data", str(own), "--append", *UP_TO_ENCODE, "--parts", place]
    assert main(command) == 0
    old, new = Run(own / "tiny").generations()
    for table in (EMBEDDINGS, BY_TEXT):
        assert new.parts(table)[:-1] == old.parts(table)
        assert new.parts(table)[-1].place == place
    rows = open_store(new).ask("select text_id, embedding from embeddings order by text_id").to_pandas()
    assert len(rows) == 620
    assert np.array_equal(np.stack(rows["embedding"][600:]), np.stack(rows["embedding"][:20]))


def test_a_token_run_is_the_same_too(store: ObjectStore, place: str, tmp_path: Path) -> None:
    local = newest(token_run_data(tmp_path / "local", *UP_TO_ENCODE), "tok")
    stored = newest(token_run_data(tmp_path / "stored", *UP_TO_ENCODE, "--parts", place), "tok")
    tables = [table for table in TABLES if table.parts]
    assert len(tables) == 7
    for table in tables:
        for part, file in zip(stored.parts(table), local.parts(table), strict=True):
            assert isinstance(part, StoredPart) and isinstance(file, Path)
            assert store.content(f"{place.removeprefix('s3://')}/{part.key}") == file.read_bytes()


@pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason='ray is not installed (pip install "ray[data]")')
def test_workers_of_a_cluster_write_into_the_bucket(
    planted: Planted,
    store: ObjectStore,
    place: str,
    up_to_encode: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    flags = (*UP_TO_ENCODE, "--parts", place, "--engine", "ray", "--address", "local", "--device", "cpu")
    store.parts_until_refusal = 1
    assert build(planted, tmp_path, *flags) == 2
    assert f"{place} cannot be used for parts: it refuses these credentials (AWS Error ACCESS_DENIED" in complaint(
        capsys
    )
    store.parts_until_refusal = None
    assert len(stored_parts(newest(tmp_path))) == 1
    assert build(planted, tmp_path, *flags) == 0
    same_parts(newest(tmp_path), newest(up_to_encode), store)


@pytest.mark.parametrize(
    ("text", "parsed"),
    [
        ("s3://bucket", "s3://bucket"),
        ("s3://bucket//a/b/", "s3://bucket/a/b"),
        ("gs://bucket/a", "gs://bucket/a"),
        (
            "s3://b/a?scheme=http&endpoint_override=10.0.0.1:9000",
            "s3://b/a?endpoint_override=10.0.0.1%3A9000&scheme=http",
        ),
        ("/big/parts", "/big/parts"),
        ("parts", f"{Path.cwd().as_posix()}/parts"),
    ],
)
def test_a_place_is_written_down_in_one_way(text: str, parsed: str) -> None:
    assert parse_place(text) == parsed == parse_place(parsed)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("s3://key:secret@bucket/a", "credentials are read from the environment"),
        ("s3://bucket/a?access_key=secret", "'access_key' behind its ?"),
        ("gs://bucket/a?region=x", "'region' behind its ?"),
        ("s3:///a", "no bucket"),
        ("http://host/a", "a folder, s3://BUCKET/PREFIX or gs://BUCKET/PREFIX is expected"),
    ],
)
def test_what_is_no_place_is_refused(
    text: str, said: str, planted: Planted, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert build(planted, tmp_path, "--parts", text) == 2
    printed = complaint(capsys)
    assert said in printed and "secret" not in printed
    assert not (tmp_path / "tiny").exists()


def test_a_damaged_pointer_is_a_sentence_and_an_object_that_is_gone_too(
    store: ObjectStore, place: str, tmp_path: Path
) -> None:
    folder = PartFolder(tmp_path / "embeddings", place, "run/g0001/embeddings")
    table = pa.table({"text_id": [1, 2]})
    assert folder.number(0).write(table, table.schema) == 2
    (part,) = parts_in(folder.path)
    assert isinstance(part, StoredPart)
    Place(place).remove([part.key])
    assert store.objects(place.removeprefix("s3://")) == []
    with pytest.raises(Refusal, match="an object is missing in s3://bucket/.*build the stage that wrote it again"):
        read_part(part)
    pointer = tmp_path / "embeddings" / "part-00000.json"
    pointer.write_text(json.dumps({"place": place}))
    with pytest.raises(Refusal, match=r"part-00000.json is damaged \(place, key, bytes, sha256 and rows"):
        parts_in(folder.path)


@pytest.mark.parametrize(
    ("place", "key"),
    [
        ("/etc", "passwd"),
        ("/etc", "run/g0001/embeddings/../../../part-00000.parquet"),
        ("/big", "/run/g0001/embeddings/part-00000.parquet"),
        ("/big", "run/g0001/embeddings/part-00001.parquet"),
        ("/big/../etc\n", "run/g0001/embeddings/part-00000.parquet"),
        ("big", "run/g0001/embeddings/part-00000.parquet"),
        ("http://host/a", "run/g0001/embeddings/part-00000.parquet"),
        ("s3://key:secret@bucket/a", "run/g0001/embeddings/part-00000.parquet"),
        (7, "run/g0001/embeddings/part-00000.parquet"),
        ("/big", None),
    ],
)
def test_a_pointer_out_of_its_place_is_damaged(place: object, key: object, tmp_path: Path) -> None:
    pointer = tmp_path / "part-00000.json"
    good = {"place": "/big", "key": "run/g0001/embeddings/part-00000.parquet", "bytes": 1, "sha256": "0", "rows": 1}
    pointer.write_text(json.dumps(good))
    assert [part.name for part in parts_in(tmp_path)] == ["part-00000.parquet"]
    pointer.write_text(json.dumps(good | {"place": place, "key": key}))
    with pytest.raises(Refusal, match=r"part-00000.json is damaged"):
        parts_in(tmp_path)
    assert pointed_at(tmp_path) == [], "what it names is never removed"


def test_a_run_from_elsewhere_opens_no_place_that_its_data_folder_does_not_know(
    planted: Planted, stored_data: Path, store: ObjectStore, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(stored_data / "tiny", tmp_path / "tiny")
    generation, n_asked = Run(tmp_path / "tiny").current(), len(store.asked)
    said = "run 'tiny' points to parts in s3://bucket/some/labs, a place that its data folder does not know"
    with pytest.raises(Refusal, match=said):
        open_store(generation)
    with pytest.raises(Refusal, match=said):
        generation.parts(EMBEDDINGS)
    for command in ("verify", "status"):
        assert main([command, "tiny", "--data", str(tmp_path)]) == 2
        assert said in complaint(capsys)
    assert build(planted, tmp_path, "--parts", "s3://bucket/some/labs") == 2
    assert said in complaint(capsys)
    assert build(planted, tmp_path, "--to", "embed", name="other") == 0
    assert "embed: taken from" not in capsys.readouterr().out
    assert len(store.asked) == n_asked
    (tmp_path / ".parts-places").write_text("s3://bucket/some/labs\n")
    assert len(open_store(generation).ask("select text_id from activations_by_text")) > 0


def test_a_copy_of_a_run_leaves_the_parts_of_the_run_itself(
    planted: Planted, store: ObjectStore, place: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ours, theirs, prefix = tmp_path / "ours", tmp_path / "theirs", place.removeprefix("s3://")
    assert build(planted, ours, *UP_TO_ENCODE, "--parts", place) == 0
    shutil.copytree(ours / "tiny", theirs / "tiny")
    (theirs / ".parts-places").write_text(f"{place}\n")
    before = {path: store.content(path) for path in store.objects(prefix)}
    again = (*UP_TO_ENCODE, "--from", "embed")
    capsys.readouterr()
    assert build(planted, theirs, *again, "--parts", place) == 2
    assert f"{place}/tiny holds parts of another run 'tiny'" in complaint(capsys)
    assert build(planted, theirs, *again, "--parts", str(tmp_path / "big")) == 0
    assert {path: store.content(path) for path in store.objects(prefix)} == before
    assert build(planted, ours, *again, "--parts", str(tmp_path / "big")) == 2, "the name is taken there"
    assert build(planted, ours, "--to", "embed", "--from", "embed") == 0
    assert store.objects(f"{prefix}/tiny") == [path for path in before if "/embeddings/" not in path]


def test_files_that_no_build_put_there_are_not_overwritten(
    planted: Planted, store: ObjectStore, place: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = f"{place.removeprefix('s3://')}/tiny/g0001/embeddings/part-00000.parquet"
    store.put(path, b"a backup")
    other = tmp_path / "other" / "tiny" / "g0001" / "embeddings" / "part-00000.parquet"
    other.parent.mkdir(parents=True)
    other.write_bytes(b"another run's")
    for taken in (place, str(tmp_path / "other")):
        assert build(planted, tmp_path / "data", "--to", "embed", "--parts", taken) == 2
        assert f"{taken}/tiny holds files that no build with --parts wrote" in complaint(capsys)
    assert not (tmp_path / "data" / ".parts-places").exists()
    assert store.content(path) == b"a backup" and other.read_bytes() == b"another run's"


def test_what_lies_beside_parts_stays_when_they_go(store: ObjectStore, place: str, tmp_path: Path) -> None:
    folder, table = "run/g0001/embeddings", pa.table({"text_id": [1, 2]})
    for where in (place, str(tmp_path / "big")):
        files = PartFolder(tmp_path / "run" / where[-3:], where, folder)
        for number in (0, 1):
            files.number(number).write(table, table.schema)
        Place(where).write(f"{folder}/mine/notes.txt", b"mine")
        keys = [part.key for part in pointed_at(files.path)]
        Place(where).remove(keys)
        assert Place(where).sizes(folder) == {f"{folder}/mine/notes.txt": 4}
    Place(str(tmp_path / "empty")).remove(["run/g0001/embeddings/part-00000.parquet"])


def test_a_part_that_is_there_both_ways_is_the_file(tmp_path: Path) -> None:
    table = pa.table({"text_id": [1, 2]})
    for number in range(20):
        for where in (str(tmp_path / "big"), None)[:: 1 if number % 2 else -1]:
            PartFolder(tmp_path / "run", where, "run/g0001/embeddings").number(number).write(table, table.schema)
    assert parts_in(tmp_path / "run") == sorted((tmp_path / "run").glob("*.parquet"))


def test_the_environment_is_not_written_down(stored_data: Path) -> None:
    secrets = (os.environ["AWS_SECRET_ACCESS_KEY"], os.environ["AWS_ENDPOINT_URL"])
    for path in (stored_data / "tiny").rglob("*.json"):
        assert not any(secret in path.read_text(encoding="utf-8") for secret in secrets if secret != "secret")

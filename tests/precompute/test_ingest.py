"""The verb ingest: texts.parquet, dropped.parquet, and facts that account for every row."""

from __future__ import annotations

import builtins
import json
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq
import pytest

from featurelib.schema import DROPPED, TEXTS, Refusal
from featurelib.storage.runs import Generation
from precompute.build.config import BuildConfig
from precompute.build.job import Job
from precompute.stages.ingest import identity, ingest


def hostile(folder: Path) -> Path:
    rows = [
        {"id": "a", "title": "First", "body": "one", "group": "g", "year": 2001, "text": "not the text"},
        {"id": "b", "title": None, "body": "two", "group": None, "year": 2002},
        {"id": "a", "title": "Again", "body": "three"},
        {"id": "c", "title": "Null", "body": None},
        {"id": None, "title": "No id", "body": "five \x00"},
        {"id": "e", "title": "Long", "body": "x" * 100_001},
    ]
    path = folder / "hostile.jsonl"
    path.write_text("\n".join([*map(json.dumps, rows), "", "{broken"]))
    return path


def run_ingest(folder: Path, source: Path, **options):
    said: list[str] = []
    config = BuildConfig(source=str(source), name="x", **options)
    generation = Generation(folder / "g0001")
    made = ingest(Job(generation, config, said.append))
    return generation, made, said


def test_every_row_of_the_source_is_a_text_or_is_listed_as_dropped(tmp_path):
    source = hostile(tmp_path)
    options = {"text_column": "body", "title_column": "title", "id_column": "id"}
    generation, made, said = run_ingest(tmp_path, source, **options)
    texts = pq.read_table(generation.file(TEXTS))
    dropped = pq.read_table(generation.file(DROPPED))
    assert sorted(texts["source_row"].to_pylist() + dropped["source_row"].to_pylist()) == list(range(7))
    assert texts.column_names == [*TEXTS.schema.names, "title", "group", "year", "source_text"]
    assert texts["text"].to_pylist()[:3] == ["First. one", "two", "No id. five \ufffd"]
    assert dropped.to_pylist() == [
        {"source_row": 2, "source_id": "a", "reason": "duplicate id"},
        {"source_row": 3, "source_id": "c", "reason": "null text"},
        {"source_row": 6, "source_id": None, "reason": "not JSON"},
    ]
    assert made.line == "4 texts kept, 3 dropped (1 duplicate id, 1 not JSON, 1 null text)"
    facts = made.facts
    assert (facts["source"], facts["n_rows"], facts["n_texts"], facts["n_dropped"]) == ("hostile.jsonl", 7, 4, 3)
    assert facts["columns"] == {"text": "body", "title": "title", "id": "id"} and not facts["guessed"]
    assert facts["metadata_renamed"] == {"source_text": "text"}
    assert facts["repaired"] == {
        "NUL characters": 1,
        "ids made from row numbers": 1,
        "texts cut to 100,000 characters": 1,
        "texts without title": 1,
    }
    assert facts["met"] == {"blank_lines": 1}
    assert str(tmp_path) not in json.dumps(facts)
    assert any("NUL characters: 1" in line for line in said)


def test_two_ingests_of_one_source_are_equal_byte_for_byte(tmp_path):
    source = hostile(tmp_path)
    options = {"text_column": "body", "sample": 3, "shuffle": True, "seed": 5}
    first = run_ingest(tmp_path / "one", source, **options)
    second = run_ingest(tmp_path / "two", source, **options)
    for table in (TEXTS, DROPPED):
        assert first[0].file(table).read_bytes() == second[0].file(table).read_bytes()
    assert first[1] == second[1]


def test_identity_is_the_sha256_and_changes_with_one_byte(tmp_path):
    source = hostile(tmp_path)
    config = BuildConfig(source=str(source), name="x")
    before = identity(config)
    assert set(before) == {"source", "sha256"} and before == identity(config)
    source.write_bytes(source.read_bytes() + b"\n")
    assert identity(config) != before


def test_a_refused_source_leaves_nothing_that_looks_done(tmp_path):
    pd.DataFrame({"text": [None, ""]}).to_parquet(tmp_path / "x.parquet")
    with pytest.raises(Refusal, match="no usable text"):
        run_ingest(tmp_path, tmp_path / "x.parquet")
    assert not list((tmp_path / "g0001").rglob("*.parquet"))


def test_a_smaller_corpus_than_the_sample_is_said(tmp_path):
    _, made, said = run_ingest(tmp_path, hostile(tmp_path), text_column="body", sample=50)
    assert made.facts["n_texts"] == 5
    assert any("sample of 50 was asked for, but there are only 5" in line for line in said)


def test_a_dataset_id_without_the_datasets_package_names_the_command(monkeypatch):
    original_import = builtins.__import__

    def without(name, *rest, **options):
        if name == "datasets":
            raise ImportError(name)
        return original_import(name, *rest, **options)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(Refusal, match="pip install datasets"):
        identity(BuildConfig(source="owner/name", name="x"))


def test_a_source_that_changes_while_it_is_read_is_refused(tmp_path):
    path = tmp_path / "growing.jsonl"
    path.write_text('{"text": "one"}\n{"text": "two"}\n')

    def grow(sentence: str) -> None:
        with path.open("a") as opened:
            opened.write('{"text": "three"}\n')

    with pytest.raises(Refusal, match="growing.jsonl was changed while it was read"):
        ingest(Job(Generation(tmp_path / "g0001"), BuildConfig(source=str(path), name="x"), grow))

"""A file is written whole or not at all, and equal values give equal bytes."""

from __future__ import annotations

import os
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from featurelib.storage import files


def test_a_failed_write_leaves_the_old_file_and_nothing_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "kept.json"
    files.write_json(path, {"a": 1})

    def fail(aside: Path) -> None:
        aside.write_text("half")
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space"):
        files.write_aside(path, fail)
    assert files.read_json(path) == {"a": 1}
    assert os.listdir(tmp_path) == ["kept.json"]


@pytest.mark.parametrize("sizes", [[25_000], [1] * 7 + [24_993], [9_999, 2, 14_999], [10_000, 10_000, 5_000]])
def test_equal_rows_give_equal_bytes_whatever_the_batches(tmp_path: Path, sizes: list[int]) -> None:
    whole = pa.table({"n": pa.array(range(25_000), pa.int64()), "t": [f"text {i % 97}" for i in range(25_000)]})
    start, batches = 0, []
    for size in sizes:
        batches += whole.slice(start, size).combine_chunks().to_batches()
        start += size
    files.write_parquet(tmp_path / "whole.parquet", whole, whole.schema, 10_000)
    assert files.write_parquet(tmp_path / "batches.parquet", iter(batches), whole.schema, 10_000) == 25_000
    assert files.sha256_file(tmp_path / "batches.parquet") == files.sha256_file(tmp_path / "whole.parquet")
    assert pq.read_table(tmp_path / "batches.parquet").equals(whole)


def test_an_empty_table_keeps_its_columns(tmp_path: Path) -> None:
    schema = pa.schema([("feature_id", pa.int32())])
    assert files.write_parquet(tmp_path / "empty.parquet", schema.empty_table(), schema) == 0
    assert pq.read_schema(tmp_path / "empty.parquet") == schema


@pytest.mark.parametrize(
    ("value", "other"), [({"k": 1}, {"k": "1"}), (["ab", "c"], ["a", "bc"]), ({"a": None}, {}), ({"a": 1.0}, {"a": 1})]
)
def test_values_that_differ_have_different_fingerprints(value: object, other: object) -> None:
    assert files.fingerprint(value) != files.fingerprint(other)


def test_linking_shares_the_bytes(tmp_path: Path) -> None:
    source = tmp_path / "source.txt"
    source.write_text("text")
    files.link_or_copy(source, tmp_path / "run" / "target.txt")
    assert (tmp_path / "run" / "target.txt").read_text() == "text"
    assert source.stat().st_ino == (tmp_path / "run" / "target.txt").stat().st_ino

"""What metadata columns hold: of all kinds of values, in many row groups, kept in the run's cache."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from featurelib.schema import TEXTS, Refusal
from featurelib.storage import metadata
from featurelib.storage.metadata import FEW_VALUES, TEXTS_READ, column_summaries, own_names, summarise_columns
from tests.support.numpy_run import make_run


def test_a_column_is_counted_over_all_row_groups_not_the_first_alone(tmp_path: Path) -> None:
    late = pa.array([None] * 900 + ["a", "b"] * 50)
    few_first = pa.array(["x"] * 100 + [f"v{i}" for i in range(900)])
    pq.write_table(pa.table({"late": late, "few_first": few_first}), tmp_path / "t", row_group_size=100)
    summaries = summarise_columns(tmp_path / "t", ["late", "few_first"])
    assert summaries["late"].n_distinct == 2 and summaries["late"].filled == pytest.approx(0.1)
    assert summaries["few_first"].n_distinct == 901 > FEW_VALUES
    assert summaries["few_first"].telling == pytest.approx(7 / 1000)


def test_every_kind_of_value_is_counted(tmp_path: Path) -> None:
    columns = {
        "flag": pa.array([True, False, None, True]),
        "number": pa.array([1.5, float("nan"), 1.5, None]),
        "day": pa.array([1, 2, 3, 3], pa.date32()),
        "moment": pa.array([1, 2, 3, 3], pa.timestamp("us", "UTC")),
        "exact": pa.array([1, 2, 3, 3], pa.int32()).cast(pa.decimal128(12, 2)),
        "bytes": pa.array([b"a", b"b", b"a", None]),
        "tags": pa.array([["a", "b"], [], None, ["b"]]),
        "coded": pa.array(["a", "b", "a", None]).dictionary_encode(),
        "nested": pa.array([{"a": 1}, {"a": 2}, None, {"a": 2}]),
    }
    pq.write_table(pa.table(columns), tmp_path / "t")
    summaries = summarise_columns(tmp_path / "t", list(columns))
    counted = {name: summary.n_distinct for name, summary in summaries.items()}
    assert counted.pop("nested") > FEW_VALUES  # nothing to choose from
    assert counted == {"flag": 2, "number": 2, "day": 3, "moment": 3, "exact": 3, "bytes": 2, "tags": 2, "coded": 2}
    assert {name: summary.filled for name, summary in summaries.items()} == {
        **dict.fromkeys(columns, 0.75), **dict.fromkeys(("day", "moment", "exact"), 1.0), "tags": 0.5,
    }  # fmt: skip


def test_of_a_large_corpus_texts_from_its_whole_length_are_read(tmp_path: Path) -> None:
    n_texts = 10 * TEXTS_READ
    values = pa.array(np.arange(n_texts) * 10 // n_texts)  # 0 in the first tenth, 9 in the last
    pq.write_table(pa.table({"tenth": values}), tmp_path / "t", row_group_size=1000)
    with pq.ParquetFile(tmp_path / "t") as opened:
        groups = metadata._spread(opened.metadata)
    assert len(groups) == TEXTS_READ / 1000 and groups[0] == 0 and groups[-1] >= 190
    assert summarise_columns(tmp_path / "t", ["tenth"])["tenth"].n_distinct == 10


def test_summaries_are_kept_in_the_cache_and_made_again_when_it_is_damaged(tmp_path: Path) -> None:
    made = make_run(tmp_path / "small", upto="ingest")
    summaries = column_summaries(made.generation)
    assert list(summaries) == own_names(made.generation) and summaries["year"].n_distinct == 7
    [cached] = made.run.cache_folder.glob("columns-*.json")
    changed = json.loads(cached.read_text()) | {"year": [6, 1.0, 0.5]}
    cached.write_text(json.dumps(changed))
    assert column_summaries(made.generation)["year"].n_distinct == 6
    for content in ("{", "[]", "{}", '{"year": [1]}'):
        cached.write_text(content)
        assert column_summaries(made.generation) == summaries


def test_a_file_that_cannot_be_read_is_a_sentence(tmp_path: Path) -> None:
    made = make_run(tmp_path / "small", upto="ingest")
    made.generation.file(TEXTS).write_bytes(b"PAR1 nothing PAR1")
    with pytest.raises(Refusal, match=r"texts\.parquet cannot be read .* build the run again"):
        column_summaries(made.generation)

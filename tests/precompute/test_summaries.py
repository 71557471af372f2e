"""summarise makes what numpy and SQL make, in any number of ranges, to the byte."""

from __future__ import annotations

import importlib.util
import shutil
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from benchmarks.coactivations import by_sql
from featurelib import schema, summaries
from featurelib.storage import files
from featurelib.storage.activation_rows import Rows, write_rows
from featurelib.storage.coactivation import count_coactivations
from featurelib.storage.runs import Generation, Run
from featurelib.summaries import SUMMARIES, feature_ranges
from featurelib.summaries.coactivations import rank_coactivations
from tests.support import ROOT
from tests.support.numpy_run import DEAD, N_FEATURES, NumpyRun, make_run, run_summarise

TABLES = (*(summary.table for summary in SUMMARIES), schema.COACTIVATION_ROWS)
BENCHMARK = ROOT / "benchmarks" / "recompute.py"


def load_recompute():
    """The benchmark as a module; benchmarks/ is no package."""
    spec = importlib.util.spec_from_file_location("recompute", BENCHMARK)
    module = importlib.util.module_from_spec(spec)
    sys.modules["recompute"] = module
    spec.loader.exec_module(module)
    return module


recompute = load_recompute()


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> NumpyRun:
    return make_run(tmp_path_factory.mktemp("summaries") / "small")


@pytest.fixture
def copied(made: NumpyRun, tmp_path: Path) -> Generation:
    """A copy whose summarise stage has not run."""
    run = Run(shutil.copytree(made.run.path, tmp_path / "copy"))
    (run.current().path / "manifest.json").unlink()
    for table in TABLES:
        run.current().file(table).unlink()
    for stage in schema.STAGES[schema.STAGES.index("summarise") :]:
        (run.current().path / "done" / f"{stage}.json").unlink()
    run.current().file(schema.LABEL_SPLIT).unlink()
    return run.current()


def hashes(generation: Generation) -> dict[str, str]:
    return {table.view: files.sha256_file(generation.file(table)) for table in TABLES}


def test_every_table_agrees_with_numpy_for_every_feature(made: NumpyRun) -> None:
    comparisons = recompute.compare(made.generation.path)
    assert {comparison.table for comparison in comparisons} >= {
        "density",
        "top texts",
        "histograms",
        "neighbours",
        "coactivations",
    }
    assert [comparison.wrong for comparison in comparisons] == [[]] * len(comparisons)
    assert all(comparison.compared >= N_FEATURES for comparison in comparisons)


def test_the_real_pipeline_agrees_with_numpy_for_every_feature(tiny: Run) -> None:
    comparisons = recompute.compare(tiny.current().path)
    assert [comparison.wrong for comparison in comparisons] == [[]] * len(comparisons)


def spoil(path: Path, column: str, row: int, by: float) -> None:
    table = pq.read_table(path)
    values = table[column].to_pylist()
    values[row] += by
    position = table.column_names.index(column)
    pq.write_table(table.set_column(position, column, pa.array(values, table.schema.field(column).type)), path)


@pytest.mark.parametrize(
    ("name", "column", "by", "blamed"),
    [
        ("features", "n_active", 1, "density"),
        ("features", "mean_activation", 1e-4, "density"),
        ("top_texts", "text_id", 1, "top texts"),
        ("histograms", "n_texts", 1, "histograms"),
        ("neighbours", "neighbour_id", 1, "neighbours"),
        ("coactivations", "n_both", 1, "coactivations"),
        ("coactivations", "lift", 1e-3, "coactivations"),
        ("texts", "n_active", 1, "l0 per text"),
    ],
)
def test_one_wrong_number_in_a_table_is_found(
    made: NumpyRun, tmp_path: Path, name: str, column: str, by: float, blamed: str
) -> None:
    run = Run(shutil.copytree(made.run.path, tmp_path / "copy"))
    spoil(run.current().path / f"summaries/{name}.parquet", column, 4, by)
    assert recompute.main([str(run.path)]) == 1
    assert [comparison.table for comparison in recompute.compare(run.current().path) if comparison.wrong] == [blamed]


def test_the_tables_have_the_columns_and_types_of_the_schema(made: NumpyRun) -> None:
    for table in TABLES:
        assert pq.read_schema(made.generation.file(table)).equals(table.schema), table.view


def test_dead_features_have_a_row_and_nothing_else(made: NumpyRun) -> None:
    features = pq.read_table(made.generation.file(schema.FEATURES)).to_pylist()
    for feature_id in DEAD:
        assert features[feature_id]["dead"] and features[feature_id]["log10_density"] is None
    for table in (schema.TOP_TEXT_ROWS, schema.HISTOGRAMS, schema.COACTIVATION_ROWS):
        assert not set(DEAD) & set(pq.read_table(made.generation.file(table))["feature_id"].to_pylist())


def test_the_bytes_do_not_depend_on_the_ranges(made: NumpyRun, copied: Generation, monkeypatch) -> None:
    monkeypatch.setattr("precompute.stages.summarise.ROWS_PER_RANGE", 100)
    run_summarise(copied)
    assert hashes(copied) == hashes(made.generation)


def test_coactivations_are_those_of_sql_to_the_byte(made: NumpyRun, tiny: Run, tmp_path: Path) -> None:
    for generation in (made.generation, tiny.current()):
        path = generation.file(schema.COACTIVATION_ROWS)
        rows = by_sql(generation, N_FEATURES - 1)
        assert files.write_parquet(tmp_path / "sql.parquet", rows, schema.COACTIVATION_ROWS.schema) > 50
        assert files.sha256_file(tmp_path / "sql.parquet") == files.sha256_file(path)


def ties() -> np.ndarray:
    """int64 [N, N]: how often features share texts, with many equal lifts and equal numbers beside the fiftieth."""
    draw = np.random.default_rng(5)
    counts = draw.integers(3, 8, (70, 70))
    counts = np.triu(counts) + np.triu(counts, 1).T
    np.fill_diagonal(counts, draw.choice([20, 40], 70))
    return counts


def test_equal_lifts_are_told_apart_by_n_both_and_then_by_the_id() -> None:
    counts = ties()
    n_active = np.diag(counts).astype(np.int64)
    rows = rank_coactivations(counts.astype(np.int32), 0, n_active, 1000).to_pylist()
    for f in range(70):
        pairs = [(-(int(n) * 1000) / (int(n_active[f]) * int(n_active[o])), -int(n), o)
                 for o, n in enumerate(counts[f]) if n >= 5 and o != f]  # fmt: skip
        best = [(row["lift"], row["n_both"], row["other_id"]) for row in rows if row["feature_id"] == f]
        assert best == [(-lift, -both, other) for lift, both, other in sorted(pairs)[: schema.COACTIVATIONS]]
        assert len(pairs) < schema.COACTIVATIONS or len(best) == schema.COACTIVATIONS
    assert [row["rank"] for row in rows if row["feature_id"] == 0] == list(range(1, 1 + len(best_of(rows, 0))))
    assert any(len(best_of(rows, f)) == schema.COACTIVATIONS for f in range(70)), "some are cut at the limit"


def best_of(rows: list[dict], feature_id: int) -> list[dict]:
    return [row for row in rows if row["feature_id"] == feature_id]


@pytest.mark.parametrize("n_bytes", [1, 4_000, 60_000, 10**9])
def test_counts_do_not_depend_on_the_memory_even_where_a_text_goes_on_in_the_next_part(
    made: NumpyRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, n_bytes: int
) -> None:
    monkeypatch.setattr("featurelib.storage.coactivation.TEXTS_AT_ONCE", 50)
    rows = made.rows
    parts = []
    for number, piece in enumerate(np.array_split(np.arange(len(rows)), 7)):  # which divides texts
        parts.append(tmp_path / f"part-{number}.parquet")
        columns = [rows[name].to_numpy()[piece] for name in ("text_id", "feature_id", "activation")]
        write_rows(parts[-1], Rows(columns[0], columns[1].astype(np.int32), columns[2]))
    fires = (made.activations > 0).astype(int)
    blocks = list(count_coactivations(parts, N_FEATURES, n_bytes))
    assert [first for first, _ in blocks] == np.cumsum([0, *(len(block) for _, block in blocks[:-1])]).tolist()
    np.testing.assert_array_equal(np.vstack([block for _, block in blocks]), fires.T @ fires)
    assert (len(blocks) > 1) == (n_bytes < 60_000)


def test_the_bytes_do_not_depend_on_the_threads(made: NumpyRun, copied: Generation, monkeypatch) -> None:
    from precompute.stages import summarise as verb

    opened = verb.open_store
    monkeypatch.setattr(verb, "open_store", lambda generation, **limits: opened(generation, **{"threads": 7} | limits))
    run_summarise(copied)
    assert hashes(copied) == hashes(made.generation)


def test_a_killed_stage_goes_on_and_ends_in_the_same_bytes(made: NumpyRun, copied: Generation, monkeypatch) -> None:
    write = files.write_parquet

    def dies_at_histograms(path: Path, *rest):
        if path.name == "histograms.parquet":
            raise KeyboardInterrupt
        return write(path, *rest)

    monkeypatch.setattr(files, "write_parquet", dies_at_histograms)
    with pytest.raises(KeyboardInterrupt):
        run_summarise(copied)
    kept = copied.file(schema.TOP_TEXT_ROWS).stat().st_ino
    monkeypatch.undo()
    run_summarise(copied)
    assert hashes(copied) == hashes(made.generation)
    assert copied.file(schema.TOP_TEXT_ROWS).stat().st_ino == kept


def test_ranges_hold_every_feature_once_within_the_limits() -> None:
    n_active = [5, 0, 7, 100, 1, 1, 1, 9]
    assert feature_ranges(n_active, max_rows=10) == [(0, 1), (2, 2), (3, 3), (4, 6), (7, 7)]
    assert feature_ranges(n_active) == [(0, 7)]
    assert feature_ranges([]) == []


def test_the_verb_counts_what_it_made(copied: Generation, made: NumpyRun) -> None:
    outcome = run_summarise(copied)
    assert outcome.facts["n_dead"] == len(DEAD) and outcome.facts["n_activations"] == int((made.activations > 0).sum())
    assert f"{N_FEATURES} features (2 dead" in outcome.line


def test_summaries_hold_sql_and_import_no_database() -> None:
    source = Path(summaries.__file__).read_text()
    assert "duckdb" not in source and "select" in source

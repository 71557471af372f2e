"""summarise makes what numpy makes, in any number of ranges, to the byte."""

from __future__ import annotations

import importlib.util
import shutil
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from featurelib import schema, summaries
from featurelib.storage import files
from featurelib.storage.runs import Generation, Run
from featurelib.summaries import SUMMARIES, feature_ranges
from tests.support import ROOT
from tests.support.numpy_run import DEAD, N_FEATURES, NumpyRun, make_run, run_summarise

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
    for summary in SUMMARIES:
        run.current().file(summary.table).unlink()
    for stage in schema.STAGES[schema.STAGES.index("summarise") :]:
        (run.current().path / "done" / f"{stage}.json").unlink()
    run.current().file(schema.LABEL_SPLIT).unlink()
    return run.current()


def hashes(generation: Generation) -> dict[str, str]:
    return {summary.table.view: files.sha256_file(generation.file(summary.table)) for summary in SUMMARIES}


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
    for summary in SUMMARIES:
        assert pq.read_schema(made.generation.file(summary.table)).equals(summary.table.schema), summary.table.view


def test_dead_features_have_a_row_and_nothing_else(made: NumpyRun) -> None:
    features = pq.read_table(made.generation.file(schema.FEATURES)).to_pylist()
    for feature_id in DEAD:
        assert features[feature_id]["dead"] and features[feature_id]["log10_density"] is None
    for table in (schema.TOP_TEXT_ROWS, schema.HISTOGRAMS, schema.COACTIVATION_ROWS):
        assert not set(DEAD) & set(pq.read_table(made.generation.file(table))["feature_id"].to_pylist())


def test_the_bytes_do_not_depend_on_the_ranges(made: NumpyRun, copied: Generation, monkeypatch) -> None:
    cut = feature_ranges
    monkeypatch.setattr("precompute.stages.summarise.feature_ranges", lambda n_active: cut(n_active, max_rows=100))
    run_summarise(copied)
    assert hashes(copied) == hashes(made.generation)


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
    assert feature_ranges(n_active, max_pairs=16) == [(0, 1), (2, 3), (4, 5), (6, 7)]
    assert feature_ranges(n_active) == [(0, 7)]
    assert feature_ranges([]) == []


def test_the_verb_counts_what_it_made(copied: Generation, made: NumpyRun) -> None:
    outcome = run_summarise(copied)
    assert outcome.facts["n_dead"] == len(DEAD) and outcome.facts["n_activations"] == int((made.activations > 0).sum())
    assert f"{N_FEATURES} features (2 dead" in outcome.line


def test_summaries_hold_sql_and_import_no_database() -> None:
    source = Path(summaries.__file__).read_text()
    assert "duckdb" not in source and "select" in source

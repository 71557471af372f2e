"""The page of the SAE's quality: its numbers are those of the run's files; what an older run lacks is a sentence."""

from __future__ import annotations

import html
import itertools
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from streamlit.testing.v1 import AppTest

from featurelib import charts, queries, ui
from featurelib.schema import EVALUATION, NEIGHBOUR_ROWS, TEXT_SUMMARIES, THRESHOLDS, Refusal
from featurelib.storage import files
from featurelib.storage.runs import Generation, Run
from featurelib.storage.store import open_store
from featurelib.ui.evaluation import sae as evaluation
from tests.support.numpy_run import N_FEATURES, finish, make_run, weights
from tests.support.page import Open, UseData, addresses, bodies, page_of, table, text_of, words


@pytest.fixture
def page(open_tiny: Open) -> AppTest:
    return open_tiny("evaluation.py")


def helps(app: AppTest) -> str:
    """All that is told on hover."""
    drawn = " ".join(bodies(app))
    return " ".join(html.unescape(text) for text in re.findall(r'data-help="([^"]*)"', drawn))


def metrics(generation: Generation) -> pd.DataFrame:
    return pq.read_table(generation.file(EVALUATION)).to_pandas().set_index(["metric", "split"])


def cells(app: AppTest, name: str) -> list[list[str]]:
    """The values beside a name in the comparison, intervals and all."""
    tables = [body for body in bodies(app) if "<table" in body]
    row = next(row for table in tables for row in re.findall(r"<tr>(.*?)</tr>", table, re.S) if name in row)
    return [text_of(cell, " ").split() for cell in re.findall(r"<td>(.*?)</td>", row, re.S)]


def test_the_held_out_numbers_come_first_and_are_those_of_the_file(page: AppTest, tiny: Run) -> None:
    measured, said = metrics(tiny.current()), words(page)
    fvu = measured.loc[("fvu", "held_out")]
    assert f"not trained on: {fvu.n_texts} held-out texts." in said
    assert said.index(f"{ui.number(fvu.value)} {ui.number(fvu.low)} – {ui.number(fvu.high)} FVU") < said.index(
        "Compared with"
    )
    for name, phrase in (("dead_share", "of features dead"), ("dense_share_10", "of features dense")):
        assert f"{ui.percent(measured.loc[(name, 'held_out')].value)} {phrase}" in said
    assert f"{ui.percent(measured.loc[('explained_variance', 'held_out')].value)} " in said


@pytest.mark.parametrize(("name", "metric"), [("FVU, fraction", "fvu"), ("L0, active", "l0"), ("cosine to", "cosine")])
def test_training_texts_stand_beside_the_held_out_ones(page: AppTest, tiny: Run, name: str, metric: str) -> None:
    measured = metrics(tiny.current())
    rows = [measured.loc[(metric, split)] for split in ("held_out", "train")]
    assert cells(page, name) == [[ui.number(row.value), ui.number(row.low), "–", ui.number(row.high)] for row in rows]


def test_every_formula_and_its_texts_are_told_on_demand(page: AppTest, tiny: Run) -> None:
    measured, hints = metrics(tiny.current()), helps(page)
    for metric in ("fvu", "explained_variance", "cosine", "l0", "norm_ratio", "dead_share", "redundancy", "alignment"):
        split = "weights" if metric in ("redundancy", "alignment") else "held_out"
        assert " ".join(measured.loc[(metric, split)].formula.split()) in " ".join(hints.split())
    assert (
        f"Measured on {measured.loc[('fvu', 'held_out')].n_texts} held-out texts, in the embedder's own space" in hints
    )


def test_the_quantiles_stand_under_their_charts(page: AppTest, tiny: Run) -> None:
    measured, said = metrics(tiny.current()), words(page)
    values = [measured.loc[(f"text_cosine_q{share}", "held_out")].value for share in evaluation.QUANTILES]
    assert " ".join(f"{ui.number(v)} {int(s)} %" for v, s in zip(values, evaluation.QUANTILES, strict=True)) in said


def test_the_table_holds_every_row_with_its_formula(page: AppTest, tiny: Run) -> None:
    shown, written = table(page), pq.read_table(tiny.current().file(EVALUATION)).to_pandas()
    assert shown.rows[0]["split"] == "held_out"
    read = {(row["metric"], row["split"]): row for row in shown.rows}
    assert len(read) == len(shown.rows) == len(written)
    for row in written.to_dict("records"):
        cells = read[row["metric"], row["split"]]
        assert cells["value"] == ui.number(row["value"], 4) and cells["formula"] == row["formula"]
        assert (cells["space"], cells["texts"]) == (row["space"], ui.count(row["n_texts"]))
    fvu = written[(written.metric == "fvu") & (written.split == "train")].iloc[0]
    assert read["fvu", "train"]["95 % interval"] == f"{ui.number(fvu.low)} – {ui.number(fvu.high)}"
    assert all(row["95 % interval"] == "" for row in shown.rows if row["split"] == "weights")


def test_the_overview_leads_to_it(open_tiny: Open) -> None:
    assert "run=tiny" in addresses(open_tiny("overview.py"), "evaluation")


def test_an_unfinished_run_says_which_stage_is_to_come(use_data: UseData, tmp_path: Path) -> None:
    make_run(tmp_path / "half", upto="train")
    use_data(tmp_path)
    app = page_of("evaluation.py", {"run": "half"})
    assert "stage 'encode' is not done" in words(app) and "Evaluation" in words(app)


def test_a_run_encoded_before_these_numbers_were_kept_opens_with_what_is_there(
    use_data: UseData, tmp_path: Path
) -> None:
    generation = make_run(tmp_path / "old").generation
    gates = pq.read_table(generation.file(THRESHOLDS)).drop_columns("alignment")
    files.write_parquet(generation.file(THRESHOLDS), gates, gates.schema)
    finish(generation)
    use_data(tmp_path)
    app = page_of("evaluation.py", {"run": "old"})
    assert "encoded before the alignment of each feature was kept" in words(app) and "--from encode" in words(app)
    assert cells(app, "FVU, fraction") == [["0.500", "0.400", "–", "0.600"]] * 2
    with pytest.raises(StopIteration):
        cells(app, "explained variance")


def test_a_split_that_is_unknown_is_called_so(use_data: UseData, tmp_path: Path) -> None:
    generation = make_run(tmp_path / "elsewhere").generation
    none = float("nan")
    rows = [(name, none, none, none, "unknown", "raw", 300, "formula") for name in ("fvu", "explained_variance")]
    columns = [
        pa.array(column, field.type) for column, field in zip(zip(*rows, strict=True), EVALUATION.schema, strict=True)
    ]
    table = pa.table(columns, schema=EVALUATION.schema)
    files.write_parquet(generation.file(EVALUATION), table, EVALUATION.schema)
    finish(generation)
    use_data(tmp_path)
    app = page_of("evaluation.py", {"run": "elsewhere"})
    assert "no number here is a held-out one" in words(app) and cells(app, "FVU, fraction") == [["–"]]
    assert "– explained variance, texts of unknown split" in words(app) and "Beside" not in words(app)


@pytest.mark.parametrize("column", ["cosine", "fvu", "n_active"])
def test_the_bins_hold_every_text_of_each_split(tiny: Run, column: str) -> None:
    bins = queries.text_bins(open_store(tiny.current()), column, 10).to_pandas()
    texts = pq.read_table(tiny.current().file(TEXT_SUMMARIES)).to_pandas()
    for split, rows in texts.groupby("sae_split"):
        ours, values = bins[bins.split == split], rows[column].dropna().to_numpy(np.float64)
        edges = np.array([-np.inf, *ours.right[:-1], np.inf])
        np.testing.assert_array_equal(
            ours.n_texts, [((values >= a) & (values < b)).sum() for a, b in itertools.pairwise(edges)]
        )
        np.testing.assert_allclose(ours.share, ours.n_texts / len(values))
        assert ours.n_texts.sum() == len(values) and len(ours) <= 10
    assert set(bins.split) == set(texts.sae_split)


def test_no_other_column_has_bins(tiny: Run) -> None:
    with pytest.raises(Refusal, match="no distribution of 'text_id'"):
        queries.text_bins(open_store(tiny.current()), "text_id")


def test_the_bins_of_features_are_numpys(tmp_path: Path) -> None:
    store = open_store(make_run(tmp_path / "small").generation)
    gates = weights()["threshold"]
    thresholds = queries.thresholds(store)
    assert (thresholds.n_values, thresholds.low, thresholds.high) == (len(set(gates)), gates.min(), gates.max())
    counts, _ = np.histogram(gates.astype(np.float64), 8)
    np.testing.assert_array_equal(queries.threshold_bins(store, 8)["n_features"].to_numpy(), counts)
    assert queries.alignment_bins(store, 8)["n_features"].to_pylist() == [0, 0, 0, 0, N_FEATURES, 0, 0, 0]
    near = pq.read_table(make_run(tmp_path / "again").generation.file(NEIGHBOUR_ROWS)).to_pandas()
    counts, _ = np.histogram(near[near["rank"] == 1].cosine.astype(np.float64), 8)
    np.testing.assert_array_equal(queries.nearest_bins(store, 8)["n_features"].to_numpy(), counts)


def test_a_spread_draws_one_split_as_bars_and_the_other_as_a_line() -> None:
    bins = pa.table(
        {
            "split": ["held_out"] * 3 + ["train"] * 3,
            "left": [0.0, 0.1, 0.2] * 2,
            "right": [0.1, 0.2, 0.3] * 2,
            "n_texts": [1, 2, 1, 0, 3, 1],
            "share": [0.25, 0.5, 0.25, 0.0, 0.75, 0.25],
        }
    )
    figure = charts.text_spread(bins, "FVU", {"held_out": "held-out texts", "train": "training texts"})
    bars, line = figure.data
    assert (bars.type, line.type) == ("bar", "scatter")
    assert list(bars.y) == [0.25, 0.5, 0.25] and list(line.y) == [0.0, 0.75, 0.25]
    assert bars.text[0] == "25 % of held-out texts<br>FVU at most 0.1"
    assert line.text[1] == "75 % of training texts<br>FVU 0.1 to 0.2" and bars.text[2].endswith("0.2 or more")

"""The verb classify across slices and runs: planted labels that carry over, and labels that do not."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from featurelib.schema import TEXTS
from featurelib.storage import files
from featurelib.storage.experiments import ExperimentSet
from precompute.__main__ import main
from tests.support.numpy_run import N_TEXTS, NumpyRun, finish, make_run

SIDE = np.where(np.arange(N_TEXTS) % 2 == 0, "left", "right")


def add_columns(made: NumpyRun, columns: dict[str, list[object]]) -> NumpyRun:
    generation = made.generation
    rows = pq.read_table(generation.file(TEXTS))
    for name, values in columns.items():
        rows = rows.drop_columns([name]) if name in rows.schema.names else rows
        rows = rows.append_column(name, pa.array(values))
    (generation.path / "manifest.json").unlink()
    files.write_parquet(generation.file(TEXTS), rows, rows.schema)
    finish(generation)
    return made


def plant(made: NumpyRun) -> NumpyRun:
    """`kind` means the same on both sides; `turned` means the opposite on the right side."""
    first = made.activations[:, 8] > made.activations[:, 9]
    kind, turned = np.where(first, "eight", "other"), np.where(first == (SIDE == "left"), "eight", "other")
    return add_columns(made, {"kind": kind.tolist(), "turned": turned.tolist(), "side": SIDE.tolist()})


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> NumpyRun:
    return plant(make_run(tmp_path_factory.mktemp("data") / "small"))


def classify(made: NumpyRun, *flags: str) -> int:
    return main(["classify", "--run", "small", "--data", str(made.run.path.parent), *flags])


def scores_of(made: NumpyRun, name: str) -> pd.DataFrame:
    return ExperimentSet(made.run.path / "experiments" / name).table("scores").to_pandas()


def test_what_is_learned_on_one_side_is_tested_on_the_other(made: NumpyRun) -> None:
    flags = ("--representation", "features", "--classifier", "logistic", "--transfer", "side", "--resamples", "4")
    assert classify(made, "--label", "kind", "--label", "turned", *flags, "--name", "sides") == 0
    scores = scores_of(made, "sides").query("metric == 'accuracy'")
    assert len(scores) == 2 * 3 * 2 and set(scores["slice_column"]) == {"side"}
    cells = scores.set_index(["label_column", "train", "test"])["value"]
    for label in ("kind", "turned"):
        for side in ("left", "right"):
            assert cells[label, f"side {side}", f"side {side}"] > 0.75
    for first, second in (("left", "right"), ("right", "left")):
        assert cells["kind", f"side {first}", f"side {second}"] > 0.75
        assert cells["turned", f"side {first}", f"side {second}"] < 0.25
    kept = ExperimentSet(made.run.path / "experiments" / "sides")
    predictions = kept.table("predictions").to_pandas()
    for row in scores.itertuples():
        own = predictions[predictions["experiment"] == row.experiment]
        assert set(SIDE[own["text_id"]]) == {row.test.split()[1]} and len(own) == row.n_test
        assert (own["true"] == own["predicted"]).mean() == pytest.approx(row.value)
    models = set(scores["model"])
    assert len(models) == 6 and set(kept.table("importances")["model"].to_pylist()) == models
    again = kept.table("resamples").to_pandas()
    assert set(again["model"]) == models and again.groupby("model").size().tolist() == [4] * 6


def test_going_on_makes_nothing_again(made: NumpyRun, capsys: pytest.CaptureFixture[str]) -> None:
    flags = ("--label", "kind", "--transfer", "side", "--classifier", "tree", "--representation", "features")
    assert classify(made, *flags) == 0 and classify(made, *flags) == 0
    said = capsys.readouterr().out
    assert said.count("done before") == 3 and "3 models in" in said and "accuracy" in said
    assert (made.run.path / "experiments" / "kind-by-side").is_dir()


def test_another_run_tests_too_and_its_copies_are_left_out(made: NumpyRun, capsys: pytest.CaptureFixture[str]) -> None:
    other = make_run(made.run.path.parent / "other", seed=3)
    texts = [text if place % 10 == 0 else f"{text} {place}" for place, text in enumerate(other.texts["text"])]
    first = other.activations[:, 8] > other.activations[:, 9]
    kind = np.where(first, "eight", "other").astype(object)
    kind[:20], kind[20:30] = None, "unknown"
    add_columns(other, {"kind": kind.tolist(), "text": texts})
    flags = ("--label", "kind", "--test-run", "other", "--classifier", "logistic", *flags_of("features", "random"))
    assert classify(made, *flags) == 0
    said = capsys.readouterr().out
    assert "20 texts of 'other' have no 'kind'" in said and "10 texts of 'other' have a label" in said
    scores = scores_of(made, "kind-on-other").query("metric == 'accuracy'")
    cells = scores.set_index(["representation", "test_run"])
    assert cells.loc[("features", "other"), "value"] > 0.75
    assert cells.loc[("features", "other"), "n_test"] <= N_TEXTS - 30
    predictions = ExperimentSet(made.run.path / "experiments" / "kind-on-other").table("predictions").to_pandas()
    own = predictions[predictions["experiment"] == "kind, features, logistic to run other"]
    assert (own["true"] == kind[own["text_id"]]).all()


def test_embeddings_from_a_file_are_compared_by_their_dimensions(
    made: NumpyRun, capsys: pytest.CaptureFixture[str]
) -> None:
    other = plant(make_run(made.run.path.parent / "given", seed=5))
    path = other.generation.path / "run.json"
    known = json.loads(path.read_text())
    own = json.loads((made.generation.path / "run.json").read_text())
    embedder = {"origin": "precomputed", "name": "other.npy", "dimension": (own.get("embedder") or {}).get("dimension")}
    path.write_text(json.dumps(known | {"embedder": embedder}))
    flags = ("--label", "kind", "--test-run", "given", "--classifier", "tree", *flags_of("features"))
    assert classify(made, *flags) == 0
    assert "That 'given' has the same embedder cannot be known" in capsys.readouterr().out
    path.write_text(json.dumps(known | {"embedder": embedder | {"dimension": 7}}))
    assert classify(made, *flags) == 2 and "(dimension: 7 and None)" in capsys.readouterr().err


def flags_of(*names: str) -> list[str]:
    return [word for name in names for word in ("--representation", name)]


def test_a_slice_that_is_called_as_the_other_run_is_another_experiment(made: NumpyRun) -> None:
    other = plant(make_run(made.run.path.parent / "right", seed=6))
    add_columns(made, {"run": ["right" if place % 2 else "right to run left" for place in range(N_TEXTS)]})
    texts = [f"{text} once more {place}" for place, text in enumerate(other.texts["text"])]
    add_columns(other, {"text": texts})
    flags = ("--label", "kind", "--transfer", "run", "--test-run", "right", "--classifier", "tree", "--name", "alike")
    assert classify(made, *flags, *flags_of("features")) == 0
    scores = scores_of(made, "alike").query("metric == 'accuracy'")
    assert len(scores) == 3 * 3 == scores["experiment"].nunique()
    assert not scores.duplicated(["train", "test"]).any()
    sizes = ExperimentSet(made.run.path / "experiments" / "alike").table("predictions").to_pandas()
    assert (sizes.groupby("experiment").size()[scores["experiment"]].to_numpy() == scores["n_test"].to_numpy()).all()


def test_what_is_kept_together_makes_a_model_another(made: NumpyRun, capsys: pytest.CaptureFixture[str]) -> None:
    add_columns(made, {"pair": [str(place // 2) if place < 100 else "" for place in range(N_TEXTS)]})
    add_columns(made, {"part": ["test" if place % 5 == 0 else "train" for place in range(N_TEXTS)]})
    flags = ("--label", "kind", "--split", "part", "--classifier", "tree", "--name", "pairs", "--resamples", "3")
    assert classify(made, *flags, *flags_of("features")) == 0
    assert classify(made, *flags, *flags_of("features"), "--together", "pair") == 0
    assert "done before" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--transfer", "nowhere"], "the texts have no column 'nowhere'"),
        (["--together", "nowhere"], "the texts have no column 'nowhere'"),
        (["--transfer", "title"], "2 to 40 slices are expected"),
        (["--test-run", "nowhere"], "there is no run 'nowhere'"),
        (["--test-run", "foreign"], "the sae of 'foreign' is another than that of 'small' (sha256: abc and None)"),
        (["--resamples", "-1"], "resamples is -1"),
    ],
)
def test_what_cannot_transfer_is_one_sentence(
    made: NumpyRun, capsys: pytest.CaptureFixture[str], flags: list[str], said: str, foreign: Path
) -> None:
    assert classify(made, "--label", "kind", *flags) == 2
    error = capsys.readouterr().err
    assert said in error and error.count("\n") == 1


@pytest.fixture(scope="module")
def foreign(made: NumpyRun) -> Path:
    folder = made.run.path.parent / "foreign"
    other = plant(make_run(folder, seed=4))
    path = other.generation.path / "run.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"sae": {"sha256": "abc"}}))
    return folder

"""The verb classify on a run with a planted label: its tables, going on after a stop, and what it refuses."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from featurelib.schema import TEXTS, Refusal
from featurelib.storage import files
from featurelib.storage.experiments import ExperimentSet, experiment_sets
from featurelib.storage.run_manifest import verify
from featurelib.storage.runs import Generation
from precompute.__main__ import main
from precompute.classify import experiments
from precompute.classify.classify_config import ClassifyConfig, config_of
from tests.support.numpy_run import N_TEXTS, NumpyRun, finish, make_run

FEW = ("features", "features+binary", "random", "words")


def plant(made: NumpyRun) -> NumpyRun:
    """Give a run a column that says whether feature 8 or feature 9 is the stronger one, and others that are odd."""
    generation = made.generation
    kind = np.where(made.activations[:, 8] > made.activations[:, 9], "eight", "other")
    columns = {
        "kind": pa.array(kind.tolist()),
        "split": pa.array(["test" if place % 4 == 0 else "train" for place in range(N_TEXTS)]),
        "one": pa.array(["same"] * N_TEXTS),
        "number": pa.array(range(N_TEXTS)),
        "half": pa.array([None if place % 2 else value for place, value in enumerate(kind.tolist())]),
    }
    rows = pq.read_table(generation.file(TEXTS))
    for name, values in columns.items():
        rows = rows.append_column(name, values)
    (generation.path / "manifest.json").unlink()
    files.write_parquet(generation.file(TEXTS), rows, rows.schema)
    finish(generation)
    return made


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> NumpyRun:
    return plant(make_run(tmp_path_factory.mktemp("data") / "small"))


def classify(made: NumpyRun, *flags: str) -> int:
    return main(["classify", "--run", "small", "--data", str(made.run.path.parent), *flags])


def flags_of(*names: str) -> list[str]:
    return [word for name in names for word in ("--representation", name)]


def test_every_experiment_is_kept_with_its_tables(made: NumpyRun, capsys: pytest.CaptureFixture[str]) -> None:
    assert classify(made, "--label", "kind", "--split", "split", "--name", "planted", *flags_of(*FEW)) == 0
    (kept,) = [each for each in experiment_sets(made.run) if each.name == "planted"]
    scores = kept.table("scores").to_pandas()
    assert (
        len(scores) == 4 * 2 * 3
        and (scores["low"] <= scores["value"]).all()
        and (scores["value"] <= scores["high"]).all()
    )
    accuracy = scores[scores["metric"] == "accuracy"].set_index(["representation", "classifier"])
    assert accuracy.loc[("features", "logistic"), "value"] > 0.85
    assert accuracy.loc[("words", "logistic"), "high"] < accuracy.loc[("features", "logistic"), "value"]
    predictions = kept.table("predictions").to_pandas()
    expected = np.where(made.activations[:, 8] > made.activations[:, 9], "eight", "other")
    for name, rows in predictions.groupby("experiment"):
        assert (
            rows["text_id"].tolist() == list(range(0, N_TEXTS, 4)) and (rows["true"] == expected[rows["text_id"]]).all()
        )
        own = accuracy[accuracy["experiment"] == name]["value"].iloc[0]
        assert (rows["true"] == rows["predicted"]).mean() == pytest.approx(own)
    first = kept.table("importances").to_pandas().query("model == 'kind, features, logistic' and rank == 1")
    assert set(first["column"]) <= {8, 9} and set(first["name"]) <= {made.labels[8], made.labels[9]}
    root = kept.table("nodes").to_pandas().query("model == 'kind, features, tree' and node == 0").iloc[0]
    assert root["column"] in (8, 9) and root["n_texts"] == N_TEXTS - 75 and root["name"] == made.labels[root["column"]]
    said = capsys.readouterr().out
    assert "8 of 8: kind, words, tree: accuracy" in said and "The SAE was trained on 100% of the test texts" in said


def test_what_is_done_is_not_made_again_and_what_changed_is(
    made: NumpyRun, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    some = ("--label", "kind", "--name", "resumed", "--classifier", "tree", *flags_of("features", "random", "words"))
    fitted = []
    run = experiments.fit_model

    def stopped_at_the_second(*given: object, **options: object) -> object:
        if len(fitted) == 1:
            raise KeyboardInterrupt
        fitted.append(given)
        return run(*given, **options)

    monkeypatch.setattr(experiments, "fit_model", stopped_at_the_second)
    assert classify(made, *some) == 130
    kept = ExperimentSet(made.run.path / "experiments" / "resumed")
    assert kept.table("scores").num_rows == 3
    monkeypatch.setattr(experiments, "fit_model", run)
    capsys.readouterr()
    assert classify(made, *some) == 0
    said = capsys.readouterr().out
    assert "1 of 3: kind, features, tree: done before" in said and "2 of 3: kind, random, tree: accuracy" in said
    whole = kept.table("scores").drop_columns(["seconds"])
    part = next((kept.path / "parts").glob("*/nodes.parquet"))
    part.write_bytes(part.read_bytes()[:100])
    assert classify(made, *some) == 0 and "done before" in capsys.readouterr().out
    assert kept.table("scores").drop_columns(["seconds"]).sort_by("experiment").equals(whole.sort_by("experiment"))
    further = ("--label", "kind", "--name", "resumed", "--classifier", "tree", *flags_of("features+largest-5"))
    assert classify(made, *further) == 0
    assert len(set(kept.table("scores")["representation"].to_pylist())) == 4, "what was made before stays"
    assert classify(made, *some, "--seed", "1") == 0
    assert "done before" not in capsys.readouterr().out
    assert classify(made, *some) == 0
    again = kept.table("scores").drop_columns(["seconds"])
    assert again.slice(0, whole.num_rows).equals(whole), "the same seed gives the same"


def test_a_yaml_file_and_flags_say_the_same(made: NumpyRun, tmp_path: Path) -> None:
    path = tmp_path / "conf.yaml"
    path.write_text("label: [kind, half]\nrepresentation: features\nclassifier: tree\nname: written\ndepths: [2]\n")
    assert classify(made, str(path)) == 0
    kept = ExperimentSet(made.run.path / "experiments" / "written")
    scores = kept.table("scores").to_pandas()
    assert set(scores["label_column"]) == {"kind", "half"}
    assert {json.loads(words)["read__max_depth"] for words in scores["settings"]} == {2}
    about = kept.about()
    assert about["labels"]["half"]["n_texts"] == N_TEXTS // 2
    assert any("have no 'half'" in words for words in about["labels"]["half"]["said"])


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--label", "nowhere"], "the texts have no column 'nowhere'; their own columns are:"),
        (["--label", "one"], "'one' has 1 values"),
        (["--label", "number"], "'number' holds 300 different numbers"),
        (["--label", "labels"], "'labels' holds lists"),
        (["--label", "kind", "--split", "kind"], "both are expected: leave the split out"),
        (["--label", "kind", "--representation", "neurons"], "'neurons' is no representation"),
        (["--label", "kind", "--classifier", "forest"], "'forest' is no classifier"),
        (["--label", "kind", "--name", "../x"], "cannot be a run's name"),
        (["--label", "kind", "--run", "none"], "there is no run 'none'"),
        (["--label", "kind", "--folds", "1"], "folds is 1"),
        (["--label", "kind", "--seed", "-1"], "seed is -1; 0 or more is expected"),
        ([], "no label column is given"),
        (["missing.yaml"], "there is no file missing.yaml"),
    ],
)
def test_what_cannot_be_classified_is_one_sentence(
    made: NumpyRun, capsys: pytest.CaptureFixture[str], flags: list[str], said: str
) -> None:
    assert classify(made, *flags) == 2
    error = capsys.readouterr().err
    assert said in error and error.count("\n") == 1


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"label": 5}, "label is '5'; text is expected"),
        ({"folds": "three"}, "folds is 'three'; a whole number is expected"),
        ({"folds": 2.5}, "folds is '2.5'; a whole number is expected"),
        ({"representation": [[1]]}, "representation is '\\[1\\]'; text is expected"),
        ({"strengths": [-1]}, "strengths holds -1"),
        ({"depths": [0]}, "depths holds 0"),
    ],
)
def test_values_of_another_kind_are_one_sentence(keys: dict[str, object], said: str) -> None:
    with pytest.raises(Refusal, match=said):
        config_of({"run": "demo", "label": "kind"} | keys)


def test_a_label_column_with_an_odd_name_names_a_folder() -> None:
    assert config_of({"run": "demo", "label": "o'dd \"na;me"}).set_name == "o-dd-na-me"
    assert config_of({"run": "demo", "label": ["../..", "x"]}).set_name == "x"


def test_unknown_keys_are_named() -> None:
    with pytest.raises(Refusal, match="'labels' is no key of classify; known are"):
        config_of({"run": "demo", "labels": "kind"})
    with pytest.raises(Refusal, match="no run is given"):
        config_of({"label": "kind"})
    assert config_of({"run": "demo", "label": "kind"}) == ClassifyConfig("demo", ("kind",))


@pytest.mark.parametrize("harm", [lambda path: path.write_bytes(b"PAR1"), lambda path: path.write_bytes(b"")])
def test_a_damaged_table_is_a_refusal(made: NumpyRun, tmp_path: Path, harm: Callable[[Path], object]) -> None:
    folder = tmp_path / "broken"
    folder.mkdir()
    harm(folder / "scores.parquet")
    with pytest.raises(Refusal, match="classify again"):
        ExperimentSet(folder).table("scores")


def test_a_table_of_another_version_is_a_refusal(tmp_path: Path) -> None:
    folder = tmp_path / "older"
    folder.mkdir()
    pq.write_table(pa.table({"experiment": ["kind, features, tree"], "rank": [1]}), folder / "importances.parquet")
    with pytest.raises(Refusal, match="other columns than this version writes.*classify again"):
        ExperimentSet(folder).table("importances")


def test_a_link_out_of_the_folder_is_no_set(made: NumpyRun, tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    files.write_json(tmp_path / "outside" / "experiments.json", {})
    folder = made.run.path / "experiments"
    folder.mkdir(exist_ok=True)
    (folder / "linked").symlink_to(tmp_path / "outside")
    assert "linked" not in [kept.name for kept in experiment_sets(made.run)]


def test_the_generation_itself_is_not_touched(made: NumpyRun) -> None:
    generation: Generation = made.generation
    assert all(sentence is None for _, sentence in verify(generation))

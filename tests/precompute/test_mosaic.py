"""A configuration file with MOSAIC's own keys, from end to end on a local data set and the stand-in embedder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from featurelib.schema import Refusal
from featurelib.storage.experiments import ExperimentSet, experiment_sets
from featurelib.storage.runs import find_runs
from precompute.__main__ import main
from precompute.classify.mosaic import is_mosaic, read_mosaic
from tests.conftest import STAND_IN
from tests.support.planted import Planted

CONF: dict[str, Any] = {
    "settings": {
        "base_save_dir": "./activations", "base_classify_dir": "./classify", "batch_size": 16, "model_type": "llm",
        "sae_location": "res", "test_size": 0.2, "tree_depth": 5, "act_only": False, "cuda_visible_devices": "0",
        "bow_baseline": True,
    },
    "models": [{"name": STAND_IN, "layers": [5, 12], "widths": ["16k"]}],
    "datasets": [
        {"name": "corpus", "config_name": None, "split": "train", "text_field": "abstract", "label_field": "group"}
    ],
    "classification_params": {
        "top_n_values": [0, 20], "binarize_values": [None, 1.0], "extra_top_n": -1, "extra_binarize_value": 1.0,
    },
}  # fmt: skip


def written(folder: Path, keys: dict[str, Any]) -> Path:
    path = folder / "conf.yaml"
    path.write_text(yaml.safe_dump(keys, sort_keys=False))
    return path


def test_the_seeds_own_keys_build_and_classify(
    planted: Planted, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = tmp_path / "data"
    conf = written(tmp_path, CONF | {"datasets": [CONF["datasets"][0] | {"name": str(planted.path)}]})
    assert main(["classify", str(conf), "--data", str(data), "--extract-only"]) == 0
    (run,) = find_runs(data).values()
    assert run.name == f"{planted.path.stem}-stand-in-64" and list(experiment_sets(run)) == []
    said = capsys.readouterr().out
    assert (
        "settings: base_save_dir, base_classify_dir, model_type, sae_location, cuda_visible_devices has no meaning"
        in said
    )
    assert main(["classify", str(conf), "--data", str(data), "--classify-only"]) == 0
    scores = ExperimentSet(run.path / "experiments" / "group").table("scores").to_pandas()
    assert list(dict.fromkeys(scores["representation"])) == [
        *("features", "features+binary", "features+largest-20", "features+largest-20+binary"),
        *("embedding", "words", "tfidf"),
    ]
    capsys.readouterr()
    assert main(["classify", str(conf), "--data", str(data)]) == 0
    again = capsys.readouterr().out
    assert sum(f"{number} of 14: " in again for number in range(1, 15)) == 14 and "accuracy" not in again


def test_a_model_may_be_a_run_that_is_there() -> None:
    plan = read_mosaic(CONF | {"models": [{"run": "demo"}], "settings": {"act_only": True}})
    (planned,) = plan.runs
    assert planned.build is None and planned.classify.run == "demo" and planned.classify.label == ("group",)
    assert "embedding" not in planned.classify.representation and plan.said == []


def test_each_model_meets_each_data_set() -> None:
    models = [{"name": "a/b"}, {"embedder": "c/d", "sae": "e/f"}]
    datasets = [{"name": f"org/{name}", "split": "test", "label_field": "y"} for name in ("one", "two")]
    plan = read_mosaic({"models": models, "datasets": datasets})
    assert [planned.classify.run for planned in plan.runs] == ["one-b", "two-b", "one-d", "two-d"]
    assert plan.runs[2].build == {"source": "org/one::test", "name": "one-d", "embedder": "c/d", "sae": "e/f"}


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"model": []}, "'model' is no section of a MOSAIC file"),
        ({"models": []}, "the section 'models' holds no list"),
        ({"models": [{"nam": 1}]}, "'nam' is no key of 'models'"),
        ({"settings": [1]}, "the section 'settings' holds"),
        ({"datasets": [{"name": "x"}]}, "no name or no label_field"),
        ({"settings": {"tree_depth": "deep"}}, "tree_depth is 'deep'"),
        ({"classification_params": {"top_n_values": ["all"]}}, "top_n is 'all'"),
    ],
)
def test_what_is_wrong_in_it_is_one_sentence(keys: dict[str, Any], said: str) -> None:
    with pytest.raises(Refusal, match=said):
        read_mosaic(CONF | keys)


def test_flags_beside_it_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["classify", str(written(tmp_path, CONF)), "--label", "group"]) == 2
    assert "--label is given beside a MOSAIC file" in capsys.readouterr().err


def test_our_own_files_are_not_taken_for_it() -> None:
    assert is_mosaic(CONF) and not is_mosaic({"run": "demo", "label": "group"})

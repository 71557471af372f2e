"""The pages of experiments, beside the tables that they are drawn from and numpy."""

from __future__ import annotations

import shutil

import numpy as np
import pytest

from featurelib import queries
from featurelib.storage.experiments import ExperimentSet
from featurelib.storage.store import Store, open_store
from precompute.__main__ import main
from tests.precompute.test_classify import plant
from tests.support.numpy_run import NumpyRun, make_run
from tests.support.page import Open, UseData, bodies, lines, page_of, table, words

SET = "kind"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> NumpyRun:
    made = plant(make_run(tmp_path_factory.mktemp("pages") / "small"))
    flags = ["--representation", "features", "--representation", "words"]
    assert main(["classify", "--run", "small", "--label", "kind", "--data", str(made.run.path.parent), *flags]) == 0
    return made


@pytest.fixture
def show(made: NumpyRun, use_data: UseData) -> Open:
    use_data(made.run.path.parent)
    return lambda file="classify.py", /, **params: page_of(file, params)


def named(store: Store, name: str) -> queries.Experiment:
    return next(each for each in queries.experiments(store, SET) if each.name == name)


def predictions(made: NumpyRun, name: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rows = ExperimentSet(made.run.path / "experiments" / SET).table("predictions").to_pandas()
    own = rows[rows["experiment"] == name]
    return own["text_id"].to_numpy(), own["true"].to_numpy(), own["predicted"].to_numpy()


def test_scores_label_by_label(show: Open, made: NumpyRun) -> None:
    app = show(sees="features", by="logistic")
    _, true, predicted = predictions(made, "kind, features, logistic")
    assert f"{(true == predicted).mean():.3f}" in words(app) and f"{len(true)} test texts" in words(app)
    shown = {row["label"]: row for row in table(app).rows}
    for label in ("eight", "other"):
        hits, n = ((true == label) & (predicted == label)).sum(), (true == label).sum()
        assert int(shown[label]["test texts"]) == n
        assert float(shown[label]["found"].split(" %")[0]) == pytest.approx(100 * hits / n, abs=0.05)
        assert float(shown[label]["F1"]) == pytest.approx(2 * hits / (n + (predicted == label).sum()), abs=5e-3)
    assert "The SAE was trained on 100% of the test texts" in words(app)


def test_errors_are_the_wrong_ones_and_lead_to_features(show: Open, made: NumpyRun) -> None:
    ids, true, predicted = predictions(made, "kind, words, logistic")
    wrong = ids[true != predicted]
    app = show(sees="words", by="logistic", view="errors")
    assert f"Got wrong {len(wrong)} texts" in words(app) and len(wrong) > 5
    opened = [
        f"text={text_id}" in bodies(app)[-2] or f"text={text_id}" in "".join(bodies(app)) for text_id in wrong[:8]
    ]
    assert all(opened)
    some = show(sees="words", by="logistic", view="errors", true="eight")
    assert f"Got wrong {(true[true != predicted] == 'eight').sum()} texts, true eight" in words(some)


def test_weights_open_their_features(show: Open, made: NumpyRun) -> None:
    app = show(sees="features", by="logistic", view="counts", **{"class": "eight"})
    first = lines(app, "feature")[0]
    assert first[0] in (made.labels[8], made.labels[9])
    values = [float(line[1].replace("−", "-")) for line in lines(app, "feature")]
    assert [abs(value) for value in values] == sorted((abs(value) for value in values), reverse=True)


def test_a_node_of_the_tree_shows_the_texts_of_both_sides(show: Open, made: NumpyRun) -> None:
    store = open_store(made.generation)
    nodes = queries.tree(store, SET, named(store, "kind, features, tree"))
    inner = [node for node in nodes if node.low >= 0]
    for node in inner[:6]:
        low, high = queries.texts_of_node(store, nodes, node.node, "features")
        inside = np.ones(len(made.activations), bool)
        for step, is_high in queries.path_to(nodes, node.node):
            above = made.activations[:, nodes[step].column] > nodes[step].threshold
            inside &= above if is_high else ~above
        above = made.activations[:, node.column] > node.threshold
        assert low.tolist() == np.flatnonzero(inside & ~above).tolist()
        assert high.tolist() == np.flatnonzero(inside & above).tolist()
    app = show(sees="features", by="tree", view="tree", node=inner[0].node)
    low, high = queries.texts_of_node(store, nodes, inner[0].node, "features")
    largest = queries.texts_of_node(store, nodes, 0, "features+largest-3")[1].tolist()
    third = np.sort(made.activations, axis=1)[:, -3]
    column = made.activations[:, nodes[0].column]
    assert largest == np.flatnonzero((column >= third) & (column > nodes[0].threshold)).tolist()
    assert len(largest) < (column > nodes[0].threshold).sum()
    assert f"Yes {len(high)} texts of the corpus" in words(app) and f"No {len(low)} texts of the corpus" in words(app)
    assert f"The tree {len(nodes)} nodes" in words(app)


def test_a_deep_tree_is_drawn_in_parts(show: Open, made: NumpyRun, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("featurelib.ui.classify.decision_tree.DRAWN", 1)
    store = open_store(made.generation)
    nodes = queries.tree(store, SET, named(store, "kind, words, tree"))
    whole = show(sees="words", by="tree", view="tree")
    deeper = [node.node for node in nodes if node.low >= 0 and len(queries.path_to(nodes, node.node)) == 1]
    assert words(whole).count("branches below ›") == len(deeper) > 0
    part = show(sees="words", by="tree", view="tree", root=deeper[0])
    assert "whole tree ›" in words(part) and nodes[deeper[0]].name in words(part)


def test_all_experiments_and_two_of_them(show: Open, made: NumpyRun) -> None:
    app = show("experiments.py", second="kind, words, logistic")
    shown = table(app)
    assert len(shown.rows) == 4 and shown.numbers("test texts") == [60.0] * 4
    accuracies = [float(row["accuracy"].split()[0]) for row in shown.rows]
    assert accuracies == sorted(accuracies, reverse=True)
    assert any("sees=words&by=tree" in address for address in shown.opens)
    right = [
        dict(zip(ids.tolist(), true == predicted, strict=True))
        for ids, true, predicted in (predictions(made, f"kind, {sees}, logistic") for sees in ("features", "words"))
    ]
    only = [sum(one[text] and not other[text] for text in one) for one, other in (right, right[::-1])]
    assert f"{only[0]} only the first had right {only[1]} only the second had right" in words(app)


def test_without_experiments_the_command_is_said(made: NumpyRun, use_data: UseData, tmp_path) -> None:
    make_run(tmp_path / "bare")
    use_data(tmp_path)
    for file in ("classify.py", "experiments.py"):
        assert "classify --run bare --label COLUMN" in words(page_of(file, {"run": "bare"}))


def test_a_run_that_was_built_anew_is_said(made: NumpyRun, use_data: UseData, tmp_path) -> None:
    copy = shutil.copytree(made.run.path, tmp_path / "small")
    about = copy / "experiments" / SET / "experiments.json"
    about.write_text(about.read_text().replace('"encoded": "', '"encoded": "other'))
    use_data(tmp_path)
    assert "The run was built anew since" in words(page_of("classify.py", {}))


@pytest.mark.parametrize(
    ("params", "said"),
    [
        ({"set": "none"}, "the address says set=none"),
        ({"sees": "<b>"}, "the address says sees=<b>"),
        ({"by": "tree", "view": "tree", "node": 9_999}, "the tree has no node 9999"),
        ({"by": "tree", "view": "tree", "root": 9_999}, "the tree has no node 9999"),
        ({"view": "errors", "true": "<script>"}, "got wrong 0 texts, true <script>"),
        ({"view": "counts", "class": "none"}, "the address says class=none"),
    ],
)
def test_addresses_that_ask_for_what_there_is_not(show: Open, params: dict[str, object], said: str) -> None:
    assert said in words(show(**params)).lower()


def test_a_damaged_table_is_a_sentence(made: NumpyRun, use_data: UseData, tmp_path) -> None:
    copy = shutil.copytree(made.run.path, tmp_path / "small")
    (copy / "experiments" / SET / "scores.parquet").write_bytes(b"PAR1")
    use_data(tmp_path)
    for file in ("classify.py", "experiments.py"):
        assert "cannot be read" in words(page_of(file, {})) and "classify again" in words(page_of(file, {}))

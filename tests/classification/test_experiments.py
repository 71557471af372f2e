"""Experiments on planted labels: beside scikit-learn by hand, exact reasons, controls at chance, what is refused."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.sparse import csr_matrix
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, f1_score, roc_auc_score
from sklearn.multiclass import OneVsRestClassifier
from sklearn.tree import DecisionTreeClassifier

from featurelib import stats
from featurelib.classification.division import by_column, check_division, groups_of, stratified
from featurelib.classification.experiment import FittedModel, Outcome, fit_model, judge, transformed
from featurelib.classification.pipeline import Settings, fit
from featurelib.classification.probes import Division
from featurelib.classification.representation import Control, Representation, Shown, random_activations
from featurelib.classification.scores import macro_f1, score
from featurelib.classification.steps import column_scores
from featurelib.classification.target import LEAST_TEXTS, Target, read_target
from featurelib.schema import Refusal

N, N_FEATURES, D, N_CLASSES = 600, 40, 16, 4
ONE = Settings(strengths=(10.0,), depths=(4,), leaves=(2,))
"""Settings of which there is nothing to find."""


@pytest.fixture(scope="module")
def planted() -> tuple[Shown, Target, np.ndarray]:
    """Texts of four classes; feature 3c of class c fires on most of its texts, and on few others."""
    draw = np.random.default_rng(0)
    codes = draw.integers(0, N_CLASSES, N)
    dense = draw.gamma(2, 0.5, (N, N_FEATURES)) * (draw.random((N, N_FEATURES)) < 0.1)
    for code in range(N_CLASSES):
        fires = draw.random(N) < np.where(codes == code, 0.8, 0.05)
        dense[:, 3 * code] = draw.gamma(4, 0.5, N) * fires
    embeddings = (dense @ draw.standard_normal((N_FEATURES, D)) + draw.standard_normal((N, D))).astype(np.float32)
    texts = [f"{['stern', 'blume', 'haus', 'boot'][code]} {draw.integers(1e9)}" for code in codes]
    shown = Shown(csr_matrix(dense.astype(np.float32)), embeddings, embeddings, texts)
    target = Target("kind", np.arange(N), codes, ["a", "b", "c", "d"], [])
    return shown, target, groups_of(texts)


def run_experiment(
    shown: Shown, target: Target, groups: np.ndarray, division: Division, written: str, classifier: str
) -> tuple[FittedModel, Outcome]:
    representation, (train, test) = Representation.parse(written), division
    x = shown.matrix(representation)
    model = fit_model(x[train], target.codes[train], groups[train], N_CLASSES, representation, classifier, ONE)
    return model, judge(model, x[test], target.codes[test], N_CLASSES)


def outcome_of(
    planted: tuple[Shown, Target, np.ndarray], written: str, classifier: str
) -> tuple[FittedModel, Outcome, Division]:
    shown, target, groups = planted
    division = stratified(target.codes, groups)
    return *run_experiment(shown, target, groups, division, written, classifier), division


def test_a_linear_model_is_scikit_learns_by_hand(planted: tuple[Shown, Target, np.ndarray]) -> None:
    model, outcome, (train, test) = outcome_of(planted, "features", "logistic")
    shown, target, _ = planted
    x = shown.activations.toarray().astype(np.float64)
    x /= np.sqrt((x[train] ** 2).sum(axis=1).mean())
    by_hand = OneVsRestClassifier(LogisticRegression(C=10.0, max_iter=1000)).fit(x[train], target.codes[train])
    predicted = by_hand.predict(x[test])
    assert (outcome.predicted == predicted).mean() > 0.99
    true = target.codes[test]
    assert outcome.scores.accuracy.value == pytest.approx(accuracy_score(true, predicted), abs=0.01)
    assert outcome.scores.macro_f1.value == pytest.approx(f1_score(true, predicted, average="macro"), abs=0.01)
    auroc = roc_auc_score(true, by_hand.predict_proba(x[test]), multi_class="ovr", average="macro")
    assert outcome.scores.auroc.value == pytest.approx(auroc, abs=5e-3)
    assert outcome.scores.accuracy.low < outcome.scores.accuracy.value < outcome.scores.accuracy.high
    assert outcome.scores.accuracy.value > 0.75


def test_a_tree_is_scikit_learns_by_hand_and_its_nodes_lead_where_it_leads(
    planted: tuple[Shown, Target, np.ndarray],
) -> None:
    model, outcome, (train, test) = outcome_of(planted, "features", "tree")
    shown, target, _ = planted
    by_hand = DecisionTreeClassifier(max_depth=4, min_samples_leaf=2, random_state=0)
    by_hand.fit(shown.activations[train], target.codes[train])
    assert np.array_equal(outcome.predicted, by_hand.predict(shown.activations[test]))
    dense = shown.activations.toarray()
    for row, predicted in zip(test.tolist(), outcome.predicted, strict=True):
        node = model.nodes[0]
        while node.low >= 0:
            node = model.nodes[node.high if dense[row, node.column] > node.threshold else node.low]
        assert int(node.shares.argmax()) == predicted
    assert set(model.importances[0].columns[:4].tolist()) == {0, 3, 6, 9}


@pytest.mark.parametrize("written", ["features", "features+anova-8", "features+binary", "tfidf"])
def test_reasons_and_intercepts_add_up_to_the_difference_of_scores(
    planted: tuple[Shown, Target, np.ndarray], written: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("featurelib.classification.experiment.MOST_REASONS", 10_000)
    shown, target, groups = planted
    representation = Representation.parse(written)
    draw = np.random.default_rng(1)
    noisy = Target("kind", target.rows, np.where(draw.random(N) < 0.2, 0, target.codes), target.names, [])
    division = stratified(noisy.codes, groups)
    model, outcome = run_experiment(shown, noisy, groups, division, written, "logistic")
    x, train = shown.matrix(representation), division.train
    pipeline, _ = fit(x[train], noisy.codes[train], groups[train], representation, "logistic", ONE)
    scores = pipeline.decision_function(x[division.test])
    true = noisy.codes[division.test]
    assert len(outcome.reasons) == (outcome.predicted != true).sum() > 5
    inputs = transformed(pipeline, x[division.test])
    weights, intercepts, columns = (model.arrays[name] for name in ("weights", "intercepts", "columns"))
    for reason in outcome.reasons:
        wrong, right = outcome.predicted[reason.row], true[reason.row]
        parts = np.asarray(inputs[[reason.row]].todense()).ravel() * (weights[wrong] - weights[right])
        gap = scores[reason.row, wrong] - scores[reason.row, right]
        assert parts.sum() + intercepts[wrong] - intercepts[right] == pytest.approx(gap, abs=1e-6)
        order = np.argsort(-parts, kind="stable")[: (parts > 0).sum()]
        assert reason.columns.tolist() == columns[order].tolist()
        assert reason.contributions.tolist() == pytest.approx(parts[order].tolist())


def test_the_features_that_were_planted_count_most(planted: tuple[Shown, Target, np.ndarray]) -> None:
    model, _, _ = outcome_of(planted, "features", "logistic")
    for importance in model.importances:
        assert importance.columns[np.argmax(importance.weights)] == 3 * importance.code
    chosen, _, _ = outcome_of(planted, "features+anova-4", "logistic")
    assert sorted(chosen.arrays["columns"].tolist()) == [0, 3, 6, 9]


@pytest.mark.parametrize("by", ["anova", "difference", "l1"])
def test_columns_are_chosen_by_the_training_texts_alone(planted: tuple[Shown, Target, np.ndarray], by: str) -> None:
    shown, target, groups = planted
    draw = np.random.default_rng(2)
    codes = draw.integers(0, 2, N)
    noise = csr_matrix((draw.random((N, 400)) < 0.3).astype(np.float32))
    own = Shown(noise, shown.embeddings, shown.embeddings, shown.texts)
    random_target = Target("noise", target.rows, codes, ["a", "b"], [])
    accuracies = [
        run_experiment(own, random_target, groups, stratified(codes, groups, seed), f"features+{by}-20", "logistic")[
            1
        ].scores.accuracy.value
        for seed in range(4)
    ]
    assert np.mean(accuracies) < 0.58, "columns chosen on all texts would give about 0.75"
    top = np.argsort(-column_scores(shown.activations, target.codes, by))[:4]
    assert set(top.tolist()) == {0, 3, 6, 9}


def test_largest_and_binary_change_what_is_seen(planted: tuple[Shown, Target, np.ndarray]) -> None:
    shown = planted[0]
    largest = shown.matrix(Representation.parse("features+largest-2"))
    assert np.diff(largest.indptr).max() == 2
    dense = shown.activations.toarray()
    expected = np.where(dense >= np.sort(dense, axis=1)[:, -2:-1], dense, 0)
    assert np.allclose(largest.toarray(), expected)
    binary = shown.matrix(Representation.parse("features+largest-2+binary"))
    assert set(np.unique(binary.data).tolist()) == {1.0} and binary.nnz == largest.nnz
    assert np.allclose(shown.activations.toarray(), dense), "the activations themselves stay"


def test_the_control_has_as_many_active_features(planted: tuple[Shown, Target, np.ndarray]) -> None:
    shown = planted[0]
    control = random_activations(shown.embeddings, 200, Control(12, shown.embeddings.mean(axis=0), 3))
    assert control.shape == (N, 200) and control.nnz / N == pytest.approx(12, abs=0.1) and (control.data > 0).all()
    assert (
        control != random_activations(shown.embeddings, 200, Control(12, shown.embeddings.mean(axis=0), 3))
    ).nnz == 0


def test_words_are_learned_from_training_texts(planted: tuple[Shown, Target, np.ndarray]) -> None:
    model, outcome, (train, _) = outcome_of(planted, "tfidf", "logistic")
    assert outcome.scores.accuracy.value == 1.0
    expected = TfidfVectorizer(max_features=20_000).fit([planted[0].texts[row] for row in train])
    assert model.words == expected.get_feature_names_out().tolist()
    assert model.words[model.importances[0].columns[0]] == "stern"


def test_permuted_labels_are_predicted_at_chance(planted: tuple[Shown, Target, np.ndarray]) -> None:
    shown, target, groups = planted
    codes = np.random.default_rng(5).permutation(target.codes)
    permuted = Target("kind", target.rows, codes, target.names, [])
    for classifier in ("logistic", "tree"):
        division = stratified(codes, groups)
        _, outcome = run_experiment(shown, permuted, groups, division, "features", classifier)
        assert outcome.scores.accuracy.low < 0.27 < outcome.scores.accuracy.high + 0.05
        assert outcome.scores.auroc.low < 0.53 and outcome.scores.auroc.high > 0.47


# ---- scores


def test_macro_f1_is_scikit_learns_and_its_interval_holds_the_truth() -> None:
    draw = np.random.default_rng(0)
    held = 0
    for _ in range(60):
        true = draw.integers(0, 3, 300)
        predicted = np.where(draw.random(300) < 0.7, true, draw.integers(0, 3, 300))
        assert macro_f1(true, predicted, 3) == pytest.approx(f1_score(true, predicted, average="macro"))
        low, high = score(true, predicted, np.eye(3)[predicted], 3).macro_f1[1:]
        held += low <= 0.8 <= high
    assert held / 60 > 0.85


def test_mcnemar_is_the_binomial_test() -> None:
    from scipy.stats import binomtest

    for only, other in ((0, 0), (5, 0), (3, 9), (20, 31), (7, 7)):
        expected = binomtest(only, only + other, 0.5).pvalue if only + other else 1.0
        assert stats.mcnemar(only, other) == pytest.approx(expected)


# ---- what is given


def test_representations_are_read_and_written_alike() -> None:
    for written in ("features", "features+largest-20+binary+anova-50", "embedding+l1-9", "tfidf", "random+binary"):
        assert str(Representation.parse(written)) == written
    for wrong in ("neurons", "embedding+binary", "features+anova", "features+anova-0", "words+largest-3", ""):
        with pytest.raises(Refusal):
            Representation.parse(wrong)


def test_copies_stay_on_one_side() -> None:
    draw = np.random.default_rng(0)
    texts = [f"text {draw.integers(0, 150)}" for _ in range(600)]
    codes = np.array([int(text.split()[1]) % 3 for text in texts])
    groups = groups_of([text.upper() if place % 2 else f" {text} " for place, text in enumerate(texts)])
    train, test = stratified(codes, groups)
    assert not set(groups[train]) & set(groups[test]) and 0.15 < len(test) / 600 < 0.25
    split = np.where(draw.random(600) < 0.8, "train", np.where(draw.random(600) < 0.5, "test", "other")).tolist()
    (train, test), said = by_column(split, groups)
    assert not set(groups[train]) & set(groups[test])
    assert len(said) == 2 and "neither" in said[0] and "copies of test texts" in said[1]
    assert "those called 'valid' are the test texts" in by_column(["train", "valid"], np.arange(2))[1][0]
    with pytest.raises(Refusal, match="0 called 'test'"):
        by_column(["train", "a"], np.arange(2))


@pytest.mark.parametrize(
    ("values", "said"),
    [
        (["a"] * 50, "'kind' has 1 values"),
        ([str(place) for place in range(50)], "the commonest in 1 different texts"),
        ([float("nan")] * 50, "0 values"),
        ([None] * 50, "0 values"),
        (list(range(60)), "60 different numbers"),
        ([str(place // LEAST_TEXTS) for place in range(1_001 * LEAST_TEXTS)], "1,001 classes"),
    ],
)
def test_labels_from_which_nothing_can_be_learned_are_refused(values: list[object], said: str) -> None:
    with pytest.raises(Refusal, match=said):
        read_target("kind", values, [f"text {place}" for place in range(len(values))])


def test_a_class_of_copies_is_too_rare() -> None:
    with pytest.raises(Refusal, match="the commonest in 1 different texts"):
        read_target("kind", ["a", "b"] * 20, ["one", "two"] * 20)


def test_divisions_on_which_nothing_can_be_fitted_are_refused() -> None:
    codes, groups = np.array([0, 0, 0, 1, 1, 1]), np.arange(6)
    check_division(codes, ["a", "b"], groups, Division(np.arange(6), np.array([0])), 3)
    for train, said in (([0, 1, 2], "1 classes in 3 training"), ([0, 1, 2, 3], "'b' has 1 different training texts")):
        with pytest.raises(Refusal, match=said):
            check_division(codes, ["a", "b"], groups, Division(np.array(train), np.array([5])), 3)
    with pytest.raises(Refusal, match="0 test texts"):
        check_division(codes, ["a", "b"], groups, Division(np.arange(6), np.arange(0)), 3)
    with pytest.raises(Refusal, match="2 different texts have a label"):
        stratified(np.array([0, 1] * 9), np.array([0, 1] * 9))


def test_missing_rare_and_leaking_labels_are_said() -> None:
    values = ["stern"] * 20 + ["haus_boot"] * 20 + ["rare"] * 2 + [None] * 8
    words = ["der Stern leuchtet"] * 20 + ["ein Boot"] * 10 + ["nichts"] * 20
    texts = [f"{text} {place}" for place, text in enumerate(words)]
    target = read_target("kind", values, texts)
    assert target.names == ["haus_boot", "stern"] and target.rows.tolist() == list(range(40))
    said = " ".join(target.warnings)
    assert "8 of 50 texts have no 'kind'" in said
    assert "1 classes of fewer than 5 different texts are left out: 2 texts" in said
    assert "In 75% of the texts a word of their own label stands" in said

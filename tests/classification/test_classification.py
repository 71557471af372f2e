"""Probes against a planted truth: features that carry labels are found, and test texts are not used in training."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.sparse import csr_matrix
from scipy.stats import f_oneway
from sklearn.linear_model import LogisticRegression

from featurelib.classification import probes as probes_module
from featurelib.classification.ksparse import k_sparse
from featurelib.classification.probes import STRENGTHS, Division, divide, linear_probe
from featurelib.classification.selection import anova, keep_largest, largest
from featurelib.schema import Refusal

N, N_LABELS, N_FEATURES = 900, 6, 40
PLANTED = [31, 4, 17, 22, 9, 36]
"""The feature that carries each label."""


def planted(seed: int = 0, sure: float = 0.95) -> tuple[csr_matrix, np.ndarray]:
    """Activations in which the planted feature of its label fires on nearly each text, and others at random."""
    draw = np.random.default_rng(seed)
    labels = draw.integers(0, N_LABELS, N)
    a = draw.random((N, N_FEATURES)) * (draw.random((N, N_FEATURES)) < 0.3)
    a[:, PLANTED] = 0
    fires = draw.random(N) < sure
    a[np.flatnonzero(fires), np.array(PLANTED)[labels[fires]]] = 0.5 + draw.random(fires.sum())
    return csr_matrix(a.astype(np.float32)), np.array([f"label {label}" for label in labels])


@pytest.fixture(scope="module")
def truth() -> tuple[csr_matrix, np.ndarray, Division]:
    activations, labels = planted()
    return activations, labels, divide(N)


def test_a_division_judges_on_a_fifth_and_is_drawn_by_seed() -> None:
    division = divide(1001, seed=0)
    assert len(division.test) == 200 and sorted([*division.train, *division.test]) == list(range(1001))
    assert (divide(1001, seed=0).test == division.test).all() and (divide(1001, seed=1).test != division.test).any()


def test_the_scores_are_scipys_anova(truth) -> None:
    activations, labels, _ = truth
    dense, scores = activations.toarray().astype(np.float64), anova(activations, labels)
    names = np.unique(labels)
    pooled = f_oneway(*(dense[labels == name] for name in names)).statistic
    np.testing.assert_allclose(scores.pooled, pooled, rtol=1e-8)
    for row, name in zip(scores.by_label, names, strict=True):
        np.testing.assert_allclose(row, f_oneway(dense[labels == name], dense[labels != name]).statistic, rtol=1e-8)


def test_a_feature_that_never_differs_scores_nothing_and_one_that_tells_all_scores_most() -> None:
    labels = np.array(["a", "a", "b", "b"])
    a = csr_matrix(np.array([[0, 2, 1, 0.3], [0, 2, 1, 0.1], [0, 2, 0, 0.2], [0, 2, 0, 0.6]]))
    scores = anova(a, labels)
    assert (scores.pooled[:2] == 0).all() and np.isinf(scores.pooled[2]) and np.isfinite(scores.pooled[3])
    assert largest(scores.pooled, 2).tolist() == [2, 3]


def test_the_planted_features_are_the_chosen_ones(truth) -> None:
    activations, labels, division = truth
    scores = anova(activations[division.train], labels[division.train])
    assert [largest(row, 1)[0] for row in scores.by_label] == PLANTED
    assert set(largest(scores.pooled, N_LABELS)) == set(PLANTED)


def test_one_feature_for_each_label_tells_nearly_all_and_one_for_all_labels_tells_few(truth) -> None:
    activations, labels, division = truth
    by_label = k_sparse(activations, labels, division, 1, way="label")
    assert by_label.value > 0.94 and by_label.low < by_label.value < by_label.high and by_label.n_texts == 180
    assert k_sparse(activations, labels, division, 1, way="pooled").value < 0.45
    assert k_sparse(activations, labels, division, N_LABELS, way="pooled").value > 0.94


def test_a_text_keeps_its_largest_activations(truth) -> None:
    activations, labels, division = truth
    dense, kept = activations.toarray(), keep_largest(activations, 2).toarray()
    rank = np.argsort(np.argsort(-dense, axis=1, kind="stable"), axis=1, kind="stable")
    np.testing.assert_array_equal(kept, np.where(rank < 2, dense, 0))
    probed = [k_sparse(activations, labels, division, k, way="text").value for k in (1, 2, N_FEATURES)]
    whole = linear_probe(activations, labels, division).value
    assert probed[0] < 0.9 < probed[2] == whole


def test_a_probe_is_scikit_learns_with_what_was_found_on_training_texts(truth) -> None:
    activations, labels, division = truth
    dense = activations.toarray()
    plain = linear_probe(dense, labels, division, strength=1.0, scaled=False)
    judged = LogisticRegression(C=1.0, max_iter=1000).fit(dense[division.train], labels[division.train])
    assert plain.value == (judged.predict(dense[division.test]) == labels[division.test]).mean()
    length = np.sqrt((dense[division.train] ** 2).sum(1).mean())
    scaled = linear_probe(dense, labels, division, strength=1.0)
    again = linear_probe(dense / length, labels, division, strength=1.0, scaled=False)
    assert scaled == again and linear_probe(activations, labels, division, strength=1.0).value == scaled.value
    assert linear_probe(7 * dense, labels, division) == linear_probe(dense, labels, division)
    assert linear_probe(dense, labels, division).strength in STRENGTHS


@pytest.mark.parametrize(("way", "k"), [("label", 1), ("pooled", N_LABELS)])
def test_a_feature_that_gives_away_the_test_texts_alone_is_not_chosen(way: str, k: int) -> None:
    activations, labels = planted(sure=0.5)
    division = Division(np.arange(300), np.arange(300, N))
    leak = np.zeros((N, N_LABELS), np.float32)
    leak[division.test, np.unique(labels, return_inverse=True)[1][division.test]] = 5
    leaky = csr_matrix(np.hstack([activations.toarray(), leak]))
    assert set(largest(anova(leaky, labels).pooled, N_LABELS)) == set(range(N_FEATURES, N_FEATURES + N_LABELS))
    probed = k_sparse(leaky, labels, division, k, way=way)
    assert probed == k_sparse(activations, labels, division, k, way=way) and probed.value > 0.45


@pytest.mark.parametrize("way", ["label", "pooled", "text"])
def test_the_test_texts_decide_nothing_but_the_accuracy(truth, way: str) -> None:
    activations, labels, division = truth
    names, group = np.unique(labels, return_inverse=True)
    wrong = labels.copy()
    wrong[division.test] = np.roll(names, 1)[group[division.test]]
    true, false = (k_sparse(activations, named, division, N_LABELS, way=way) for named in (labels, wrong))
    assert true.value > 0.9 and false.value < 0.1 and true.strength == false.strength


def test_of_many_training_texts_some_of_each_label_find_the_penalty(truth, monkeypatch) -> None:
    activations, labels, division = truth
    monkeypatch.setattr(probes_module, "SEARCHED", 120)
    y = labels[division.train]
    drawn = probes_module.drawn(y, 0, probes_module.SEARCHED)
    assert len(drawn) == pytest.approx(120, abs=N_LABELS) and len(set(drawn)) == len(drawn)
    counts = np.unique(y[drawn], return_counts=True)[1] / np.unique(y, return_counts=True)[1]
    np.testing.assert_allclose(counts, 120 / len(y), atol=0.01)
    probed = linear_probe(activations, labels, division)
    assert probed == linear_probe(activations, labels, division, strength=probed.strength)


def test_unseen_labels_count_as_wrong(truth) -> None:
    activations, labels, division = truth
    named = labels.copy()
    named[division.test[:90]] = "never trained on"
    assert linear_probe(activations, named, division).value == pytest.approx(0.5, abs=0.05)


@pytest.mark.parametrize(
    ("labels", "test", "sentence"),
    [
        (["a"] * 10, [8, 9], "with 1 labels"),
        (["a", "b"] * 5, [], "0 test texts"),
        (["a"] * 7 + ["b", "a", "b"], [8, 9], "the label 'b' has 1 training texts"),
    ],
)
def test_what_cannot_teach_a_probe_is_refused(labels: list[str], test: list[int], sentence: str) -> None:
    division = Division(np.setdiff1d(np.arange(10), test), np.array(test, int))
    with pytest.raises(Refusal, match=sentence):
        linear_probe(np.eye(10, dtype=np.float32), np.array(labels), division)


def test_another_way_of_choosing_is_refused(truth) -> None:
    with pytest.raises(Refusal, match="expected one of text, pooled, label"):
        k_sparse(*truth, 1, way="best")

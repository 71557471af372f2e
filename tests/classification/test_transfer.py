"""Slices that train and test: which texts, what is said of slices that cannot, other divisions of the same texts."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.multiclass import OneVsRestClassifier

from featurelib.classification.division import groups_of, joined, stratified
from featurelib.classification.experiment import fit_model
from featurelib.classification.pipeline import Settings
from featurelib.classification.probes import Division
from featurelib.classification.representation import Representation
from featurelib.classification.resampling import resamples
from featurelib.classification.target import Target
from featurelib.classification.transfer import Plan, slice_plans
from featurelib.schema import Refusal

N = 240
DIVISION = Division(np.flatnonzero(np.arange(N) % 4 > 0), np.flatnonzero(np.arange(N) % 4 == 0))
TARGET = Target("kind", np.arange(N), np.arange(N) // 2 % 2, ["a", "b"], [])
GROUPS = np.arange(N)


def plans_of(values: list[object]) -> tuple[list[Plan], list[str]]:
    return slice_plans("lang", values, TARGET, GROUPS, DIVISION, 3)


def test_each_slice_trains_once_and_tests_every_model() -> None:
    values: list[object] = [("de", "en", "fr")[place % 3] for place in range(N)]
    plans, said = plans_of(values)
    assert [plan.train for plan in plans] == ["every lang", "lang de", "lang en", "lang fr"] and not said
    assert plans[0].rows.tolist() == DIVISION.train.tolist()
    for plan, code in zip(plans[1:], range(3), strict=True):
        assert plan.rows.tolist() == [row for row in DIVISION.train.tolist() if row % 3 == code]
        for name, rows in plan.tests.items():
            own = ("lang de", "lang en", "lang fr").index(name)
            assert rows.tolist() == [row for row in DIVISION.test.tolist() if row % 3 == own]


def test_what_cannot_train_or_test_is_named() -> None:
    values: list[object] = [("de", "en")[place % 3 % 2] for place in range(N)]
    for row in DIVISION.test.tolist():
        values[row] = "de" if values[row] == "de" else "untrained"
    values[DIVISION.test[1]] = None
    plans, said = plans_of(values)
    assert [plan.train for plan in plans] == ["every lang", "lang de", "lang en"]
    assert list(plans[0].tests) == ["lang de", "lang untrained"]
    assert said[0] == "Fewer than 10 test texts of lang en: it is not tested on."
    assert said[1].startswith("Nothing is fitted on untrained of lang: 0 classes in 0 training texts")
    assert said[2] == "1 texts have no 'lang' and are left out."


@pytest.mark.parametrize(
    ("values", "said"),
    [
        (["de"] * N, "'lang' has 1 different values; 2 to 40 slices"),
        ([str(place) for place in range(N)], "'lang' has 240 different values"),
        ([None] * N, "'lang' has 0 different values"),
        (["de" if place % 4 else "en" for place in range(N)], "1 can be fitted and 1 tested"),
    ],
)
def test_a_column_without_two_slices_is_refused(values: list[object], said: str) -> None:
    with pytest.raises(Refusal, match=said):
        plans_of(values)


def test_texts_that_are_kept_together_are_on_one_side() -> None:
    draw = np.random.default_rng(0)
    texts = [f"text {draw.integers(0, 300)}" for _ in range(600)]
    sentence = [int(value) if value < 200 else None for value in draw.integers(0, 250, 600)]
    groups = joined(groups_of(texts), sentence)
    train, test = stratified(np.zeros(600, int), groups)
    assert not {texts[row] for row in train} & {texts[row] for row in test}
    known = [{sentence[row] for row in side} - {None} for side in (train, test)]
    assert not known[0] & known[1] and len(test)
    apart = joined(np.arange(5), [None, "", "x", float("nan"), "x"])
    assert len(set(apart.tolist())) == 4 and apart[2] == apart[4]


def test_resamples_are_scikit_learns_by_hand() -> None:
    draw = np.random.default_rng(1)
    codes = draw.integers(0, 3, N)
    x = draw.standard_normal((N, 8)) + 1.2 * np.eye(8)[codes]
    settings = Settings(strengths=(10.0,))
    model = fit_model(x, codes, GROUPS, 3, Representation.parse("embedding"), "logistic", settings)
    found = resamples(model, x, codes, GROUPS, 3, seed=5)
    for number, each in enumerate(found):
        train, test = stratified(codes, GROUPS, 6 + number)
        length = np.sqrt((x[train] ** 2).sum(axis=1).mean())
        by_hand = OneVsRestClassifier(LogisticRegression(C=10.0, max_iter=1000)).fit(x[train] / length, codes[train])
        assert each.accuracy == pytest.approx((by_hand.predict(x[test] / length) == codes[test]).mean(), abs=0.021)
        assert (each.n_train, each.n_test) == (len(train), len(test))
    assert len({each.accuracy for each in found}) > 1

"""Linear probes: logistic regression with an L2 penalty, fitted on training texts and tested on test texts.

Unless `scaled` is False the inputs are divided by one number, the root mean square length of the training rows: so a
penalty means the same for every kind of input, and sparse rows stay sparse; nothing is centred. The penalty's strength
C is the one of STRENGTHS with the highest accuracy in a cross-validation over the training texts, or over SEARCHED of
them where there are more. Test texts are used once, by the finished probe.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

import numpy as np

from featurelib.schema import Refusal
from featurelib.stats import wilson

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix
    from sklearn.linear_model import LogisticRegression

    Inputs: TypeAlias = np.ndarray | csr_matrix

STRENGTHS = (0.1, 1.0, 10.0, 100.0, 1000.0)
"""The values of C that are tried: the inverse of the L2 penalty."""
FOLDS = 3
SEARCHED = 6_000
"""Training texts used to find C, drawn by seed with each label's share: enough to tell powers of ten apart."""
TEST_SHARE = 0.2


class Division(NamedTuple):
    """Which rows a probe is fitted on and which test it."""

    train: np.ndarray
    """Row numbers, int64."""
    test: np.ndarray
    """Row numbers, int64."""


class Accuracy(NamedTuple):
    """The share of test texts whose label was predicted right."""

    value: float
    """From 0 to 1."""
    low: float
    """The lower end of its 95 % interval (Wilson)."""
    high: float
    """The upper end."""
    n_texts: int
    """How many test texts there were."""
    strength: float
    """The C of the probe."""

    @classmethod
    def of(cls, predicted: np.ndarray, true: np.ndarray, strength: float) -> Accuracy:
        """Compare predicted labels with the true ones."""
        n_right = int((predicted == true).sum())
        low, high = wilson(n_right, len(true))
        return cls(n_right / len(true), float(low), float(high), len(true), strength)


def divide(n: int, seed: int = 0) -> Division:
    """Return a division of n rows drawn by seed: a fifth is for testing."""
    order = np.random.default_rng(seed).permutation(n)
    cut = n - round(TEST_SHARE * n)
    return Division(order[:cut], order[cut:])


def linear_probe(
    x: Inputs,
    labels: np.ndarray,
    division: Division,
    *,
    strength: float | None = None,
    scaled: bool = True,
    seed: int = 0,
) -> Accuracy:
    """Return how well a linear probe predicts labels [n] from inputs x [n, d], dense or CSR.

    `strength` fixes C, None finds it, in folds drawn by `seed`; `scaled` divides by the root mean square length.
    """
    check(labels, division)
    length = rms_length(x[division.train]) if scaled else 1.0
    x_train, x_test, y = x[division.train] / length, x[division.test] / length, labels[division.train]

    def predict(rows: np.ndarray, held_back: np.ndarray, c: float) -> np.ndarray:
        labels: np.ndarray = fit(x_train[rows], y[rows], c).predict(x_train[held_back])
        return labels

    strength = find_strength(predict, y, seed) if strength is None else strength
    return Accuracy.of(fit(x_train, y, strength).predict(x_test), labels[division.test], strength)


def fit(x: Inputs, y: np.ndarray, strength: float, solver: str = "lbfgs") -> LogisticRegression:
    """Return a probe fitted on inputs x [n, d] and labels y [n]."""
    from sklearn.linear_model import LogisticRegression

    return LogisticRegression(C=strength, max_iter=1000, solver=solver).fit(x, y)


def find_strength(predict: Callable[[np.ndarray, np.ndarray, float], np.ndarray], y: np.ndarray, seed: int) -> float:
    """Return the strength with the highest accuracy over folds of the training texts, the strongest penalty of equals.

    `predict(rows, held_back, strength)` returns the labels of the rows `held_back` after fitting on `rows`.
    """
    from sklearn.model_selection import StratifiedKFold

    searched, right = drawn(y, seed), dict.fromkeys(STRENGTHS, 0)
    for rows, held_back in StratifiedKFold(FOLDS, shuffle=True, random_state=seed).split(searched, y[searched]):
        rows, held_back = searched[rows], searched[held_back]
        for strength in STRENGTHS:
            right[strength] += int((predict(rows, held_back, strength) == y[held_back]).sum())
    return max(STRENGTHS, key=lambda strength: right[strength])


def drawn(y: np.ndarray, seed: int, most: int = SEARCHED, least: int = FOLDS) -> np.ndarray:
    """Return the rows on which settings are found: about `most`, at least `least` of each label."""
    if len(y) <= most:
        return np.arange(len(y))
    order = np.random.default_rng(seed).permutation(len(y))
    rows = []
    for label in np.unique(y):
        own = order[y[order] == label]
        rows.append(own[: max(least, round(len(own) * most / len(y)))])
    return np.sort(np.concatenate(rows))


def rms_length(x: Inputs) -> float:
    """Return the root mean square length of rows x [n, d], 1 where all are 0."""
    squares = x.power(2).sum() if hasattr(x, "power") else np.square(x, dtype=np.float64).sum()
    return math.sqrt(float(squares) / x.shape[0]) or 1.0


def check(labels: np.ndarray, division: Division) -> None:
    """Refuse labels that are too few to fit or test a probe."""
    names, counts = np.unique(labels[division.train], return_counts=True)
    if len(names) < 2 or not len(division.test):
        raise Refusal(
            f"{len(division.train)} training texts with {len(names)} labels and {len(division.test)} test texts were "
            "found; a probe needs two labels and a test text: give another label column or split."
        )
    if counts.min() < FOLDS:
        raise Refusal(
            f"the label '{names[counts.argmin()]}' has {counts.min()} training texts but a probe needs {FOLDS} of "
            "each; leave rare labels out."
        )

"""How well labels were predicted: accuracy, macro F1 and AUROC, each with a 95 % interval by bootstrap over test texts.

Percentile bootstrap (Efron, The Annals of Statistics 7, 1979, 1): the test texts are drawn again, with replacement.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from featurelib.stats import Estimate, midranks

DRAWS = 1_000
DRAWS_OF_AUROC = 200
MOST_RANKED = 200_000_000
"""Ranks that the bootstrap of an AUROC sets at most: with many classes and texts it draws less often."""


@dataclass(frozen=True)
class Scores:
    """What the predictions of one classifier are worth on its test texts."""

    accuracy: Estimate
    macro_f1: Estimate
    """The mean over the classes of 2·precision·recall / (precision + recall); 0 for a class that is never right."""
    auroc: Estimate
    """The mean over the classes of P(a text of the class scores higher on it than another text)."""


def score(true: np.ndarray, predicted: np.ndarray, class_scores: np.ndarray, n_classes: int, seed: int = 0) -> Scores:
    """Compare predicted labels with the true ones, both codes from 0, int64 [n].

    `class_scores` [n, n_classes] are higher for likelier classes. Means are over the classes that stand among the true
    or predicted labels (F1), or among the true ones (AUROC).
    """
    draw = np.random.default_rng([seed, len(true)])
    right, drawn = true == predicted, []
    for _ in range(DRAWS):
        rows = draw.integers(len(true), size=len(true))
        drawn.append((right[rows].mean(), macro_f1(true[rows], predicted[rows], n_classes)))
    accuracies, f1 = np.array(drawn).T
    return Scores(
        _estimate(float(right.mean()), accuracies),
        _estimate(macro_f1(true, predicted, n_classes), f1),
        _auroc(true, class_scores, draw),
    )


def macro_f1(true: np.ndarray, predicted: np.ndarray, n_classes: int) -> float:
    """Return the mean F1 of the classes that stand among the true or the predicted labels, as scikit-learn has it."""
    hits = np.bincount(true[true == predicted], minlength=n_classes)
    both = np.bincount(true, minlength=n_classes) + np.bincount(predicted, minlength=n_classes)
    f1 = np.divide(2 * hits, both, out=np.zeros(n_classes), where=both > 0)
    return float(f1[both > 0].mean()) if (both > 0).any() else float("nan")


def macro_auroc(true: np.ndarray, class_scores: np.ndarray) -> float:
    """Return the mean AUROC of the classes that have test texts, and of which others are there too."""
    found = []
    for code in np.unique(true):
        positive = true == code
        n, others = int(positive.sum()), int((~positive).sum())
        if others:
            above = midranks(class_scores[:, code])[positive].sum() - n * (n + 1) / 2
            found.append(above / (n * others))
    return float(np.mean(found)) if found else float("nan")


def _auroc(true: np.ndarray, class_scores: np.ndarray, draw: np.random.Generator) -> Estimate:
    draws = max(20, min(DRAWS_OF_AUROC, MOST_RANKED // max(class_scores.size, 1)))
    again = [draw.integers(len(true), size=len(true)) for _ in range(draws)]
    return _estimate(
        macro_auroc(true, class_scores), np.array([macro_auroc(true[rows], class_scores[rows]) for rows in again])
    )


def _estimate(value: float, drawn: np.ndarray) -> Estimate:
    if not np.isfinite(drawn).any():
        return Estimate(value, float("nan"), float("nan"))
    low, high = np.nanquantile(drawn, [0.025, 0.975])
    return Estimate(value, float(low), float(high))

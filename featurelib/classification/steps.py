"""The steps of a classifier's pipeline that are ours: scaling, and choosing columns by the labels of training rows."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin

from featurelib.classification.probes import rms_length
from featurelib.classification.selection import anova, largest
from featurelib.schema import Refusal


class Scale(TransformerMixin, BaseEstimator):  # type: ignore[misc]  # scikit-learn has no types
    """Divides by the root mean square length of the training rows, so that a penalty means the same for all inputs."""

    def fit(self, x: Any, y: Any = None) -> Scale:
        """Measure the rows."""
        self.length_ = rms_length(x)
        return self

    def transform(self, x: Any) -> Any:
        """Divide them."""
        return x / self.length_


class Choose(TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """Keeps `n` columns, chosen by the labels of the training rows."""

    def __init__(self, by: str, n: int, seed: int = 0) -> None:
        self.by, self.n, self.seed = by, n, seed

    def fit(self, x: Any, y: np.ndarray) -> Choose:
        """Choose the columns."""
        self.chosen_ = np.sort(largest(column_scores(x, y, self.by, self.seed), self.n))
        return self

    def transform(self, x: Any) -> Any:
        """Keep them."""
        return x[:, self.chosen_]


def column_scores(x: Any, y: np.ndarray, by: str, seed: int = 0) -> np.ndarray:
    """Return how well each column of x [n, columns] tells the classes apart, float64: higher is better."""
    from scipy.sparse import csr_matrix

    x = csr_matrix(x)
    if by == "anova":
        return anova(x, y).pooled
    if by == "difference":
        names, group = np.unique(y, return_inverse=True)
        sums = (csr_matrix((np.ones(len(y)), (group, np.arange(len(y))))) @ x.astype(np.float64)).toarray()
        sizes = np.bincount(group)[:, None]
        others = (sums.sum(axis=0) - sums) / np.maximum(len(y) - sizes, 1)
        difference: np.ndarray = np.abs(sums / sizes - others).max(axis=0)
        return difference
    if by == "l1":
        from sklearn.linear_model import LogisticRegression
        from sklearn.multiclass import OneVsRestClassifier

        probe = LogisticRegression(l1_ratio=1, C=1.0, solver="liblinear", random_state=seed)
        fitted = OneVsRestClassifier(probe).fit(x / rms_length(x), y)
        # of a class that no text of a fold has, or all have, scikit-learn keeps a constant without weights
        weights = [np.abs(own.coef_[0]) for own in fitted.estimators_ if hasattr(own, "coef_")]
        scores: np.ndarray = np.max([np.zeros(x.shape[1]), *weights], axis=0)
        return scores
    raise Refusal(f"'{by}' is no way to choose columns.")

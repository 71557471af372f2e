"""How much a score depends on which texts were drawn: the same model fitted anew on other divisions of its texts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from featurelib.classification.division import stratified
from featurelib.classification.experiment import FittedModel
from featurelib.classification.scores import macro_f1


@dataclass(frozen=True)
class Resample:
    """One further division of the training texts, 80 to 20."""

    accuracy: float
    macro_f1: float
    n_train: int
    n_test: int


def resamples(
    model: FittedModel, x: Any, codes: np.ndarray, groups: np.ndarray, n: int, seed: int = 0
) -> list[Resample]:
    """Divide the training texts `n` times, and fit and test the model on each division, with the settings it has.

    Divisions depend on the seed, codes and groups alone, so that two models of the same texts have the same ones.
    """
    from sklearn.base import clone

    found = []
    for number in range(n):
        train, test = stratified(codes, groups, seed + 1 + number)
        fitted = clone(model.pipeline).fit(x[train], codes[train])
        predicted = fitted.predict(x[test])
        right = float((predicted == codes[test]).mean())
        found.append(Resample(right, macro_f1(codes[test], predicted, codes.max() + 1), len(train), len(test)))
    return found

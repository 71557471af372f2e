"""Probes that may look at k features only.

Three things are called so, and they are told apart by `way`:
    text    the k largest activations of each text stay, the others are set to 0: what enjalot/latent-sae tabulates
            (experiments/eval_probes.py)
    pooled  k features for all labels together, those with the highest ANOVA F between the labels
    label   k features for each label, those with the highest ANOVA F between it and the rest; one probe for each label
            against the rest, and the highest answer wins (k-sparse probing is Gurnee et al., arXiv 2305.01610, where
            there is one label)
Features are chosen on the training texts only, once, before C is found.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from featurelib.classification.probes import Accuracy, Division, check, find_strength, fit, linear_probe, rms_length
from featurelib.classification.selection import anova, keep_largest, largest
from featurelib.schema import Refusal

if TYPE_CHECKING:
    from scipy.sparse import csc_matrix, csr_matrix

WAYS = ("text", "pooled", "label")


def k_sparse(
    activations: csr_matrix, labels: np.ndarray, division: Division, k: int, *, way: str, **options: Any
) -> Accuracy:
    """Return how well labels [n] are told from k of the features in activations [n, n_features], in one of WAYS.

    `options` are those of `linear_probe`: strength, scaled, seed.
    """
    check(labels, division)
    if way == "text":
        return linear_probe(keep_largest(activations, k), labels, division, **options)
    scores = anova(activations[division.train], labels[division.train])
    if way == "pooled":
        chosen = np.sort(largest(scores.pooled, k))
        return linear_probe(activations[:, chosen].toarray(), labels, division, **options)
    if way == "label":
        return _label_by_label(activations, labels, division, [largest(row, k) for row in scores.one], **options)
    raise Refusal(f"'{way}' is no way to choose features; expected one of {', '.join(WAYS)}.")


def _label_by_label(
    activations: csr_matrix,
    labels: np.ndarray,
    division: Division,
    chosen: list[np.ndarray],
    *,
    strength: float | None = None,
    scaled: bool = True,
    seed: int = 0,
) -> Accuracy:
    names, y = np.unique(labels[division.train], return_inverse=True)
    length = rms_length(activations[division.train]) if scaled else 1.0
    train, test = ((activations[rows] / length).tocsc() for rows in division)

    def answer(rows: np.ndarray, judged: np.ndarray, c: float) -> np.ndarray:
        return _tell(train, y, rows, train, judged, chosen, c)

    strength = find_strength(answer, y, seed) if strength is None else strength
    told = _tell(train, y, np.arange(len(y)), test, np.arange(test.shape[0]), chosen, strength)
    return Accuracy.of(names[told], labels[division.test], strength)


def _tell(
    train: csc_matrix,
    y: np.ndarray,
    rows: np.ndarray,
    asked: csc_matrix,
    judged: np.ndarray,
    chosen: list[np.ndarray],
    strength: float,
) -> np.ndarray:
    """Return the label of the rows `judged` of `asked` whose probe, fitted on `rows` of `train`, answers highest."""
    answers = []
    for label, ids in enumerate(chosen):
        probe = fit(train[:, ids].toarray()[rows], y[rows] == label, strength, solver="newton-cholesky")
        answers.append(probe.decision_function(asked[:, ids].toarray()[judged]))
    return np.argmax(answers, axis=0)

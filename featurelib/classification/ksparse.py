"""Probes that may look at k features only.

Three things are called so; `way` tells which:
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
    """Return how well labels [n] are predicted from k of the features in activations [n, n_features], in one of WAYS.

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
        return _label_by_label(activations, labels, division, [largest(row, k) for row in scores.by_label], **options)
    raise Refusal(f"'{way}' is not a way to choose features; expected one of {', '.join(WAYS)}.")


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

    def predict(rows: np.ndarray, held_back: np.ndarray, c: float) -> np.ndarray:
        return _predict(train, y, rows, train, held_back, chosen, c)

    strength = find_strength(predict, y, seed) if strength is None else strength
    predicted = _predict(train, y, np.arange(len(y)), test, np.arange(test.shape[0]), chosen, strength)
    return Accuracy.of(names[predicted], labels[division.test], strength)


def _predict(
    train: csc_matrix,
    y: np.ndarray,
    rows: np.ndarray,
    inputs: csc_matrix,
    input_rows: np.ndarray,
    chosen: list[np.ndarray],
    strength: float,
) -> np.ndarray:
    """Return, for `input_rows` of `inputs`, the label whose probe, fitted on `rows` of `train`, scores highest."""
    scores = []
    for label, ids in enumerate(chosen):
        probe = fit(train[:, ids].toarray()[rows], y[rows] == label, strength, solver="newton-cholesky")
        scores.append(probe.decision_function(inputs[:, ids].toarray()[input_rows]))
    best: np.ndarray = np.argmax(scores, axis=0)
    return best

"""Which features separate labels, and which activations of a text are its largest."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix


class Scores(NamedTuple):
    """ANOVA F of each feature: how far the means of groups of texts lie apart, over how far the texts of a group do."""

    pooled: np.ndarray
    """The groups are all labels, float64 [n_features]."""
    by_label: np.ndarray
    """The groups are one label and the rest, float64 [n_labels, n_features], labels in ascending order."""


def anova(activations: csr_matrix, labels: np.ndarray) -> Scores:
    """Return the scores of activations [n, n_features] for labels [n]; 0 for a feature that is the same everywhere."""
    from scipy.sparse import csr_matrix

    names, group = np.unique(labels, return_inverse=True)
    n, n_labels = len(labels), len(names)
    member = csr_matrix((np.ones(n), (group, np.arange(n))), shape=(n_labels, n))
    sizes = np.bincount(group)[:, None]
    activations = activations.astype(np.float64)
    sums = (member @ activations).toarray()
    total = sums.sum(axis=0)
    spread = np.asarray(activations.power(2).sum(axis=0)).ravel() - total**2 / n
    between = (sums**2 / sizes).sum(axis=0) - total**2 / n
    between_one = sums**2 / sizes + (total - sums) ** 2 / np.maximum(n - sizes, 1) - total**2 / n
    return Scores(_f(between, spread, n_labels - 1, n - n_labels), _f(between_one, spread, 1, n - 2))


def _f(between: np.ndarray, spread: np.ndarray, above: int, below: int) -> np.ndarray:
    """Return F; infinite where the groups explain all, 0 where there is nothing to explain."""
    there = spread > 1e-12 * spread.max(initial=0.0)
    within = np.where(there, np.maximum(spread - between, 0), 1.0)
    with np.errstate(divide="ignore"):
        return np.where(there, np.maximum(between, 0) / max(above, 1) / (within / max(below, 1)), 0.0)


def largest(scores: np.ndarray, k: int) -> np.ndarray:
    """Return the k feature_ids with the highest scores [n_features], the highest first, ties by feature_id."""
    return np.argsort(-scores, kind="stable")[:k]


def keep_largest(activations: csr_matrix, k: int) -> csr_matrix:
    """Return activations [n, n_features] with all but the k largest of each row set to 0; ties by feature_id."""
    from scipy.sparse import csr_matrix

    rows = np.repeat(np.arange(activations.shape[0]), np.diff(activations.indptr))
    order = np.lexsort((activations.indices, -activations.data, rows))
    rank = np.arange(len(rows)) - activations.indptr[rows]
    largest_places = order[rank < k]
    entries = (activations.data[largest_places], (rows[largest_places], activations.indices[largest_places]))
    return csr_matrix(entries, shape=activations.shape)

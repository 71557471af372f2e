"""One experiment: a representation and a classifier, fitted on training texts and tested on others.

What it gives is what the pages show: scores, predictions, which columns count, and why test texts were got wrong.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from featurelib.classification.pipeline import Settings, fit
from featurelib.classification.probes import Division
from featurelib.classification.representation import Representation, Shown
from featurelib.classification.scores import Scores, score
from featurelib.classification.target import Target

if TYPE_CHECKING:
    from sklearn.pipeline import Pipeline

MOST_IMPORTANT = 30
"""Columns that are listed for each class of a linear model, or for a tree."""
MOST_REASONS = 5
"""Features that are listed for each text that was got wrong."""


@dataclass(frozen=True)
class Importance:
    """Columns that count for a class: of a tree, for all classes together."""

    code: int
    """The class; -1 for all."""
    columns: np.ndarray
    """The features, or columns of embeddings or words, int64 [n]."""
    weights: np.ndarray
    """Of a linear model its coefficients, times the root mean square of the column; of a tree, Gini importances."""


@dataclass(frozen=True)
class Reason:
    """Why a text was given a wrong class: features that speak for that class more than for the true one."""

    row: int
    """The place of the text among the test texts."""
    columns: np.ndarray
    """Features, the strongest first, int64 [n]."""
    contributions: np.ndarray
    """What each adds to score(predicted) − score(true), above 0; with all others and the intercepts that is the sum."""


@dataclass(frozen=True)
class Node:
    """A node of a tree; texts with at most `threshold` go to `low`, the others to `high`."""

    column: int
    """The feature that is asked for; -1 in a leaf."""
    threshold: float
    low: int
    """The node that follows; -1 in a leaf."""
    high: int
    n_texts: int
    """Training texts that come here."""
    shares: np.ndarray
    """The share of each class among them, float64 [n_classes]."""


@dataclass(frozen=True)
class Outcome:
    """What an experiment has found."""

    scores: Scores
    predicted: np.ndarray
    """The predicted class of each test text, int64 [n_test]."""
    settings: dict[str, Any]
    """What cross-validation chose."""
    importances: list[Importance]
    reasons: list[Reason]
    """Of a linear model on columns that have names; empty for others."""
    nodes: list[Node]
    """Of a tree; empty for others."""
    columns: list[str]
    """The names of the columns where these are words; empty for others."""
    arrays: dict[str, np.ndarray]
    """The fitted model: weights, intercepts and the scale of a linear one."""
    seconds: float
    """What fitting and testing took."""


def run_experiment(
    shown: Shown, target: Target, groups: np.ndarray, division: Division, representation: Representation,
    classifier: str, settings: Settings,
) -> Outcome:  # fmt: skip
    """Fit and test; `shown` holds the texts of `target`, in its order, and `groups` says which of them are copies."""
    began = time.perf_counter()
    x = shown.matrix(representation)
    train, test = division
    pipeline, found = fit(x[train], target.codes[train], groups[train], representation, classifier, settings)
    predicted = pipeline.predict(x[test])
    scores = score(
        target.codes[test],
        predicted,
        class_scores(pipeline, x[test], target.n_classes),
        target.n_classes,
        settings.seed,
    )
    seconds = time.perf_counter() - began
    columns = column_ids(pipeline, representation)
    importances, reasons, nodes, arrays = [], [], [], {}
    if classifier == "logistic":
        weights, intercepts = linear_model(pipeline, target.n_classes)
        inputs = transformed(pipeline, x)
        importances = linear_importances(weights, inputs[train], columns)
        arrays = {"weights": weights, "intercepts": intercepts, "columns": columns}
        if representation.kind in ("features", "random", "words", "tfidf"):
            reasons = reasons_of(weights, inputs[test], predicted, target.codes[test], columns)
    else:
        nodes = tree_nodes(pipeline, columns, target.n_classes)
        importances = [tree_importance(pipeline, columns)]
    names = words_of(pipeline) if representation.kind in ("words", "tfidf") else []
    return Outcome(scores, predicted, found, importances, reasons, nodes, names, arrays, seconds)


def class_scores(pipeline: Pipeline, x: Any, n_classes: int) -> np.ndarray:
    """Return a score of each class for each text, float64 [n, n_classes]; classes never seen in training have -1e9."""
    if hasattr(pipeline, "decision_function"):
        own = pipeline.decision_function(x)
        own = np.column_stack([-own, own]) if own.ndim == 1 else own
    else:
        own = pipeline.predict_proba(x)
    scores = np.full((len(own), n_classes), -1e9)
    scores[:, pipeline.classes_] = own
    return scores


def transformed(pipeline: Pipeline, x: Any) -> Any:
    """Return what the last step of a pipeline is given for rows x."""
    return pipeline[:-1].transform(x) if len(pipeline) > 1 else x


def column_ids(pipeline: Pipeline, representation: Representation) -> np.ndarray:
    """Return which columns of the representation the last step is given, int64 [n]."""
    if representation.chosen_by:
        chosen: np.ndarray = pipeline.named_steps["choose"].chosen_
        return chosen
    return np.arange(pipeline.named_steps["read"].n_features_in_)


def words_of(pipeline: Pipeline) -> list[str]:
    """Return the words that the columns of a bag of words count."""
    names: list[str] = pipeline.named_steps["words"].get_feature_names_out().tolist()
    return names


def linear_model(pipeline: Pipeline, n_classes: int) -> tuple[np.ndarray, np.ndarray]:
    """Return weights [n_classes, n_columns] and intercepts [n_classes]; of two classes the first has the negatives."""
    read = pipeline.named_steps["read"]
    weights = np.stack([own.coef_[0] for own in read.estimators_])
    intercepts = np.array([own.intercept_[0] for own in read.estimators_])
    if len(weights) == 1:
        weights, intercepts = np.concatenate([-weights, weights]), np.concatenate([-intercepts, intercepts])
    every = np.zeros((n_classes, weights.shape[1])), np.full(n_classes, -1e9)
    every[0][read.classes_], every[1][read.classes_] = weights, intercepts
    return every


def linear_importances(weights: np.ndarray, inputs: Any, columns: np.ndarray) -> list[Importance]:
    """Return the columns that count most for each class, by |weight| times the column's root mean square."""
    squares = inputs.power(2).mean(axis=0) if hasattr(inputs, "power") else np.square(inputs).mean(axis=0)
    strength = weights * np.sqrt(np.asarray(squares).ravel())
    found = []
    for code, own in enumerate(strength):
        best = np.argsort(-np.abs(own), kind="stable")[:MOST_IMPORTANT]
        best = best[own[best] != 0]
        found.append(Importance(code, columns[best], own[best]))
    return found


def tree_importance(pipeline: Pipeline, columns: np.ndarray) -> Importance:
    """Return the columns that a tree asks for, by how much Gini impurity they take away."""
    own = pipeline.named_steps["read"].feature_importances_
    best = np.argsort(-own, kind="stable")[:MOST_IMPORTANT]
    best = best[own[best] > 0]
    return Importance(-1, columns[best], own[best])


def reasons_of(
    weights: np.ndarray, inputs: Any, predicted: np.ndarray, true: np.ndarray, columns: np.ndarray
) -> list[Reason]:
    """Return the strongest reasons of each wrong prediction."""
    from scipy.sparse import csr_matrix

    inputs, found = csr_matrix(inputs), []
    for row in np.flatnonzero(predicted != true).tolist():
        own = slice(inputs.indptr[row], inputs.indptr[row + 1])
        at = inputs.indices[own]
        parts = inputs.data[own] * (weights[predicted[row], at] - weights[true[row], at])
        best = np.argsort(-parts, kind="stable")[:MOST_REASONS]
        best = best[parts[best] > 0]
        found.append(Reason(row, columns[at[best]], parts[best]))
    return found


def tree_nodes(pipeline: Pipeline, columns: np.ndarray, n_classes: int) -> list[Node]:
    """Return the nodes of a tree; the first is its root."""
    read = pipeline.named_steps["read"]
    tree = read.tree_
    shares = np.zeros((tree.node_count, n_classes))
    shares[:, read.classes_] = tree.value[:, 0, :] / tree.value[:, 0, :].sum(axis=1, keepdims=True)
    return [
        Node(
            int(columns[tree.feature[node]]) if tree.children_left[node] >= 0 else -1,
            float(tree.threshold[node]),
            int(tree.children_left[node]),
            int(tree.children_right[node]),
            int(tree.n_node_samples[node]),
            shares[node],
        )
        for node in range(tree.node_count)
    ]

"""One experiment: a representation and a classifier, fitted on training texts and tested on others.

A model tells which columns count; tested, it gives scores, predictions, and why texts were got wrong.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from featurelib.classification.pipeline import Settings, fit
from featurelib.classification.representation import Representation
from featurelib.classification.scores import Scores, score

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
class FittedModel:
    """A classifier that was fitted on training texts."""

    pipeline: Pipeline
    representation: Representation
    classifier: str
    """One of `pipeline.CLASSIFIERS`."""
    settings: dict[str, Any]
    """What cross-validation chose."""
    columns: np.ndarray
    """Which columns of the representation it reads, int64 [n]."""
    words: list[str]
    """The names of the columns where these are words; empty for others."""
    importances: list[Importance]
    nodes: list[Node]
    """Of a tree; empty for others."""
    arrays: dict[str, np.ndarray]
    """Weights [n_classes, n], intercepts [n_classes] and columns of a linear model; empty for a tree."""
    seconds: float
    """What fitting took."""

    @property
    def has_reasons(self) -> bool:
        """Whether its errors can be told column by column: a linear model, on columns that mean something."""
        return bool(self.arrays) and self.representation.kind in ("features", "words", "tfidf")


@dataclass(frozen=True)
class Outcome:
    """What a model makes of test texts."""

    scores: Scores
    predicted: np.ndarray
    """The predicted class of each test text, int64 [n_test]."""
    reasons: list[Reason]
    """Of each text that was got wrong, where the model has reasons."""
    seconds: float
    """What testing took."""


def fit_model(
    x: Any, codes: np.ndarray, groups: np.ndarray, n_classes: int, representation: Representation, classifier: str,
    settings: Settings,
) -> FittedModel:  # fmt: skip
    """Fit a classifier on training rows x and their classes; `groups` says which of them are copies."""
    began = time.perf_counter()
    pipeline, found = fit(x, codes, groups, representation, classifier, settings)
    seconds = time.perf_counter() - began
    columns = column_ids(pipeline, representation)
    importances, nodes, arrays = [], [], {}
    if classifier == "logistic":
        weights, intercepts = linear_model(pipeline, n_classes)
        importances = linear_importances(weights, transformed(pipeline, x), columns)
        arrays = {"weights": weights, "intercepts": intercepts, "columns": columns}
    else:
        nodes = tree_nodes(pipeline, columns, n_classes)
        importances = [tree_importance(pipeline, columns)]
    words = words_of(pipeline) if representation.kind in ("words", "tfidf") else []
    return FittedModel(pipeline, representation, classifier, found, columns, words, importances, nodes, arrays, seconds)


def judge(model: FittedModel, x: Any, codes: np.ndarray, n_classes: int, seed: int = 0) -> Outcome:
    """Predict test rows x, and compare what is predicted with their classes."""
    began = time.perf_counter()
    predicted = model.pipeline.predict(x)
    scores = score(codes, predicted, class_scores(model.pipeline, x, n_classes), n_classes, seed)
    seconds = time.perf_counter() - began
    reasons = []
    if model.has_reasons:
        inputs = transformed(model.pipeline, x)
        reasons = reasons_of(model.arrays["weights"], inputs, predicted, codes, model.columns)
    return Outcome(scores, predicted, reasons, seconds)


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

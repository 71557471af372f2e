"""Classifiers as scikit-learn's pipelines: columns are chosen, scaled, and read by a linear model or a tree.

The linear model is logistic regression with an L2 penalty, one class against the others (as MOSAIC has it). Everything
that learns from labels or words is a step of the pipeline, and so is fitted on the training texts of each
fold alone. The settings of a classifier are found by cross-validation over the training texts, by accuracy.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from featurelib.classification.probes import drawn
from featurelib.classification.representation import Representation
from featurelib.classification.steps import Choose, Scale
from featurelib.schema import Refusal

if TYPE_CHECKING:
    from sklearn.pipeline import Pipeline

CLASSIFIERS = ("logistic", "tree")
STRENGTHS = (0.1, 1.0, 10.0, 100.0)
"""The values of C that are tried: the inverse of the L2 penalty."""
DEPTHS = (3, 5, 9, 15, 25)
LEAVES = (1, 4)
"""The least numbers of texts in a leaf of a tree that are tried."""
FOLDS = 3
SEARCHED = 4_000
"""Training texts on which settings are found, drawn by seed with each class' share."""
MOST_WORDS = 20_000
WORD = re.compile(r"\b\w\w+\b")
"""What scikit-learn counts as a word."""


@dataclass(frozen=True)
class Settings:
    """What is tried of a classifier."""

    strengths: tuple[float, ...] = STRENGTHS
    """Values of C of the logistic regression."""
    depths: tuple[int, ...] = DEPTHS
    """Depths of the tree."""
    leaves: tuple[int, ...] = LEAVES
    """Least numbers of texts in a leaf of the tree."""
    folds: int = FOLDS
    """Parts of the cross-validation."""
    seed: int = 0
    """Seed of all that is drawn."""


def make_pipeline(
    representation: Representation, classifier: str, settings: Settings
) -> tuple[Pipeline, dict[str, Any]]:
    """Return a classifier's pipeline, and the settings that are tried."""
    from sklearn.feature_extraction.text import CountVectorizer, TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.multiclass import OneVsRestClassifier
    from sklearn.pipeline import Pipeline
    from sklearn.tree import DecisionTreeClassifier

    steps: list[tuple[str, Any]] = []
    if representation.kind in ("words", "tfidf"):
        reader = CountVectorizer if representation.kind == "words" else TfidfVectorizer
        steps.append(("words", reader(max_features=MOST_WORDS)))
    if representation.chosen_by:
        steps.append(("choose", Choose(representation.chosen_by, representation.n_chosen, settings.seed)))
    if classifier == "logistic":
        steps.append(("scale", Scale()))
        # lbfgs stops before it has converged: for raw embeddings a quarter of a point of accuracy too low, on SNIPS
        steps.append(("read", OneVsRestClassifier(LogisticRegression(max_iter=1000, solver="newton-cg"))))
        return Pipeline(steps), {"read__estimator__C": list(settings.strengths)}
    if classifier == "tree":
        steps.append(("read", DecisionTreeClassifier(random_state=settings.seed)))
        grid = {"read__max_depth": list(settings.depths), "read__min_samples_leaf": list(settings.leaves)}
        return Pipeline(steps), grid
    raise Refusal(f"'{classifier[:40]}' is no classifier; expected is one of {', '.join(CLASSIFIERS)}.")


def fit(
    x: Any, y: np.ndarray, groups: np.ndarray, representation: Representation, classifier: str, settings: Settings
) -> tuple[Pipeline, dict[str, Any]]:
    """Fit a classifier on training rows x; return it and the settings that cross-validation found.

    Texts of one group (copies) are never on both sides of a fold.
    """
    from sklearn.model_selection import GridSearchCV, StratifiedGroupKFold

    if representation.kind in ("words", "tfidf") and not any(WORD.search(text) for text in x):
        raise Refusal(
            "no training text has a word of two letters, which is what words and tfidf count; leave them out."
        )
    pipeline, grid = make_pipeline(representation, classifier, settings)
    found = {name: values[0] for name, values in grid.items()}
    if any(len(values) > 1 for values in grid.values()):
        rows = drawn(y, settings.seed, SEARCHED, settings.folds)
        folds = StratifiedGroupKFold(settings.folds, shuffle=True, random_state=settings.seed)
        search = GridSearchCV(pipeline, grid, cv=folds, refit=False, error_score="raise")
        search.fit(x[rows], y[rows], groups=groups[rows])
        found = search.best_params_
    return pipeline.set_params(**found).fit(x, y), found

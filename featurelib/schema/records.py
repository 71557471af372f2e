"""Rows of tables that one room writes and another reads, so that their columns are spelled once."""

from __future__ import annotations

from typing import NamedTuple


class Fidelity(NamedTuple):
    """A row of `fidelity`: how well a label predicts firing on the texts that it was not made from.

    All measures are None where too few of these texts fire.
    """

    feature_id: int
    method: str
    """ours, or seed: the label that the baseline's keywords alone would give."""
    label: str
    predictor: str
    """resembles: the cosine of the text to the label; contains: how many of its keywords the text holds."""
    auroc: float | None
    auroc_low: float | None
    """The lower end of its 95 % interval (Newcombe)."""
    auroc_high: float | None
    ap: float | None
    """Average precision."""
    ap_low: float | None
    """The lower end of its 95 % interval (Wilson)."""
    ap_high: float | None
    n_fires: int
    """The number of label test texts on which the feature fires."""
    n_texts: int
    """The number of label test texts."""

    @property
    def chance(self) -> float | None:
        """The average precision of a label that says nothing: the share of label test texts that fire."""
        return self.n_fires / self.n_texts if self.n_texts else None


PASSED_OVER, UNTOLD = NAME_FAILURE_KINDS = ("passed over", "untold")
"""The values of `kind` in name_failures: the name predicts the text and the feature does not fire; the reverse."""


class ExplanationScore(NamedTuple):
    """A part of a row of `explanations`: what one scorer measured on label test texts; None where it is not defined."""

    scorer: str
    """detection or fuzzing (featurelib.llm.scoring)."""
    score: float | None
    """Balanced accuracy, (recall + specificity) / 2: 0.5 for guessing."""
    low: float | None
    """The lower end of its 95 % interval."""
    high: float | None
    """The upper end."""
    n_texts: int
    """The texts with a verdict that could be read."""
    n_fires: int
    """Those of them on which the feature fires, or whose marks are right."""
    n_unread: int
    """The texts without such a verdict."""
    accuracy: float | None
    precision: float | None
    recall: float | None
    specificity: float | None
    f1: float | None
    reason: str | None = None
    """Why there is no score, in words without a full stop; None where there is one."""


class LossMetric(NamedTuple):
    """A row of `cross_entropy`: one number about the model's losses with all that is needed to read it."""

    metric: str
    """A key of language_model.loss_metrics.FORMULAS."""
    value: float
    """What was measured."""
    low: float
    """The lower end of its 95 % interval."""
    high: float
    """The upper end."""
    split: str
    """held_out, train or unknown."""
    n_texts: int
    """Texts with a predicted token."""
    n_tokens: int
    """Predicted tokens."""
    formula: str
    """What was computed, and how the interval was."""

"""Questions about what a language model said of features; there is nothing to ask where none was asked for."""

from __future__ import annotations

from dataclasses import dataclass

from featurelib.storage.store import Store


@dataclass(frozen=True)
class ExplanationScore:
    """How well an explanation did with one scorer, on texts of the part "judged" that it was not made from."""

    scorer: str
    """detection or fuzzing (featurelib.llm.scoring)."""
    score: float | None
    """Balanced accuracy, 0.5 for a guess; None where it could not be measured."""
    low: float | None
    """The lower end of its interval of 95 %."""
    high: float | None
    """The upper end."""
    n_texts: int
    """The texts with a verdict."""
    n_fires: int
    """Those of them on which the feature fires, or whose marks are right."""
    n_unread: int
    """The texts on which no verdict could be read."""
    accuracy: float | None
    precision: float | None
    recall: float | None
    specificity: float | None
    f1: float | None
    reason: str | None
    """Why there is no score, in words without a full stop; None where there is one."""


@dataclass(frozen=True)
class Explanation:
    """What a language model said of a feature."""

    feature_id: int
    explanation: str
    """One sentence, written by the model: as foreign as a text of the corpus."""
    model: str
    """The model's name."""
    scores: tuple[ExplanationScore, ...]
    """Detection, then fuzzing."""


def explanation(store: Store, feature_id: int) -> Explanation | None:
    """What a model said of a feature, with its scores; None when it said nothing, or was not asked."""
    rows = store.ask(
        """
        select explanation, model, scorer, score, low, high, n_texts, n_fires, n_unread, accuracy, precision, recall,
            specificity, f1, reason
        from maybe.explanations
        where feature_id = $feature_id
        order by scorer""",
        feature_id=int(feature_id),
    ).to_pylist()
    if not rows:
        return None
    said, model = rows[0].pop("explanation"), rows[0].pop("model")
    scores = tuple(ExplanationScore(**{name: row[name] for name in _SCORE}) for row in rows)
    return Explanation(int(feature_id), said, model, scores)


_SCORE = tuple(ExplanationScore.__dataclass_fields__)

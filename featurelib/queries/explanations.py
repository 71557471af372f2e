"""Questions about explanations by a language model, which a run has only where its build was given one."""

from __future__ import annotations

from dataclasses import dataclass

from featurelib.schema.records import ExplanationScore
from featurelib.storage.store import Store


@dataclass(frozen=True)
class Explanation:
    """A feature's explanation by a language model."""

    feature_id: int
    explanation: str
    """One sentence, written by the model: to be escaped like a text of the corpus."""
    model: str
    """The model's name."""
    scores: tuple[ExplanationScore, ...]
    """Detection, then fuzzing."""


def explanation(store: Store, feature_id: int) -> Explanation | None:
    """Return a feature's explanation with its scores; None where there is none."""
    rows = store.look_up(
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
    sentence, model = rows[0].pop("explanation"), rows[0].pop("model")
    scores = tuple(ExplanationScore(**{name: row[name] for name in ExplanationScore._fields}) for row in rows)
    return Explanation(int(feature_id), sentence, model, scores)

"""A language model's explanation of a feature, with its scores on texts it was not made from."""

from __future__ import annotations

from featurelib.queries import Explanation, ExplanationScore
from featurelib.ui.kit.elements import Html, count, html, number, tag

JUDGED = "These texts were not shown when the explanation was written. 0.5 is chance; 95 % interval."
SCORERS = {
    "detection": (
        "Balanced accuracy: the same model reads the sentence and texts, one half of which fire the feature (drawn "
        "from all strengths), and says of each whether it does. "
    ),
    "fuzzing": (
        "Balanced accuracy: the same model reads the sentence and texts that fire the feature, with words marked, and "
        "says of each whether these made it fire. In one half they are the words with the largest parts of its "
        "pre-activation, in the other half words of the same text with small parts or none. "
    ),
}
SENTENCE = (
    "Written by a language model that saw texts of the half that names features, six of them the strongest, and some "
    "on which it does not fire. It is no measurement; the scores beside it are."
)


def explained(explanation: Explanation | None) -> None:
    """The explanation, the model, and each score with its interval and help; draws nothing without an explanation."""
    if explanation is None:
        return
    by = _term("explained by ", explanation.model, help=SENTENCE)
    scores = [piece for score in explanation.scores for piece in (" · ", _score(score))]
    html(
        tag("p", explanation.explanation, style="margin: .2rem 0 0; overflow-wrap: anywhere"),
        tag("p", by, *scores, cls="muted", style="margin: 0; font-size: .88rem; position: relative"),
    )


def _term(*children: object, help: str) -> Html:
    """Words with help on hover, opened at the left end of the line: a phone has no room beside the words."""
    return tag("span", *children, cls="term", style="position: static", help=help)


def _score(score: ExplanationScore) -> Html:
    if score.score is None:
        why = score.reason or "it was not measured"
        return _term(f"no {score.scorer} score", help=f"{why[0].upper()}{why[1:]}.")
    interval = f" ({score.low:.2f}–{score.high:.2f}) on {count(score.n_texts)} texts"
    return _term(f"{score.scorer} ", tag("b", f"{score.score:.2f}"), interval, help=_score_help(score))


def _score_help(score: ExplanationScore) -> str:
    """How the score is computed, and the other numbers that delphi reports."""
    others = {"accuracy": score.accuracy, "precision": score.precision, "recall": score.recall, "F1": score.f1}
    listed = ", ".join(f"{name} {number(value, 2)}" for name, value in others.items())
    unread = f" On {count(score.n_unread)} more texts the verdict could not be read." if score.n_unread else ""
    return f"{SCORERS.get(score.scorer, '')}{JUDGED} {listed[0].upper()}{listed[1:]}.{unread}"

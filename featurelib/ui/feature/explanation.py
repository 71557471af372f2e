"""What a language model said of a feature, and how well that held on texts it was not made from."""

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


def explained(found: Explanation | None) -> None:
    """The sentence, the model, and each score with its interval and help; nothing when nothing was said."""
    if found is None:
        return
    by = _term("explained by ", found.model, help=SENTENCE)
    scores = [piece for one in found.scores for piece in (" · ", _score(one))]
    html(
        tag("p", found.explanation, style="margin: .2rem 0 0; overflow-wrap: anywhere"),
        tag("p", by, *scores, cls="muted", style="margin: 0; font-size: .88rem; position: relative"),
    )


def _term(*children: object, help: str) -> Html:
    """Words with an explanation, which opens at the left end of the line: beside the words a phone has no room."""
    return tag("span", *children, cls="term", style="position: static", help=help)


def _score(one: ExplanationScore) -> Html:
    if one.score is None:
        why = one.reason or "it was not measured"
        return _term(f"no {one.scorer} score", help=f"{why[0].upper()}{why[1:]}.")
    interval = f" ({one.low:.2f}–{one.high:.2f}) on {count(one.n_texts)} texts"
    return _term(f"{one.scorer} ", tag("b", f"{one.score:.2f}"), interval, help=_told(one))


def _told(one: ExplanationScore) -> str:
    """What the score is, and the other numbers that delphi reports."""
    others = {"accuracy": one.accuracy, "precision": one.precision, "recall": one.recall, "F1": one.f1}
    listed = ", ".join(f"{name} {number(value, 2)}" for name, value in others.items())
    unread = f" On {count(one.n_unread)} more texts the verdict could not be read." if one.n_unread else ""
    return f"{SCORERS.get(one.scorer, '')}{JUDGED} {listed[0].upper()}{listed[1:]}.{unread}"

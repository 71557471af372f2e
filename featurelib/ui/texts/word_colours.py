"""Texts of a feature with their words coloured by what each adds: from the stored attributions, else from the worker.

A page first shows texts plain where nothing is stored, then asks the worker and draws those lists again: nobody waits
for an embedder that has to start. What the worker has answered is remembered for all sessions of the server.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, replace

import streamlit as st

from featurelib import queries
from featurelib.live.results import Attribution
from featurelib.queries import Feature, TokensOfText
from featurelib.schema import ATTRIBUTIONS, Refusal
from featurelib.ui.kit.elements import Html, count, number
from featurelib.ui.kit.session import Opened, live, place_of
from featurelib.ui.texts import highlight
from featurelib.ui.texts.text_list import OPENING, ShownText

REMEMBERED = 5_000
"""Attributions of the worker that the server remembers, some kilobytes each."""
REFUSED_SECONDS = 60.0
"""How long a refusal of the worker is remembered: it may have been busy, or have been started anew since."""
AT_ONCE = 4
"""Texts of one question to the worker, so that each stays within its time and other readers need not wait for all."""


@dataclass(frozen=True)
class Coloured:
    """The texts of a list with their words coloured as far as that is known."""

    texts: list[ShownText]
    """All of them, in their order."""
    later: list[ShownText]
    """Those that are plain until the worker has been asked."""
    reason: str
    """Why some stay plain; empty where none does."""


@dataclass(frozen=True)
class _Refused:
    reason: str
    until: float


class _Answers:
    """What the worker said of (generation, feature, text): attributions, or for a minute why there are none."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._answers: OrderedDict[object, Attribution | _Refused] = OrderedDict()

    def get(self, key: object) -> Attribution | _Refused | None:
        """The answer to a question that was put before and still holds, else None."""
        with self._lock:
            answer = self._answers.pop(key, None)
            if answer is None or (isinstance(answer, _Refused) and time.monotonic() > answer.until):
                return None
            self._answers[key] = answer
            return answer

    def put(self, key: object, answer: Attribution | _Refused) -> None:
        """Remember an answer."""
        with self._lock:
            self._answers[key] = answer
            while len(self._answers) > REMEMBERED:
                self._answers.popitem(last=False)


@st.cache_resource(max_entries=1, show_spinner=False)
def _answers() -> _Answers:
    return _Answers()


def _key(opened: Opened, feature: Feature, text_id: int) -> object:
    return place_of(opened.generation), feature.feature_id, text_id


def coloured(opened: Opened, feature: Feature, shown: Sequence[ShownText]) -> Coloured:
    """Colour the words of texts by what is stored, or what the worker has said of them; in a token run the tokens."""
    if queries.has_tokens(opened.store):
        return Coloured(_with_tokens(opened, feature, shown), [], "")
    known = _stored(opened, feature, shown)
    later, reason = [], ""
    for text in [text for text in shown if text.text_id not in known]:
        answer = _answers().get(_key(opened, feature, text.text_id))
        if isinstance(answer, _Refused):
            reason = answer.reason
        elif answer is None:
            later.append(text)
        else:
            known[text.text_id] = answer
    texts = [_with_words(text, known[text.text_id]) if text.text_id in known else text for text in shown]
    return Coloured(texts, later, reason)


def ask(opened: Opened, feature: Feature, texts: Sequence[ShownText]) -> None:
    """Ask the worker what each word of some texts adds, as far as that is not known, and remember what it says."""
    known = _stored(opened, feature, texts)
    asked = [
        text
        for text in texts
        if text.text_id not in known and _answers().get(_key(opened, feature, text.text_id)) is None
    ]
    answers: list[Attribution | _Refused] = []
    try:
        for start in range(0, len(asked), AT_ONCE):
            portion = [text.text for text in asked[start : start + AT_ONCE]]
            answers += live().attributions_of(opened.generation.path, portion, feature.feature_id)
    except Refusal as refusal:
        refused = _Refused(str(refusal), time.monotonic() + REFUSED_SECONDS)
        answers += [refused] * (len(asked) - len(answers))
    for text, answer in zip(asked, answers, strict=True):
        _answers().put(_key(opened, feature, text.text_id), answer)


def _stored(opened: Opened, feature: Feature, shown: Sequence[ShownText]) -> dict[int, Attribution]:
    if not opened.store.has(ATTRIBUTIONS):
        return {}
    rows = queries.contributions(opened.store, feature.feature_id, [text.text_id for text in shown]).to_pylist()
    return {row["text_id"]: highlight.stored(row, feature.feature_id, feature.threshold or 0.0) for row in rows}


def _with_tokens(opened: Opened, feature: Feature, shown: Sequence[ShownText]) -> list[ShownText]:
    """Texts with the tokens coloured on which the feature fires; every such token is stored."""
    fired = queries.token_activations(opened.store, feature.feature_id, [text.text_id for text in shown])
    return [_with_fired(text, fired[text.text_id]) if text.text_id in fired else text for text in shown]


def _with_fired(shown: ShownText, tokens: TokensOfText) -> ShownText:
    title, n = shown.title, len(tokens.activations)
    coloured = highlight.coloured_text(shown.text, *highlight.apart(*tokens), title=title, spoken=number)
    about = (f"{count(n)} {'token' if n == 1 else 'tokens'}", *shown.about)
    brief = highlight.opening(coloured, OPENING + len(title), of_tokens=True, focus=shown.focus)
    return replace(shown, opening=brief, whole=highlight.whole(coloured, shown.cut), about=about)


def _with_words(shown: ShownText, attribution: Attribution) -> ShownText:
    words = attribution.starts, attribution.ends, attribution.by_word
    coloured = highlight.coloured_text(
        shown.text, *(words if attribution.is_sum else highlight.apart(*words)), title=shown.title
    )
    brief = highlight.opening(coloured, OPENING + len(shown.title))
    return replace(shown, opening=brief, whole=Html(highlight.whole(coloured, shown.cut) + highlight.bars(attribution)))

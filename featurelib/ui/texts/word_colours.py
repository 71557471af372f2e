"""Texts of a feature with their words coloured by what each adds: from the stored attributions, else from the worker.

A page first shows texts plain where nothing is stored, then asks the worker and is drawn again: nobody waits for an
embedder that has to start. What the worker has answered is remembered for all sessions of the server.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import replace

import streamlit as st

from featurelib import queries
from featurelib.live.results import Attribution
from featurelib.queries import Feature
from featurelib.schema import ATTRIBUTIONS, Refusal
from featurelib.ui.kit.elements import Html
from featurelib.ui.kit.session import Opened, live, place_of
from featurelib.ui.texts import highlight
from featurelib.ui.texts.text_list import OPENING, ShownText

REMEMBERED = 5_000
"""Attributions of the worker that the server remembers, some kilobytes each."""


class _Answers:
    """What the worker said of (generation, feature, text): attributions, or the reason why there are none."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._answers: OrderedDict[object, Attribution | str] = OrderedDict()

    def get(self, key: object) -> Attribution | str | None:
        """The answer to a question that was put before, else None."""
        with self._lock:
            if key in self._answers:
                self._answers.move_to_end(key)
            return self._answers.get(key)

    def put(self, key: object, answer: Attribution | str) -> None:
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


def coloured(opened: Opened, feature: Feature, shown: Sequence[ShownText]) -> tuple[list[ShownText], list[ShownText]]:
    """The texts with their words coloured as far as that is known, and those that the worker is still to be asked for.

    Refusal with the reason where it has said that there are no attributions.
    """
    known = _stored(opened, feature, shown)
    later = []
    for text in shown:
        answer = _answers().get(_key(opened, feature, text.text_id)) if text.text_id not in known else None
        if isinstance(answer, str):
            raise Refusal(answer)
        if answer is not None:
            known[text.text_id] = answer
        elif text.text_id not in known:
            later.append(text)
    return [_with_words(text, known[text.text_id]) if text.text_id in known else text for text in shown], later


def ask_later(opened: Opened, feature: Feature, texts: Sequence[ShownText]) -> None:
    """Ask the worker about texts that are shown plain, and draw the page again; does nothing without texts."""
    if not texts:
        return
    try:
        answers: Sequence[Attribution | str] = live().attributions_of(
            opened.generation.path, [text.text for text in texts], feature.feature_id
        )
    except Refusal as refusal:
        answers = [str(refusal)] * len(texts)
    for text, answer in zip(texts, answers, strict=True):
        _answers().put(_key(opened, feature, text.text_id), answer)
    st.rerun()


def _stored(opened: Opened, feature: Feature, shown: Sequence[ShownText]) -> dict[int, Attribution]:
    if not opened.store.has(ATTRIBUTIONS):
        return {}
    rows = queries.contributions(opened.store, feature.feature_id, [text.text_id for text in shown]).to_pylist()
    return {row["text_id"]: highlight.stored(row, feature.feature_id, feature.threshold or 0.0) for row in rows}


def _with_words(shown: ShownText, attribution: Attribution) -> ShownText:
    places = attribution.starts, attribution.ends
    brief = highlight.highlighted(
        shown.text, *places, attribution.by_word, title=shown.title, length=OPENING + len(shown.title)
    )
    whole = highlight.highlighted(shown.text, *places, attribution.by_word, title=shown.title, cut=shown.cut)
    return replace(shown, opening=brief, whole=Html(whole + highlight.bars(attribution)))

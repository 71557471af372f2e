"""The text that a page is about: one that the reader typed, or one of the corpus with its stored embedding."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import streamlit as st

from featurelib import queries, search
from featurelib.ui.kit.elements import opening
from featurelib.ui.kit.navigation import STARTING
from featurelib.ui.kit.session import Opened, live
from featurelib.ui.texts.by_id import nearest_texts
from featurelib.ui.texts.text_input import Typed
from featurelib.ui.texts.text_list import after_title


@dataclass(frozen=True, eq=False)
class ChosenText:
    """One text and the source of its embedding."""

    text: str
    """The whole text."""
    title: str
    """The title with which it begins, "" without one."""
    cut: int | None
    """The character at which the embedder stopped reading; None or -1 when it read all or this is not known."""
    text_id: int | None
    """Its id in the corpus; None for a typed one."""
    source: str | np.ndarray
    """The typed text, or the stored embedding, float32 [d], so that a text of the corpus ranks exactly as stored."""
    params: dict[str, str]
    """The parameters of the address that hold a typed text; empty for one of the corpus."""

    @property
    def name(self) -> str:
        """Its title, or its beginning."""
        return opening(self.title or self.text, length=90)

    @property
    def where(self) -> dict[str, Any]:
        """The parameters that name it as the first of two texts."""
        return dict(self.params) if self.text_id is None else {"a": self.text_id}

    @property
    def alone(self) -> dict[str, Any]:
        """The parameters that name it as the only text."""
        return dict(self.params) if self.text_id is None else {"text": self.text_id}

    @property
    def start(self) -> int:
        """The character at which the text after its title begins."""
        return after_title(self.text, self.title)


def choose(opened: Opened, typed: Typed | None, text_id: int | None) -> ChosenText | None:
    """The typed text if there is one, else the text of the corpus, else None; Refusal when the run has no such text."""
    if typed is not None and typed.text.strip():
        return ChosenText(typed.text, "", None, None, typed.text, typed.params)
    if text_id is None:
        return None
    return of_corpus(opened, text_id)


def of_corpus(opened: Opened, text_id: int) -> ChosenText:
    """A text of the corpus with its stored embedding; Refusal when the run has no such text."""
    row = queries.text(opened.store, text_id)
    return ChosenText(row.text, row.title or "", row.cut, text_id, search.embedding_of(opened.store, text_id), {})


def embedding(opened: Opened, text: ChosenText) -> np.ndarray:
    """The embedding of a text, float32 [d]: the stored one, or computed now."""
    if isinstance(text.source, np.ndarray):
        return text.source
    with st.spinner(STARTING, show_time=True):
        return live().embed(opened.generation.path, text.source)


def nearest(opened: Opened, text: ChosenText, *, limit: int) -> list[tuple[int, float]]:
    """The texts nearest in meaning, without itself: text_id and cosine, nearest first."""
    return nearest_texts(opened.store, embedding(opened, text), limit=limit, without=text.text_id)

"""A text that a page works on: typed into the address, or one of the corpus with its stored embedding."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import streamlit as st

from featurelib import queries, search
from featurelib.ui.kit.address import _bind, param
from featurelib.ui.kit.elements import opening
from featurelib.ui.kit.navigation import STARTING
from featurelib.ui.kit.session import Opened, live
from featurelib.ui.texts.text_list import after_title

LONGEST_TYPED = 2_000


@dataclass(frozen=True, eq=False)
class Given:
    """One text and what the worker is asked about it."""

    text: str
    """All of it."""
    title: str
    """What it begins with, "" without a title."""
    cut: int | None
    """The character at which the embedder stopped reading it; None or -1 when it read all, or is not known."""
    text_id: int | None
    """Its id in the corpus; None for a typed one."""
    asked: str | np.ndarray
    """The typed text, or the stored embedding, float32 [d]: so an untouched text ranks as it is stored."""

    @property
    def name(self) -> str:
        """Its title, or its beginning."""
        return opening(self.title or self.text, length=90)

    @property
    def where(self) -> dict[str, object]:
        """The parameters that name it as the first of two texts."""
        return {"t": self.text} if self.text_id is None else {"a": self.text_id}

    @property
    def alone(self) -> dict[str, object]:
        """The parameters that name it as the only text."""
        return {"t": self.text} if self.text_id is None else {"text": self.text_id}

    @property
    def start(self) -> int:
        """Where it goes on after its title."""
        return after_title(self.text, self.title)


def typed_box(label: str, name: str, *, resets: tuple[str, ...], **options: Any) -> str:
    """A box for a text of several lines, at most 2,000 characters, that lives in the address as `name`."""
    value = param(name, longest=LONGEST_TYPED)
    st.text_area(label, max_chars=LONGEST_TYPED, height=100, **_bind(name, value, "", resets), **options)
    return value


def given(opened: Opened, typed: str, text_id: int | None) -> Given | None:
    """The typed text where there is one, else the text of the corpus, else None; Refusal when there is none such."""
    if typed.strip():
        return Given(typed, "", None, None, typed)
    if text_id is None:
        return None
    row = queries.text(opened.store, text_id)
    return Given(row.text, row.title or "", row.cut, text_id, search.embedding_of(opened.store, text_id))


def embedding(opened: Opened, one: Given) -> np.ndarray:
    """The embedding of a text, float32 [d]: the stored one, or made now."""
    if isinstance(one.asked, np.ndarray):
        return one.asked
    with st.spinner(STARTING, show_time=True):
        return live().embed(opened.generation.path, one.asked)


def nearest(opened: Opened, one: Given, *, limit: int) -> list[tuple[int, float]]:
    """The texts nearest in meaning, without itself: text_id and cosine, nearest first."""
    found = search.texts_by_meaning(opened.store, embedding(opened, one), limit=limit + 1)
    pairs = zip(found["text_id"].to_pylist(), found["cosine"].to_pylist(), strict=True)
    return [pair for pair in pairs if pair[0] != one.text_id][:limit]

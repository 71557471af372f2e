"""Searching texts: by words, with what matches marked, and by meaning."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

import streamlit as st

from featurelib import queries, search
from featurelib.queries import TextRow
from featurelib.search import MARK_END, MARK_START
from featurelib.store import Store
from featurelib.ui.elements import Html, sentence, tag
from featurelib.ui.opened import Opened, live
from featurelib.ui.reading import ShownText, about, after_title
from featurelib.ui.ways import STARTING

NEAREST = 50
"""Texts that a search by meaning finds."""


def by_words(opened: Opened, typed: str) -> search.WordIndex:
    """The word index of the run, made now where it is missing; says what of the query cannot be looked for."""
    with st.spinner("Indexing the words of this run, once …"):
        index = search.open_words(opened.store, opened.run.cache_folder)
    note = search.read_query(typed).note
    if note:
        sentence(note)
    return index


def texts_with_words(store: Store, index: search.WordIndex, typed: str, *, limit: int, offset: int) -> list[ShownText]:
    """A page of the texts that hold the words, what matches marked."""
    rows = index.texts(typed, limit=limit, offset=offset).to_pylist()
    return [of_text(queries.text(store, row["text_id"]), store, snippet=row["snippet"]) for row in rows]


def by_meaning(opened: Opened, typed: str) -> list[tuple[int, float]]:
    """The texts whose embeddings are nearest to what was typed: text_id and cosine, nearest first."""
    with st.spinner(STARTING, show_time=True):
        vector = live().embed(opened.generation.path, typed)
    found = search.texts_by_meaning(opened.store, vector, limit=NEAREST)
    return list(zip(found["text_id"].to_pylist(), found["cosine"].to_pylist(), strict=True))


def texts_of(store: Store, found: Sequence[tuple[int, float]]) -> list[ShownText]:
    """Texts with their cosines."""
    return [of_text(queries.text(store, text_id), store, value=cosine) for text_id, cosine in found]


def of_text(row: TextRow, store: Store, *, snippet: str = "", value: float | None = None) -> ShownText:
    """A whole text as a list shows it: with a `snippet` in place of its beginning, or a cosine in the margin."""
    columns = {one.name: one.shown for one in queries.metadata_columns(store)}
    own = {columns[name]: held for name, held in row.metadata.items()}
    shown = ShownText(row.text_id, row.text, row.title or "", row.cut, value, 1.0, about(own, store))
    if not snippet:
        return shown
    bare = snippet.replace(MARK_START, "").replace(MARK_END, "")
    at = after_title(bare, shown.title)
    title, opening = _split(snippet, at)
    return replace(shown, opening=opening, marked_title=title if at else None)


def _split(snippet: str, at: int) -> tuple[Html, Html]:
    """A snippet of the word search up to its character `at` and from there on, what matches marked."""
    before: list[Html] = []
    after: list[Html] = []
    for position, piece in enumerate(re.split(f"[{MARK_START}{MARK_END}]", snippet)):
        name = "mark" if position % 2 else "span"
        before += [tag(name, piece[:at])] if piece[:at] else []
        after += [tag(name, piece[at:])] if piece[at:] else []
        at = max(0, at - len(piece))
    return Html("".join(before)), Html("".join(after))

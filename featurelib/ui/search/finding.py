"""Searching texts: by words, with what matches marked, and by meaning."""

from __future__ import annotations

import re
from dataclasses import replace

import streamlit as st

from featurelib import search
from featurelib.search import MARK_END, MARK_START
from featurelib.storage.store import Store
from featurelib.ui.kit.elements import Html, sentence, tag
from featurelib.ui.kit.navigation import STARTING
from featurelib.ui.kit.session import Opened, live
from featurelib.ui.texts.by_id import shown_texts
from featurelib.ui.texts.text_list import ShownText, after_title

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
    snippets = {row["text_id"]: row["snippet"] for row in rows}
    return [with_snippet(one, snippets[one.text_id]) for one in shown_texts(store, list(snippets))]


def by_meaning(opened: Opened, typed: str) -> list[tuple[int, float]]:
    """The texts whose embeddings are nearest to what was typed: text_id and cosine, nearest first."""
    with st.spinner(STARTING, show_time=True):
        vector = live().embed(opened.generation.path, typed)
    found = search.texts_by_meaning(opened.store, vector, limit=NEAREST)
    return list(zip(found["text_id"].to_pylist(), found["cosine"].to_pylist(), strict=True))


def near_text(opened: Opened, text_id: int) -> list[tuple[int, float]]:
    """The texts whose embeddings are nearest to that of a text of the run, without itself: text_id and cosine."""
    vector = search.embedding_of(opened.store, text_id)
    found = search.texts_by_meaning(opened.store, vector, limit=NEAREST + 1)
    pairs = zip(found["text_id"].to_pylist(), found["cosine"].to_pylist(), strict=True)
    return [pair for pair in pairs if pair[0] != text_id][:NEAREST]


def with_snippet(shown: ShownText, snippet: str) -> ShownText:
    """A text with a `snippet` of the word search in place of its beginning."""
    bare = snippet.replace(MARK_START, "").replace(MARK_END, "")
    at = after_title(bare, shown.title)
    title, rest = _split(snippet, at)
    return replace(shown, opening=rest, marked_title=title if at else None)


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

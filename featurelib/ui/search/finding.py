"""Searching texts: by words, with what matches marked, and by meaning."""

from __future__ import annotations

import re
from dataclasses import replace

import streamlit as st

from featurelib import search
from featurelib.schema import Refusal
from featurelib.search import MARK_END, MARK_START
from featurelib.storage.store import Store
from featurelib.ui.kit.anchors import page_link
from featurelib.ui.kit.elements import Html, count, sentence, tag
from featurelib.ui.kit.navigation import STARTING
from featurelib.ui.kit.session import Opened, live, make_beside
from featurelib.ui.texts.by_id import nearest_texts, shown_texts
from featurelib.ui.texts.text_list import ShownText, after_title

AT_ONCE = 50_000
"""Texts whose words are indexed while the reader waits, some seconds at most."""
CHECKED = 8
"""Words of a query of which it is told that no text contains them."""
NEAREST = 50
"""Texts that a search by meaning returns."""


def by_words(opened: Opened, typed: str) -> search.WordIndex:
    """The word index of the run, built now if it is missing; a sentence names what of the query is ignored.

    Of a large corpus it is built beside the server: a Refusal asks for patience while that goes on.
    """
    n_texts = opened.store.n_texts
    is_long = n_texts > AT_ONCE and not search.is_indexed(opened.store, opened.run.cache_folder)
    if is_long and make_beside(opened.generation):
        raise Refusal(f"The words of {count(n_texts)} texts are being indexed, once; search again in some minutes.")
    with st.spinner("Indexing the words of this run, once …"):
        index = search.open_words(opened.store, opened.run.cache_folder)
    note = search.read_query(typed).note
    if note:
        sentence(note)
    return index


def nothing_found(index: search.WordIndex, typed: str) -> None:
    """Say which of the words no text contains, or that no text contains them together; offer a search by meaning."""
    required = search.read_query(typed).required
    missing = [word for word in required[:CHECKED] if not index.count(word)]
    if missing:
        sentence(f"No text contains {', '.join(f'“{word}”' for word in missing)}.")
    elif len(required) > 1:
        sentence("Each of these words stands in some text, but no text contains them all.")
    if required:
        page_link("search.py", "search by meaning instead ›", by="meaning", q=typed)


def texts_with_words(store: Store, index: search.WordIndex, typed: str, *, limit: int, offset: int) -> list[ShownText]:
    """A page of the texts that contain the words, the matches marked."""
    rows = index.texts(typed, limit=limit, offset=offset).to_pylist()
    snippets = {row["text_id"]: row["snippet"] for row in rows}
    return [with_snippet(shown, snippets[shown.text_id]) for shown in shown_texts(store, list(snippets))]


def by_meaning(opened: Opened, typed: str) -> list[tuple[int, float]]:
    """The texts whose embeddings are nearest to what was typed: text_id and cosine, nearest first."""
    with st.spinner(STARTING, show_time=True):
        embedding = live().embed(opened.generation.path, typed)
    return nearest_texts(opened.store, embedding, limit=NEAREST)


def near_text(opened: Opened, text_id: int) -> list[tuple[int, float]]:
    """The texts whose embeddings are nearest to that of a text of the run, without itself: text_id and cosine."""
    embedding = search.embedding_of(opened.store, text_id)
    return nearest_texts(opened.store, embedding, limit=NEAREST, without=text_id)


def with_snippet(shown: ShownText, snippet: str) -> ShownText:
    """A text with a `snippet` of the word search in place of its beginning."""
    bare = snippet.replace(MARK_START, "").replace(MARK_END, "")
    at = after_title(bare, shown.title)
    title, rest = split_snippet(snippet, at)
    return replace(shown, opening=rest, marked_title=title if at else None)


def split_snippet(snippet: str, at: int) -> tuple[Html, Html]:
    """A snippet of the word search up to its character `at` and from there on, the matches marked."""
    before: list[Html] = []
    after: list[Html] = []
    for position, piece in enumerate(re.split(f"[{MARK_START}{MARK_END}]", snippet)):
        name = "mark" if position % 2 else "span"
        before += [tag(name, piece[:at])] if piece[:at] else []
        after += [tag(name, piece[at:])] if piece[at:] else []
        at = max(0, at - len(piece))
    return Html("".join(before)), Html("".join(after))

"""Texts by words or by meaning, features by a description of them or by a token that they raise."""

from __future__ import annotations

import streamlit as st

from featurelib import queries, ui
from featurelib.ui.kit import lists, navigation
from featurelib.ui.search import describing, finding, raising
from featurelib.ui.texts import by_id, text_list

PER_PAGE = 10
WAYS = {"words": "texts by words", "meaning": "by meaning", "features": "features", "token": "features by token"}
BEGIN = {
    "words": 'All words must occur; "a phrase", prefix* and -without work too.',
    "meaning": "The texts whose embeddings are nearest to that of what you type.",
    "features": "Describe what a feature should be about, in a few words or a sentence. Three lists answer: names with "
    "your words, names with the same meaning, and the features that fire on your description.",
    "token": raising.BEGIN,
}


def features_with_words() -> None:
    """The features whose names contain the words, on one line, and a link to the search for features."""
    features = queries.find_features(store, typed, limit=8).to_pylist()
    if features:
        ui.heading("Features", "whose label or keywords contain these words")
        lists.inline_list("found", [lists.feature_line(row["feature_id"], row["label"]) for row in features])
    if typed.strip():
        ui.page_link("search.py", "find features by this description ›", by="features", q=typed)


def texts() -> None:
    """A page of the texts that match."""
    if near is not None and not typed.strip():
        nearest = finding.near_text(opened, near)
        ui.heading("Texts", f"the {len(nearest)} nearest in meaning to “{by_id.name_of(store, near)}”, by cosine")
    elif by == "words":
        index = finding.by_words(opened, typed)
        n_texts = index.count(typed)
        ui.heading("Texts", f"{ui.count(n_texts)} of {ui.count(text_list.count_texts(store))} contain these words")
        if n_texts:
            ui.page_link("slices.py", "compare them with the rest ›", a_words=typed)
    else:
        nearest = finding.by_meaning(opened, typed)
        ui.heading("Texts", f"the {len(nearest)} nearest, by cosine of their embeddings to that of your words")
    place = st.container()
    if typed.strip() and by == "words":
        first = ui.pager(n_texts, PER_PAGE)
        shown = finding.texts_with_words(store, index, typed, limit=PER_PAGE, offset=first)
    else:
        first = ui.pager(len(nearest), PER_PAGE)
        shown = by_id.texts_of(store, nearest[first : first + PER_PAGE])
    with place:
        if typed.strip() and by == "words" and not n_texts:
            finding.nothing_found(index, typed)
        text_list.text_list(by, text_list.with_features(shown, store))


opened = ui.open_run()
store = opened.store
navigation.begin_at_top(ui.param("q"), ui.param("by"), ui.param("page"))
ui.page("Search")
ways = [way for way in WAYS if way != "token" or queries.has_tokens(store)]
with st.container(horizontal=True, vertical_alignment="center"):
    typed = ui.text_box(
        "Search",
        "q",
        resets=("page", "near"),
        longest=2000,
        label_visibility="collapsed",
        placeholder="words, or a sentence",
        icon=":material/search:",
    )
    by = ui.segments("Search", "by", ways, show=WAYS.get, label_visibility="collapsed")
near = ui.count_param("near")
if not typed.strip() and near is None:
    ui.sentence(BEGIN[by])
elif by == "features" and typed.strip():
    describing.three_lists(opened, typed)
elif by == "token":
    with ui.section():
        raising.raising(store, typed)
else:
    with ui.section():
        features_with_words()
    with ui.section():
        texts()

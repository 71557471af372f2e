"""Texts by words or by meaning, and the features whose names match."""

from __future__ import annotations

import streamlit as st

from featurelib import queries, ui
from featurelib.ui import finding, lists, reading, reading_style, ways

PER_PAGE = 10
WAYS = {"words": "by words", "meaning": "by meaning"}

opened = ui.open_run()
store = opened.store
reading_style.style()
ways.begin_at_top(ui.param("q"), ui.param("by"), ui.param("page"))
ui.page("Search")
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
    by = ui.segments("Search", "by", list(WAYS), show=WAYS.get, label_visibility="collapsed")
near = ui.count_param("near")
if not typed.strip() and near is None:
    ui.sentence(
        'By words: all words must occur; "a phrase", prefix* and -without work too. '
        "By meaning: the texts whose embeddings are nearest to that of what you type."
    )
    st.stop()

with ui.part():
    features = queries.find_features(store, typed, limit=8).to_pylist()
    if features:
        ui.heading("Features", "whose label or keywords hold these words")
        lists.inline_list("found", [lists.feature_line(row["feature_id"], row["label"]) for row in features])

with ui.part():
    if not typed.strip():
        found = finding.near_text(opened, near)
        ui.heading("Texts", f"the {len(found)} nearest in meaning to “{finding.name_of(store, near)}”, by cosine")
        place = st.container()
        first = ui.pager(len(found), PER_PAGE)
        shown = finding.texts_of(store, found[first : first + PER_PAGE])
    elif by == "words":
        index = finding.by_words(opened, typed)
        n_texts = index.count(typed)
        ui.heading("Texts", f"{ui.count(n_texts)} of {ui.count(reading.count_texts(store))} hold these words")
        place = st.container()
        first = ui.pager(n_texts, PER_PAGE)
        shown = finding.texts_with_words(store, index, typed, limit=PER_PAGE, offset=first)
    else:
        found = finding.by_meaning(opened, typed)
        ui.heading("Texts", f"the {len(found)} nearest, by cosine of their embeddings to that of your words")
        place = st.container()
        first = ui.pager(len(found), PER_PAGE)
        shown = finding.texts_of(store, found[first : first + PER_PAGE])
    with place:
        reading.text_list(by, reading.with_features(shown, store))

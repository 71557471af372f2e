"""A text whose features can be turned: what is near to it then."""

from __future__ import annotations

import streamlit as st

from featurelib import queries, ui
from featurelib.schema import Refusal
from featurelib.ui.kit import lists, navigation
from featurelib.ui.steer import outcome
from featurelib.ui.steer import sliders as turning
from featurelib.ui.texts import given, text_list

opened = ui.open_run()
store = opened.store
ui.page("Turn features", "Move the features of a text and search the corpus again with the embedding that this gives.")
number = ui.whole_number_param("text")
resets = ("text", "set", "add")
typed = given.typed_box("A text of your own", "t", resets=resets, placeholder="a sentence, a title, an abstract …")
try:
    text = given.given(opened, typed, number)
    if text is None:
        ui.heading("Or one from the corpus")
        n_texts = text_list.count_texts(store)
        rows = [queries.text(store, n_texts * part // 4) for part in range(4)] if n_texts else []
        names = {row.text_id: ui.opening(row.title or row.text, length=90) for row in rows}
        lists.line_list("examples", [lists.Line(name, {"text": one}, page="steer.py") for one, name in names.items()])
        st.stop()
    changes = turning.changes_param(queries.counts(store).n_features)
    with st.spinner(navigation.STARTING, show_time=True):
        found = ui.live().steer(opened.generation.path, text.asked, changes)
    knobs = turning.knobs(store, found, changes)
    ranking = outcome.places(store, found, text.text_id)
except Refusal as refusal:
    ui.stop_with(str(refusal))

with st.container(key="read-near"):
    if text.text_id is not None:
        ui.text_link(text.text_id, f"text {text.text_id}: {text.name}")
outcome.turned_strip(found, knobs, ranking)
sliders, beside = st.columns([1, 1.15], gap="large")
with sliders, ui.part():
    ui.heading("Features", "drag one, then look at the texts", help=turning.HELP)
    if not len(found.feature_ids):
        ui.sentence("No feature fires on this text; find one below and turn it on.")
    for knob in knobs:
        turning.slider(knob)
    if any(not knob.untouched for knob in knobs):
        st.button("all back", key="all back", on_click=ui.set_params, kwargs={"set": None})
    words = ui.text_box("Turn another feature", "add", resets=(), placeholder="words of its name, or its number")
    if words.strip():
        rows = queries.find_features(store, words, limit=6).to_pylist()
        turning.add_buttons(rows, found, knobs)
        if not rows:
            ui.sentence(f"No label or keyword holds “{words}”.")
with beside:
    with ui.part():
        outcome.ranking_list(store, found, ranking)
        if outcome.lengths(found):
            ui.sentence(outcome.lengths(found))
        with st.container(key="steer-onward"):
            ui.page_link("similar.py", "why is one of them near? ›", **text.where)
    with ui.part():
        outcome.again_list(store, found, knobs)

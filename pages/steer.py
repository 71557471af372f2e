"""Change the activations of a text's features and see which texts are near then."""

from __future__ import annotations

import streamlit as st

from featurelib import queries, ui
from featurelib.schema import Refusal
from featurelib.ui.kit import lists, navigation
from featurelib.ui.steer import rankings, sliders
from featurelib.ui.texts import by_id, chosen_text, text_input

RESETS = ("text", "set", "add")

opened = ui.open_run()
store = opened.store
ui.page("Steer", "Change the activations of a text's features and search the corpus again with the new embedding.")
number = ui.whole_number_param("text")
typed = text_input.typed_box(
    "A text of your own",
    placeholder="a sentence, a title, an abstract …",
    limit=text_input.LONGEST_ONE,
    height=100,
    resets=RESETS,
)
try:
    text = chosen_text.choose(opened, typed, number)
    if text is None:
        ui.heading("Or one from the corpus")
        examples = by_id.example_texts(store)
        lines = [lists.Line(name, {"text": text_id}, page="steer.py") for text_id, name in examples]
        lists.line_list("examples", lines)
        st.stop()
    changes = sliders.changes_param(queries.counts(store).n_features)
    with st.spinner(navigation.STARTING, show_time=True):
        steered = ui.live().steer(opened.generation.path, text.source, changes)
    knobs = sliders.knobs(store, steered, changes)
    ranking = rankings.ask_rankings(store, steered, text.text_id)
except Refusal as refusal:
    ui.stop_with(str(refusal))

with st.container(key="read-near"):
    if text.text_id is not None:
        ui.text_link(text.text_id, f"text {text.text_id}: {text.name}")
rankings.steering_strip(steered, knobs, ranking)
features, beside = st.columns([1, 1.15], gap="large")
with features, ui.section():
    ui.heading("Features", "drag one, then see the texts", help=sliders.HELP)
    if not len(steered.feature_ids):
        ui.sentence("No feature fires on this text; find one below and set it.")
    for knob in knobs:
        sliders.slider(knob)
    if any(not knob.untouched for knob in knobs):
        st.button("reset all", key="reset all", on_click=ui.set_params, kwargs={"set": None})
    words = ui.text_box("Steer another feature", "add", resets=(), placeholder="words of its name, or its number")
    if words.strip():
        rows = queries.find_features(store, words, limit=6).to_pylist()
        sliders.add_buttons(rows, steered, knobs)
        if not rows:
            ui.sentence(f"No label or keyword contains “{words}”.")
with beside:
    with ui.section():
        rankings.ranking_list(store, steered, ranking)
        if rankings.lengths(steered):
            ui.sentence(rankings.lengths(steered))
        with st.container(key="steer-onward"):
            ui.page_link("similar.py", "explain a similarity ›", **text.where)
    with ui.section():
        rankings.reencoded_list(store, steered, knobs)

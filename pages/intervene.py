"""Change features inside the language model of a token run and read what it writes then."""

from __future__ import annotations

import streamlit as st

from featurelib import queries, ui
from featurelib.schema import TOKENS
from featurelib.ui.intervene import changes, features_to_change, outcome
from featurelib.ui.kit import navigation
from featurelib.ui.texts import text_input

PLACES = {"all": "all tokens", "prompt": "the prompt", "generated": "what is written"}
N_TOKENS = 40
NO_TOKENS = (
    "This run's SAE reads whole texts and not the tokens of a language model, so there is no model here that could go "
    "on writing. Steer changes the features of a text and searches with the changed embedding; a run that is built "
    "with --layer and --pooling none can be intervened in."
)

opened = ui.open_run()
store = opened.store
ui.page("Intervene", "Change features inside the language model and read what it writes then.")
if not opened.generation.parts(TOKENS):
    ui.sentence(NO_TOKENS)
    ui.page_link("steer.py", "steer the features of a text ›")
    st.stop()
typed = text_input.typed_box(
    "Prompt",
    placeholder="the beginning of a sentence, which the model goes on with …",
    limit=outcome.LONGEST_PROMPT,
    height=100,
)
with st.container(horizontal=True, vertical_alignment="bottom", key="intervene-controls"):
    where = ui.segments("Change", "where", tuple(PLACES), show=PLACES.__getitem__, resets=())
    n_tokens = ui.count_box("New tokens", "n", high=outcome.MOST_NEW, placeholder=str(N_TOKENS), width=140)
    temperature = ui.number_box(
        "Temperature", "temperature", high=2.0, step=0.1, placeholder="0: the likeliest", width=160
    )
    seed = ui.count_box("Seed", "seed", placeholder="0", width=120) if temperature else None
wanted = changes.changes_param(queries.counts(store).n_features)
left, right = st.columns([1, 1.25], gap="large")
prompt = None
if typed.text.strip():
    with right, ui.section(), st.spinner(navigation.STARTING, show_time=True):
        prompt = ui.live().prompt_features(opened.generation.path, typed.text)
with left, ui.section():
    changes.change_rows(store, wanted, prompt)
    features_to_change.by_words(store, prompt, wanted)
    if prompt is not None:
        features_to_change.of_prompt(store, prompt, wanted)
with right, ui.section():
    if not typed.text.strip():
        ui.sentence("Type a prompt; the features that fire on its tokens are listed then.")
    elif prompt is not None and not wanted:
        ui.sentence("Choose a feature to change: both continuations are shown here.")
    elif prompt is not None:
        outcome.written(
            outcome.Asked(
                opened.generation.path,
                typed.text,
                tuple(wanted),
                where,
                N_TOKENS if n_tokens is None else n_tokens,
                temperature or 0.0,
                seed or 0,
            )
        )

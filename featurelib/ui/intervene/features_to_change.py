"""Features to change: those that fire on the prompt with their tokens, and those found by words."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from featurelib import queries
from featurelib.live.results import FeatureChange, PromptFeatures
from featurelib.queries import FeatureFilter
from featurelib.storage.store import Store
from featurelib.ui.intervene.changes import add_button, first_change
from featurelib.ui.kit.address import text_box
from featurelib.ui.kit.elements import Html, heading, html, number, sentence, tag

STRONGEST = 12
"""Features of the prompt that are listed."""
FOUND = 6
SEEN = str.maketrans({"\n": "⏎", "\t": "⇥"})


def token_chip(token: str) -> Html:
    """A token as it is shown among words: its white space made visible."""
    return tag("span", token.translate(SEEN) if token.strip() else token.translate(SEEN).replace(" ", "␣"), cls="token")


def of_prompt(store: Store, prompt: PromptFeatures, changes: Sequence[FeatureChange]) -> None:
    """The features that fire most strongly on the prompt, each with the token on which it does."""
    heading("On the prompt", "the strongest, with their tokens")
    if not len(prompt.feature_ids):
        sentence("No feature fires on this prompt.")
        return
    ids = prompt.feature_ids[:STRONGEST].tolist()
    labels = queries.labels(store, ids)
    changed = {change.feature_id for change in changes}
    with st.container(key="intervene-choose-prompt", gap=None):
        for row, feature_id in enumerate(ids):
            with st.container(horizontal=True, vertical_alignment="center", gap="small"):
                add_button(
                    feature_id,
                    labels.get(feature_id, f"feature {feature_id}"),
                    FeatureChange(feature_id, "multiply", 2.0),
                    present=feature_id in changed,
                    group="on prompt",
                )
                chip = token_chip(prompt.tokens[int(prompt.places[row])])
                html(chip, tag("span", number(float(prompt.activations[row])), cls="muted"), width="content")


def by_words(store: Store, prompt: PromptFeatures | None, changes: Sequence[FeatureChange]) -> None:
    """A box that finds features by words of their names or by number, and a button for each."""
    words = text_box("Find another feature", "add", resets=(), placeholder="words of its name, or its number")
    if not words.strip():
        return
    ids = queries.find_features(store, words, limit=FOUND)["feature_id"].to_pylist()
    if not ids:
        sentence(f"No label or keyword contains “{words}”.")
        return
    rows = queries.features(store, FeatureFilter(ids=tuple(ids)), limit=None).to_pylist()
    here = dict(zip(prompt.feature_ids.tolist(), prompt.activations.tolist(), strict=True)) if prompt else {}
    changed = {change.feature_id for change in changes}
    with st.container(key="intervene-choose-words", gap=None):
        for row in rows:
            feature_id = int(row["feature_id"])
            change = first_change(feature_id, here.get(feature_id, 0.0), queries.token_maximum(store, feature_id))
            add_button(feature_id, row["label"], change, present=feature_id in changed, group="found")

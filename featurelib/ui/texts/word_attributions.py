"""The words of a text that carry one feature, and on demand what happens without each."""

from __future__ import annotations

import streamlit as st

from featurelib.schema import Refusal
from featurelib.ui.kit.address import page_link, toggle
from featurelib.ui.kit.elements import heading, html, section, sentence
from featurelib.ui.kit.session import Opened, live
from featurelib.ui.texts import highlight
from featurelib.ui.texts.text_list import cut_text

DELETED = (
    "Each word is deleted in turn and the rest embedded again: an experiment, whereas the attributions above are "
    "a sum; but on another text: the other words change their meaning too."
)


def words(opened: Opened, text: str, cut: int | None, feature_id: int, label: str) -> None:
    """The words of the text that carry one feature, and on demand what happens without each."""
    heading(label, f"feature {feature_id}")
    with st.container(horizontal=True, key="onward feature"):
        page_link("feature.py", "open this feature ›", feature=feature_id)
    generation = opened.generation.path
    try:
        html(highlight.carried(text, live().attributions(generation, text, [feature_id])[0], cut=cut))
    except Refusal as refusal:
        sentence(str(refusal))
        html(cut_text(text, cut))
    if toggle("Delete each word in turn", "deleted", resets=(), help=DELETED):
        with section(), st.spinner("Embedding the text without each of its words …", show_time=True):
            html(highlight.deleted(text, live().without_words(generation, text, feature_id), cut=cut))

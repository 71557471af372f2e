"""What each word of a text adds to one feature, and on demand the effect of deleting each."""

from __future__ import annotations

import streamlit as st

from featurelib.schema import Refusal
from featurelib.ui.kit.address import toggle
from featurelib.ui.kit.anchors import page_link
from featurelib.ui.kit.elements import heading, html, section, sentence
from featurelib.ui.kit.session import Opened, live
from featurelib.ui.texts import highlight
from featurelib.ui.texts.text_list import cut_text

DELETED = (
    "Each word is deleted in turn and the rest embedded again. This is an experiment, whereas the attributions above "
    "are a sum; but it is made on another text: the meaning of the other words changes too."
)


def words(opened: Opened, text: str, cut: int | None, feature_id: int, label: str) -> None:
    """Draw what each word of the text adds to one feature, and on demand the effect of deleting each."""
    heading(label, f"feature {feature_id}")
    page_link("feature.py", "open this feature ›", feature=feature_id)
    generation = opened.generation.path
    try:
        html(highlight.attributed_text(text, live().attributions(generation, text, [feature_id])[0], cut=cut))
    except Refusal as refusal:
        sentence(str(refusal))
        html(cut_text(text, cut))
    if toggle("Delete each word in turn", "deleted", resets=(), help=DELETED):
        with section(), st.spinner("Embedding the text without each of its words …", show_time=True):
            html(highlight.deletion_text(text, live().without_words(generation, text, feature_id), cut=cut))

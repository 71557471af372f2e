"""A text of the reader's own: the features that fire on it, what each word adds, the nearest texts of the corpus."""

from __future__ import annotations

import streamlit as st

from featurelib import queries, ui
from featurelib.ui.kit import lists, navigation
from featurelib.ui.texts import by_id, firing, text_input, word_attributions
from featurelib.ui.try_text import lines, one_text

LINES = "One text a line"
LINES_HELP = "Each line is tried by itself, up to 200 of them; blank lines are skipped."
HEIGHT = {True: 260, False: 180}


def examples() -> None:
    """Texts of the corpus to try first."""
    ui.heading("Or one from the corpus")
    names = [name for _, name in by_id.example_texts(store)]
    lists.line_list("examples", [lists.Line(name, {"t": name}, page="try.py") for name in names])


def draw_one_text() -> None:
    """The features of one text, the words of one of them, the nearest texts."""
    left, right = st.columns([1.15, 1], gap="large")
    tried, known = None, {}
    with right, ui.section():
        with st.spinner(navigation.STARTING, show_time=True):
            tried = ui.live().try_closely(opened.generation.path, typed.text)
        chosen = one_text.chosen_feature(tried)
        fired, missed = tried.feature_ids.tolist(), tried.missed_ids[: one_text.BELOW].tolist()
        ids = [*fired, *missed, *([] if chosen is None else [chosen])]
        known = firing.known_features(store, ids)
        one_text.warnings(store, typed.text, tried)
        one_text.features(tried, known, typed, chosen)
    if tried is None:
        return
    with left, ui.section():
        if chosen is not None:
            label = known[chosen]["label"] if chosen in known else queries.feature(store, chosen).label
            word_attributions.words(opened, typed.text, tried.cut, chosen, label)
    with ui.section():
        one_text.nearest_texts(opened, tried, typed)


opened = ui.open_run()
store = opened.store
ui.page(
    "Try a text",
    "Type or paste a text to see which features fire on it, and by which of its words.",
)
by_line = ui.param("lines") == "yes"
typed = text_input.typed_box(
    "Your texts, one a line" if by_line else "Your text",
    placeholder="one text a line …" if by_line else "a sentence, a title, an abstract …",
    limit=text_input.LONGEST if by_line else text_input.LONGEST_ONE,
    height=HEIGHT[by_line],
)
with st.container(horizontal=True, vertical_alignment="center", key="try-controls"):
    st.button("Show their features" if by_line else "Show its features", type="primary")
    ui.toggle(LINES, "lines", resets=("feature", "all", "deleted"), help=LINES_HELP)
if typed.text and not typed.text.strip():
    ui.sentence("The text is only white space; type a word.")
if not typed.text.strip():
    with ui.section():
        examples()
elif by_line:
    with ui.section():
        lines.tried_lines(opened, typed.text)
else:
    draw_one_text()

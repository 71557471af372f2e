"""A text of the reader's own: which features it turns on, by which words, and what of the corpus is near to it."""

from __future__ import annotations

import streamlit as st

from featurelib import queries, ui
from featurelib.ui.kit import lists, navigation
from featurelib.ui.texts import firing, text_input, text_list, word_attributions
from featurelib.ui.try_text import lines, one_text

LINES = "One text a line"
LINES_HELP = "Each line is tried by itself, up to 200 of them; blank lines are passed over."
HEIGHT = {True: 260, False: 180}


def examples() -> None:
    """Beginnings of texts of the corpus to begin with."""
    ui.heading("Or one from the corpus")
    n_texts = text_list.count_texts(store)
    some = [queries.text(store, n_texts * part // 4) for part in (0, 1, 2, 3)] if n_texts else []
    begins = [ui.opening(one.title or one.text, length=90) for one in some]
    lists.line_list("examples", [lists.Line(begin, {"t": begin}, page="try.py") for begin in begins])


def draw_one_text() -> None:
    """The features of one text, the words of one of them, the nearest texts."""
    left, right = st.columns([1.15, 1], gap="large")
    looked, known = None, {}
    with right, ui.section():
        with st.spinner(navigation.STARTING, show_time=True):
            looked = ui.live().try_closely(opened.generation.path, given.text)
        chosen = one_text.chosen_feature(looked)
        asked = [] if chosen is None else [chosen]
        ids = [*looked.feature_ids.tolist(), *looked.missed_ids[: one_text.BELOW].tolist(), *asked]
        known = firing.known_features(store, ids)
        one_text.warnings(given.text, looked)
        one_text.features(looked, known, given, chosen)
    if looked is None:
        return
    with left, ui.section():
        if chosen is not None:
            label = known[chosen]["label"] if chosen in known else queries.feature(store, chosen).label
            word_attributions.words(opened, given.text, looked.cut, chosen, label)
    with ui.section():
        one_text.nearest_texts(opened, looked, given)


opened = ui.open_run()
store = opened.store
ui.page(
    "Try a text",
    "Type or paste a text to see which features fire on it, and by which of its words.",
)
by_line = ui.param("lines") == "yes"
given = text_input.typed_box(
    "Your texts, one a line" if by_line else "Your text",
    placeholder="one text a line …" if by_line else "a sentence, a title, an abstract …",
    limit=text_input.LONGEST if by_line else text_input.LONGEST_ONE,
    height=HEIGHT[by_line],
)
with st.container(horizontal=True, vertical_alignment="center", key="try-controls"):
    st.button("Show their features" if by_line else "Show its features", type="primary")
    ui.toggle(LINES, "lines", resets=("feature", "all", "deleted"), help=LINES_HELP)
if given.text and not given.text.strip():
    ui.sentence("The text is only white space; type a word.")
if not given.text.strip():
    with ui.section():
        examples()
elif by_line:
    with ui.section():
        lines.tried_lines(opened, given.text)
else:
    draw_one_text()

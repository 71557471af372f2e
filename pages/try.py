"""A text of the reader's own: which features it turns on, through the same embedder and SAE."""

from __future__ import annotations

import streamlit as st

from featurelib import queries, ui
from featurelib.queries import FeatureFilter
from featurelib.ui import lists, reading, reading_style, ways

opened = ui.open_run()
store = opened.store
reading_style.style()
ui.page(
    "Try a text", "Type a text of your own and see which features it turns on. It is kept in this page's address alone."
)
words, beside = st.columns([1, 1], gap="large")
with words:
    typed = ways.long_text_box("Your text", "t", placeholder="a sentence, a title, an abstract …")
    st.button("Show its features", type="primary")
if not typed.strip():
    with words, ui.part():
        ui.heading("Or one from the corpus")
        n_texts = reading.count_texts(store)
        examples = [queries.text(store, n_texts * part // 4) for part in (0, 1, 2, 3)] if n_texts else []
        begins = [ui.opening(one.title or one.text, length=90) for one in examples]
        lists.line_list("examples", [lists.Line(begin, {"t": begin}, page="try.py") for begin in begins])
    st.stop()

with beside, ui.part():
    with st.spinner(ways.STARTING, show_time=True):
        tried = ui.live().try_text(opened.generation.path, typed)
    ids = [int(one) for one in tried.feature_ids]
    known = {
        row["feature_id"]: row for row in queries.features(store, FeatureFilter(ids=tuple(ids)), limit=None).to_pylist()
    }
    ways.tried_strip(tried)
    if not ids:
        ui.sentence("No feature fires on it.")
    lists.line_list(
        "fires",
        [
            lists.feature_line(
                one,
                known[one]["label"],
                ui.number(float(activation)),
                ui.percent(known[one]["density"]),
                share=activation / known[one]["max_activation"] if known[one]["max_activation"] else 1.0,
            )
            for one, activation in zip(ids, tried.activations, strict=True)
        ],
        title="Features that fire",
        help=lists.BAR,
        names=("activation", "density"),
    )
    if tried.truncated:
        ui.heading("What the embedder read")
        ui.html(reading.cut_text(typed, tried.cut))
    with st.container(key="read-near"):
        ui.page_link("search.py", "texts near it in meaning ›", by="meaning", q=typed)

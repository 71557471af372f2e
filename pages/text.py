"""One text of the corpus: all of it, what is known of it, the features that fire on it."""

from __future__ import annotations

import streamlit as st

from featurelib import queries, ui
from featurelib.schema import Refusal
from featurelib.ui import lists, reading, reading_style, ways

opened = ui.open_run()
store = opened.store
reading_style.style()
asked = ui.whole_number_param("text")
try:
    text = queries.text(store, asked or 0)
except Refusal as refusal:
    ui.page("Text")
    ui.stop_with(str(refusal))
number = text.text_id
ways.begin_at_top(number)

head, onward = st.columns([5, 3], gap="medium")
with head:
    ui.page(text.title or f"Text {number}", crumbs=f"{opened.name} · text {number}")
with onward:
    ways.moves("text.py", "text", number, last=reading.count_texts(store) - 1)

if text.n_active is not None:
    ways.text_strip(text)
words, beside = st.columns([1.5, 1], gap="large")
with words:
    ui.html(reading.cut_text(text.text, text.cut, start=reading.after_title(text.text, text.title or "")))
    with st.container(key="read-near"):
        ui.page_link("search.py", "texts near it in meaning ›", near=number)
    ui.heading("About this text")
    ui.facts(reading.text_facts(text, store))
with beside, ui.part():
    rows = queries.text_features(store, number).to_pylist()
    if not rows:
        ui.sentence("No feature fires on this text.")
    lists.line_list(
        "fires",
        [
            lists.feature_line(
                row["feature_id"],
                row["label"],
                ui.number(row["activation"]),
                ui.percent(row["density"]),
                share=row["activation"] / row["max_activation"] if row["max_activation"] else 0.0,
            )
            for row in rows
        ],
        title="Features that fire",
        help=lists.BAR,
        names=("activation", "density"),
    )

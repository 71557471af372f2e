"""Why two texts are similar: the cosine of their embeddings, split into the features' contributions."""

from __future__ import annotations

import streamlit as st

from featurelib import queries, ui
from featurelib.schema import Refusal
from featurelib.ui import similar
from featurelib.ui.kit import navigation
from featurelib.ui.texts import chosen_text, text_input

NEAREST = 20

opened = ui.open_run()
store = opened.store
ui.page("Why two texts are similar", "The cosine of their embeddings, split exactly into what the SAE's features add.")
first, second = ui.whole_number_param("a"), ui.whole_number_param("b")
typed = text_input.typed_text()
navigation.begin_at_top(first, second, typed.text)
try:
    a = chosen_text.choose(opened, typed, first)
    if a is None:
        ui.stop_with("Open this page from a text, or name two texts in the address: a=12&b=30.")
    if second is None:
        similar.choices(store, a, chosen_text.nearest(opened, a, limit=NEAREST))
        st.stop()
    b = chosen_text.of_corpus(opened, second)
    with st.spinner(navigation.STARTING, show_time=True):
        similarity = ui.live().similarity(opened.generation.path, a.source, b.source)
    labels = queries.labels(store, similar.named(similarity))
except Refusal as refusal:
    ui.stop_with(str(refusal))

similar.similarity_strip(similarity)
left, right = st.columns([1, 1], gap="large")
with left:
    similar.split(similarity)
    similar.pair_list(similarity, labels)
with right:
    similar.shared_list(similarity, labels)
similar.both_texts(a, b)

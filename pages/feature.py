"""One feature: its name and how well that predicts firing, the texts and words that activate it, related features."""

from __future__ import annotations

import random

import streamlit as st

from featurelib import queries, ui
from featurelib.schema import MIN_BOTH, Refusal
from featurelib.ui.feature import (
    drawing,
    explanation,
    fidelity,
    flags,
    header,
    logits,
    relatives,
    samples,
    tokens,
    top_texts,
)
from featurelib.ui.kit import coactivation, lists, navigation
from featurelib.ui.texts import metadata

BESIDE = 8
SUPPORTS = [str(MIN_BOTH), "10", "20", "50"]
ONWARD = {"map.py": "on the map ›", "textmap.py": "its texts on the text map ›"}

opened = ui.open_run()
store = opened.store
asked = ui.whole_number_param("feature")
try:
    if asked is None:
        first = queries.random_feature(store, 0.0)
        seen = st.session_state.get(f"last seen in {opened.name}", first)
        asked = seen if seen < queries.counts(store).n_features else first
    feature = queries.feature(store, asked)
    last = queries.counts(store).n_features - 1
    drawn = feature.feature_id if feature.dead else queries.random_feature(store, random.random())
except Refusal as refusal:
    ui.page("Feature")
    ui.stop_with(str(refusal))
feature_id = feature.feature_id
st.session_state[f"last seen in {opened.name}"] = feature_id
navigation.begin_at_top(feature_id, ui.param("page"), ui.param("column"), ui.param("value"))
columns = metadata.offered_columns(store, ui.param("column"))


@ui.fragment
def test_box() -> None:
    """Test a sentence on this feature, without drawing the page again."""
    typed = header.test_line()
    if typed:
        with ui.section(), st.spinner(navigation.STARTING, show_time=True):
            header.verdict(ui.live().pre_activation(opened.generation.path, typed, feature_id))


header.feature_head(opened.name, feature, header.judge(store, feature), last=last, drawn=drawn)
with ui.section():
    header.themes(queries.feature_themes(store, feature_id).to_pylist())
with ui.section():
    explanation.explained(queries.explanation(store, feature_id))
with ui.section():
    flags.flags(queries.feature_audit(store, feature_id).to_pylist())
shown_texts: drawing.Drawing | None = None
texts, beside = st.columns([2.1, 1], gap="large")

with texts, ui.section():
    if feature.dead:
        ui.sentence(header.DEAD.format(ui.count(feature.n_texts)))
        shown_texts = drawing.Drawing(opened, feature, colours=False)
        samples.near_misses(shown_texts)
    else:
        shown_texts = top_texts.texts(opened, feature, columns)

with beside:
    with ui.section():
        fidelity.name(store, feature)
    header.feature_numbers(feature)
    if not feature.dead:
        with ui.section():
            ui.heading("Activation", f"{ui.count(feature.n_active)} texts", help=header.HISTOGRAM)
            # means, sums and counts of tokens' activations have no threshold
            threshold = feature.threshold if queries.pooling(store) in (None, "max") else None
            lists.activation_histogram(queries.histogram(store, feature_id).to_pylist(), threshold)
        if queries.has_tokens(store):
            with ui.section():
                tokens.tokens(store, feature)
    test_box()
    if queries.has_tokens(store):
        with ui.section():
            logits.logits(store, feature_id)
    if not feature.dead:
        with ui.section():
            by, support = coactivation.together_head(SUPPORTS)
            rows = queries.coactivations(store, feature_id, limit=BESIDE, min_both=support, by=by)
            coactivation.together(rows.to_pylist(), by, support)
    with ui.section():
        relatives.relatives(queries.relatives(store, feature_id).to_pylist())
    with ui.section():
        near = queries.neighbours(store, feature_id, limit=BESIDE).to_pylist()
        header.cosines("near", "Nearest directions", near)
        onward = [ui.link(page, words, {"feature": feature_id}) for page, words in ONWARD.items()]
        nearest = near[0]["feature_id"] if near else None
        onward.append(ui.link("compare.py", "compare with the nearest ›", {"a": feature_id, "b": nearest}))
        ui.page_links(*onward, ui.link("combine.py", "combine with other features ›", {"with": feature_id}))
        rows = queries.opposites(store, feature_id, limit=BESIDE)
        header.cosines("far", "Most opposite directions", rows.to_pylist())
    if columns and not feature.dead:
        with ui.section():
            by = ui.param("column") if ui.param("column") in columns else columns[0]
            rows = queries.metadata_values(store, feature_id, by, limit=BESIDE)
            header.values_list(feature_id, by, rows.to_pylist())
if shown_texts is not None:
    shown_texts.colour_later()

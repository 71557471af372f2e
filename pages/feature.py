"""One feature: how it was named, what fires it, what it lies beside."""

from __future__ import annotations

import random
from itertools import groupby

import streamlit as st

from featurelib import queries, ui
from featurelib.schema import MIN_BOTH, TOP_TEXTS, Refusal
from featurelib.ui import lists, portrait, reading, reading_style, ways

PER_PAGE = 10
BESIDE = 8
VIEWS = {"top": "Top texts", "bands": "Quantile bands"}
SUPPORTS = [str(MIN_BOTH), "10", "20", "50"]

opened = ui.open_run()
store = opened.store
reading_style.style()
asked = ui.whole_number_param("feature")
try:
    if asked is None:
        first = queries.random_feature(store, 0.0)
        asked = st.session_state.get(f"last seen in {opened.name}", first)
    feature = queries.feature(store, asked)
    last = queries.counts(store).n_features - 1
    drawn = feature.feature_id if feature.dead else queries.random_feature(store, random.random())
except Refusal as refusal:
    ui.page("Feature")
    ui.stop_with(str(refusal))
feature_id = feature.feature_id
st.session_state[f"last seen in {opened.name}"] = feature_id
ways.begin_at_top(feature_id, ui.param("page"), ui.param("column"), ui.param("value"))
columns = reading.filter_columns(store)


def choose_texts() -> tuple[str | None, str | None, int]:
    """The metadata column and value that the top texts are narrowed to, and how many texts there are then."""
    if not columns:
        return None, None, min(feature.n_active, TOP_TEXTS)
    column = portrait.column_box(columns)
    if column not in columns:
        return None, None, min(feature.n_active, TOP_TEXTS)
    rows = queries.metadata_values(store, feature_id, column, limit=reading.MOST_VALUES).to_pylist()
    counted = {row["value"]: row["n_texts"] for row in rows}
    value = portrait.value_box(counted)
    return column, value, counted.get(value, 0)


def top_texts(column: str | None, value: str | None, n_texts: int) -> None:
    """The strongest texts, ten at a time."""
    place = st.container()
    first = ui.pager(n_texts, PER_PAGE)
    rows = queries.top_texts(store, feature_id, limit=PER_PAGE, offset=first, column=column, value=value).to_pylist()
    shown = [reading.text_of(row, store, feature.max_activation) for row in rows]
    with place:
        reading.text_list("top", reading.with_features(shown, store, without=feature_id), before="also active:")


def quantile_bands() -> None:
    """Texts drawn from each quarter of its activations, so that not only the extremes are seen."""
    for band, rows in groupby(queries.bands(store, feature_id).to_pylist(), lambda row: row["band"]):
        members = list(rows)
        portrait.band_head(members)
        shown = [reading.text_of(row, store, feature.max_activation) for row in members]
        reading.text_list(f"band{band}", [(one, []) for one in shown])


@st.fragment
def test_box() -> None:
    """Test a sentence of the reader's own on this feature, without drawing the page again."""
    typed = portrait.test_line()
    if typed:
        with ui.part(), st.spinner(ways.STARTING, show_time=True):
            portrait.verdict(ui.live().pre_activation(opened.generation.path, typed, feature_id))


portrait.feature_head(opened.name, feature, last=last, drawn=drawn)
with ui.part():
    ui.chips([(row["keyword"], ui.number(row["score"])) for row in queries.keywords(store, feature_id).to_pylist()])
portrait.feature_strip(feature)
texts, beside = st.columns([2.1, 1], gap="large")

with texts, ui.part():
    if feature.dead:
        ui.sentence(portrait.DEAD.format(ui.count(feature.n_texts)))
    else:
        with st.container(horizontal=True, vertical_alignment="center", key="read-controls"):
            view = ui.segments("Texts", "view", list(VIEWS), show=VIEWS.get, label_visibility="collapsed")
            chosen = choose_texts() if view == "top" else None
        if chosen is None:
            quantile_bands()
        else:
            top_texts(*chosen)

with beside:
    if not feature.dead:
        with ui.part():
            ui.heading("Activation", f"{ui.count(feature.n_active)} texts")
            lists.activation_histogram(queries.histogram(store, feature_id).to_pylist(), feature.gate)
    test_box()
    if not feature.dead:
        with ui.part():
            support = portrait.together_head(SUPPORTS)
            portrait.together(
                queries.coactivations(store, feature_id, limit=BESIDE, min_both=support).to_pylist(), support
            )
    with ui.part():
        portrait.cosines("near", "Nearest directions", queries.neighbours(store, feature_id, limit=BESIDE).to_pylist())
        portrait.cosines(
            "far", "Most opposite directions", queries.opposites(store, feature_id, limit=BESIDE).to_pylist()
        )
    if columns and not feature.dead:
        with ui.part():
            by = ui.param("column") if ui.param("column") in columns else columns[0]
            portrait.values_list(
                feature_id, by, queries.metadata_values(store, feature_id, by, limit=BESIDE).to_pylist()
            )

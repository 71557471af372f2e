"""Two features side by side: on which texts both fire, on which each alone, and what is near to both."""

from __future__ import annotations

import streamlit as st

from featurelib import ui
from featurelib.schema import Refusal
from featurelib.ui import compare

run = ui.open_run()
store = run.store
ui.page("Compare features", "Two features: the texts of both, of each alone, and what is near to both.")
try:
    pair = compare.pair_param(store)
except Refusal as refusal:
    ui.stop_with(str(refusal))
if pair is None:
    with ui.section():
        compare.choose(store)
    ui.stop_with("Choose two features here, or name them in the address: a=7&b=12.")
compare.heads(store, pair)
first, second = pair.first.feature_id, pair.second.feature_id
with ui.section():
    compare.numbers(store, pair)
    compare.texts(store, "both", "Both fire", [first, second])
    left, right = st.columns(2, gap="large")
    with left:
        compare.texts(store, "first", f"Only {pair.first.label}", [first], [second])
    with right:
        compare.texts(store, "second", f"Only {pair.second.label}", [second], [first])
with ui.section():
    compare.common_neighbours(store, pair)

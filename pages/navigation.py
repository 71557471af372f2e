"""The script of the app: names the pages (order, titles, sections), draws the sidebar, runs the page asked for."""

from __future__ import annotations

import streamlit as st

from featurelib import ui

MENU = {
    "Explore": [
        ("overview.py", "Overview"),
        ("features.py", "Features"),
        ("feature.py", "Feature"),
        ("map.py", "Map"),
        ("families.py", "Families"),
    ],
    "Texts": [
        ("search.py", "Search"),
        ("try.py", "Try a text"),
        ("steer.py", "Steer"),
        ("intervene.py", "Intervene"),
        ("textmap.py", "Text map"),
        ("combine.py", "Combine"),
    ],
    "Explain": [
        ("columns.py", "Columns"),
        ("slices.py", "Compare slices"),
        ("concept.py", "Concept"),
        ("classify.py", "Classify"),
        ("experiments.py", "Experiments"),
        ("transfer.py", "Transfer"),
    ],
    "Trust": [
        ("evaluation.py", "Evaluation"),
        ("audit.py", "Audit"),
        ("splitting.py", "Splitting"),
        ("matching.py", "SAE against SAE"),
    ],
}
HIDDEN = [("text.py", "Text"), ("similar.py", "Similar texts"), ("compare.py", "Compare features")]
NAMED = (*(page for section in MENU.values() for page in section), *HIDDEN)

st.set_page_config(page_title="Feature browser", layout="wide")
with ui.turn():
    ui.style()
    ui.follow_links()
    shown = st.navigation(ui.named_pages(NAMED, first="overview.py"), position="hidden")
    ui.sidebar(MENU, f"{shown.url_path or 'overview'}.py")
    ui.warn_of_damage()
    ui.say_if_being_built()
    ui.say_fit()
    with ui.section():  # Streamlit logs the traceback of what reaches it, and a Refusal is no error of ours
        shown.run()
    ui.settle(shown.title)

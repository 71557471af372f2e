"""The columns of the table of all features: heads, widths, formats, what each number is."""

from __future__ import annotations

import streamlit as st

ORDERS = {"falling": "descending", "rising": "ascending"}
"""The orders of a table as addresses have named them from the first version on, and the words for them."""
FEATURES = {
    "feature_id": st.column_config.NumberColumn("id", width=50, format="%d"),
    "label": st.column_config.TextColumn("feature", width=320),
    "keywords": st.column_config.TextColumn("keywords", width=160),
    "auroc": st.column_config.NumberColumn(
        "AUROC",
        width=66,
        format="%.2f",
        help="How well a text's similarity to the name predicts firing, on label test texts: 0.5 is chance, 1 perfect.",
    ),
    "ap": st.column_config.NumberColumn(
        "AP", width=52, format="%.2f", help="Average precision of the same; chance is the density."
    ),
    "n_active": st.column_config.NumberColumn(
        "texts", width=62, format="localized", help="The number of texts on which it fires."
    ),
    "density": st.column_config.NumberColumn(
        "density", width=72, format="percent", help="The share of texts on which it fires."
    ),
    "max_activation": st.column_config.NumberColumn("maximum", width=80, format="%.3f", help="Its largest activation."),
    "mean_activation": st.column_config.NumberColumn(
        "mean", width=70, format="%.3f", help="Its mean activation where it fires."
    ),
    "gate": st.column_config.NumberColumn(
        "threshold", width=76, format="%.3f", help="The feature fires where its pre-activation exceeds it."
    ),
    "cluster": st.column_config.NumberColumn(
        "cluster", width=65, format="%d", help="Its cluster on the map; −1 is none."
    ),
}

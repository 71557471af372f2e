"""What is picked on the map: one feature with its strongest texts, or some as a list."""

from __future__ import annotations

import pyarrow as pa
import streamlit as st

from featurelib import queries
from featurelib.store import Store
from featurelib.ui.address import page_link
from featurelib.ui.downloads import download
from featurelib.ui.elements import chips, count, facts, heading, number, percent, sentence
from featurelib.ui.opened import Opened
from featurelib.ui.reading import title_column
from featurelib.ui.rows import Card, feature_rows, text_card

LISTED = 25
TOP = 3


def beside(store: Store, feature_id: int) -> None:
    """One feature, beside the map."""
    feature = queries.feature(store, feature_id)
    heading(feature.label, f"feature {feature.feature_id}")
    words = [(row["keyword"], "") for row in queries.keywords(store, feature_id).slice(0, 6).to_pylist()]
    chips(words)
    with st.container(key="onward open"):
        page_link("feature.py", "open this feature ›", feature=feature_id)
    facts(
        [
            (
                "fires on",
                f"{percent(feature.density)} · {count(feature.n_active)} of {count(feature.n_texts)} texts",
            ),
            ("maximum activation", number(feature.max_activation)),
        ]
    )
    title = title_column(store)
    for row in queries.top_texts(store, feature_id, limit=TOP).to_pylist():
        card = Card(
            row["text_id"],
            row["text"],
            str(row.get(title) or ""),
            activation=row["activation"],
            maximum=feature.max_activation,
        )
        text_card(card, key=f"map {row['text_id']}", length=150)


def listed(run: Opened, ids: list[int], title: str, key: str) -> None:
    """Features that were searched for or lassoed, as a list with its download."""
    which = queries.FeatureFilter(ids=tuple(ids))
    heading(title, "the densest first" if len(ids) > 1 else "")
    rows = queries.features(run.store, which, limit=LISTED).to_pylist()
    feature_rows(((row["feature_id"], row["label"], percent(row["density"])) for row in rows), key=key)
    if len(ids) > LISTED:
        sentence(f"{len(ids) - LISTED:,} more are in the download.")

    def all_found() -> pa.Table:
        return queries.features(run.store, which, limit=None)

    download(f"{run.name}-{key}", all_found, key=key, what="Download")

"""The directions of all features, laid out so that near ones are near: click one to see it, lasso some to list them."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import streamlit as st

from featurelib import charts, queries, ui

COLOURS = {"density": "Density", "activation": "Max. activation", "cluster": "Cluster"}
DRAGS = {"pan": "Move", "lasso": "Lasso"}
LISTED = 25
TOP = 3


def beside(store: Any, feature_id: int) -> None:
    """One feature, beside the map."""
    feature = queries.feature(store, feature_id)
    ui.heading(feature.label, f"feature {feature.feature_id}")
    words = [(row["keyword"], "") for row in queries.keywords(store, feature_id).slice(0, 6).to_pylist()]
    ui.chips(words)
    ui.facts(
        [
            (
                "fires on",
                f"{ui.percent(feature.density)} · {ui.count(feature.n_active)} of {ui.count(feature.n_texts)} texts",
            ),
            ("maximum activation", ui.number(feature.max_activation)),
        ]
    )
    for row in queries.top_texts(store, feature_id, limit=TOP).to_pylist():
        card = ui.Card(row["text_id"], row["text"], activation=row["activation"], maximum=feature.max_activation)
        ui.text_card(card, key=f"map {row['text_id']}", length=150)
    ui.page_link("feature.py", "Open this feature", feature=feature_id)


def matching(run: ui.Opened, words: str) -> list[int] | None:
    """The features that the search box lights up, None when it is empty."""
    if not words:
        return None
    return queries.features(run.store, queries.FeatureFilter(words=words), limit=None)["feature_id"].to_pylist()


def listed(run: ui.Opened, ids: list[int], title: str, key: str) -> None:
    """Features that were searched for or lassoed, as a list with its download."""
    which = queries.FeatureFilter(ids=tuple(ids))
    ui.heading(title, "the densest first" if len(ids) > 1 else "")
    rows = queries.features(run.store, which, limit=LISTED).to_pylist()
    ui.feature_rows(((row["feature_id"], row["label"], ui.percent(row["density"])) for row in rows), key=key)
    if len(ids) > LISTED:
        ui.sentence(f"{len(ids) - LISTED:,} more are in the download.")

    def all_found() -> pa.Table:
        return queries.features(run.store, which, limit=None)

    ui.download(f"{run.name}-{key}", all_found, key=key, what="Download")


@st.fragment
def draw(run: ui.Opened) -> None:
    """The controls, the map and what is chosen in it."""
    with st.container(horizontal=True, vertical_alignment="bottom", key="map-controls"):
        words = ui.text_box("Light up", "q", placeholder="words of labels and keywords", type="search")
        colour = ui.segments("Colour by", "colour", list(COLOURS), show=COLOURS.get)
        drag = ui.segments("Drag to", "drag", list(DRAGS), show=DRAGS.get)
    with ui.part():
        places = queries.layout(run.store)
        lit = matching(run, words)
        wide, narrow = st.columns([1.85, 1], gap="large")
        with wide:
            figure = charts.feature_map(places, colour, ui.colours(), lit=lit, drag=drag)
            ids = charts.chosen_ids(ui.chart(figure, key="map", select=("points", "lasso"), chosen=choose, zoom=True))
        chosen = ui.count_param("feature")
        with narrow, ui.part():
            if len(ids) > 1:
                listed(run, ids, f"{len(ids):,} features in the lasso", "lasso")
            elif chosen is not None:
                beside(run.store, chosen)
            elif lit is not None:
                listed(
                    run, lit, f"{len(lit):,} feature{'s match' if len(lit) != 1 else ' matches'} “{words}”", "matches"
                )
            else:
                ui.sentence("Click a point to see its feature here; choose Lasso and draw around some to list them.")


def choose(selection: dict) -> None:
    """Write the feature that was clicked into the address."""
    ids = charts.chosen_ids(selection)
    ui.set_params(feature=ids[0] if len(ids) == 1 else None)


run = ui.open_run()
ui.page("Map", "Each point is a feature; near points have decoder directions that are alike (UMAP on cosine).")
draw(run)

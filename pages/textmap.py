"""The texts, laid out so that near ones are near, coloured by a feature: click one to read it, lasso some to list."""

from __future__ import annotations

from typing import Any

import streamlit as st

from featurelib import charts, queries, ui
from featurelib.schema import Refusal
from featurelib.ui import textmap
from featurelib.ui.texts import metadata, text_list

FEATURE = "the feature"
DRAGS = {"pan": "Move", "lasso": "Lasso"}


def chosen_feature(run: ui.Opened) -> int:
    """The feature of the address, else the one that was looked at last, else the strongest."""
    asked = ui.whole_number_param("feature")
    asked = st.session_state.get(f"last seen in {run.name}") if asked is None else asked
    if asked is not None:
        return asked
    strongest = queries.features(run.store, sort="max_activation", limit=1)["feature_id"].to_pylist()
    return strongest[0] if strongest else 0


def coloured_by(run: ui.Opened, feature: queries.Feature, n_coloured: int, n_placed: int) -> None:
    """What the map is coloured by, how many of its points that is, and the way to the feature."""
    of_all = "" if n_placed == feature.n_texts else f" ({ui.count(feature.n_texts)} in all)"
    ui.heading(feature.label, f"fires on {ui.count(n_coloured)} of the {ui.count(n_placed)} texts here{of_all}")
    ui.page_link("feature.py", "open this feature ›", feature=feature.feature_id)


@ui.fragment
@ui.section()
def draw(run: ui.Opened) -> None:
    """The controls, the map and what is chosen in it."""
    store = run.store
    columns = metadata.offered_columns(store, ui.param("colour"))
    with st.container(horizontal=True, vertical_alignment="bottom", key="map-controls"):
        ui.text_box("Find a feature", "q", placeholder="words of labels and keywords", type="search")
        by = ui.choice_box("Colour by", "colour", [FEATURE, *columns], resets=(), width=160)
        metadata.how_many_offered(store, address="colour")
        drag = ui.segments("Drag to", "drag", list(DRAGS), show=DRAGS.get, resets=())
    with ui.section():
        textmap.feature_links(run.store, ui.param("q"))
        places = queries.text_layout(store)
        if not places.num_rows:
            raise Refusal("no text of this run has a place on the map; build it again from the stage layout on.")
        feature = queries.feature(store, chosen_feature(run))
        wide, narrow = st.columns([1.85, 1], gap="large")
        with wide:
            activations = textmap.by_feature(store, feature.feature_id)
            fires = activations.values.is_valid()
            if by == FEATURE:
                coloured_by(run, feature, places.num_rows - activations.values.null_count, places.num_rows)
            colouring = activations if by == FEATURE else textmap.by_column(store, by, ui.colours())
            text_id = ui.count_param("text")
            figure = charts.text_map(places, colouring, ui.colours(), drag=drag, marked=text_id)
            picked = ui.chart(figure, key="textmap", select=("points", "lasso"), chosen=choose, zoom=True)
            ids = charts.chosen_ids(picked)
            note(run, places.num_rows)
        with narrow, ui.section():
            if len(ids) > 1:
                pairs = places["text_id"].filter(fires).to_pylist(), activations.values.drop_null().to_pylist()
                textmap.texts_listed(run, ids, dict(zip(*pairs, strict=True)), feature.label)
            elif text_id is not None:
                textmap.text_beside(store, text_id)
            else:
                ui.sentence("Click a point to read its text; choose Lasso and draw around points to list them.")


def note(run: ui.Opened, n_placed: int) -> None:
    """That texts are missing, where not all have a place."""
    n_texts = text_list.count_texts(run.store)
    if n_placed < n_texts:
        ui.sentence(
            f"{ui.count(n_placed)} of the {ui.count(n_texts)} texts are on the map, drawn at random by the run's seed."
        )


def choose(selection: dict[str, Any]) -> None:
    """Write the text that was clicked into the address; a lasso leaves the address, and so the figure, as it is."""
    ids = charts.chosen_ids(selection)
    if len(ids) < 2:
        ui.set_params(text=ids[0] if ids else None)


run = ui.open_run()
ui.page(
    "Text map",
    "Each point is a text; near points have similar embeddings (UMAP on cosine). Large distances say little.",
)
draw(run)

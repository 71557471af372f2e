"""The texts, laid out so that near ones are near, coloured by a feature: click one to read it, lasso some to list."""

from __future__ import annotations

from functools import partial
from typing import Any

import streamlit as st

from featurelib import charts, queries, ui
from featurelib.schema import Refusal
from featurelib.ui import textmap
from featurelib.ui.texts import metadata, text_list
from featurelib.ui.texts.lasso import forget_button, keep_lasso, lasso_param
from featurelib.ui.texts.map_chart import Picks, drag_box, map_chart

FEATURE = "the feature"


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
        drag = drag_box()
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
            # in a container of its own: with more or fewer elements before it the map would be mounted anew
            with st.container(key="map-key"):
                if by == FEATURE:
                    coloured_by(run, feature, places.num_rows - activations.values.null_count, places.num_rows)
                colouring = activations if by == FEATURE else textmap.by_column(store, by)
            called = f"feature {feature.feature_id}" if by == FEATURE else f"column {by}"
            text_id, lasso = ui.count_param("text"), lasso_param(f"textmap {run.name}", places["text_id"])
            map_chart(
                textmap.figure_of(run, places),
                Picks(text_id, lasso, drag),
                key="textmap",
                name=f"{run.name}-textmap",
                chosen=partial(choose, run.name),
                picture=partial(textmap.picture_of, run, places, colouring, lasso),
                paint=textmap.paint_of(places, called, colouring),
            )
            note(run, places.num_rows)
        with narrow, st.container(key="beside-map"), ui.section():
            if text_id is not None:
                textmap.text_beside(store, text_id)
            elif not lasso:
                ui.sentence("Click a point to read its text; choose Lasso and draw around points to list them.")
            if lasso:
                pairs = places["text_id"].filter(fires).to_pylist(), activations.values.drop_null().to_pylist()
                textmap.texts_listed(run, lasso, dict(zip(*pairs, strict=True)), feature.label, text_id)
                forget_button(f"textmap {run.name}")


def note(run: ui.Opened, n_placed: int) -> None:
    """That texts are missing, where not all have a place."""
    n_texts = text_list.count_texts(run.store)
    if n_placed < n_texts:
        ui.sentence(
            f"{ui.count(n_placed)} of the {ui.count(n_texts)} texts are on the map, drawn at random by the run's seed."
        )


def choose(run_name: str, selection: dict[str, Any]) -> None:
    """Write the text that was clicked, or the lasso, into the address; a pick keeps the lasso."""
    ids = charts.chosen_ids(selection)
    if len(ids) > 1:
        keep_lasso(f"textmap {run_name}", ids)
    else:
        ui.set_params(text=ids[0] if ids else None)


run = ui.open_run()
ui.page(
    "Text map",
    "Each point is a text; near points have similar embeddings (UMAP on cosine). Large distances say little.",
)
with ui.section():
    ui.html(textmap.titles(run.store))
draw(run)

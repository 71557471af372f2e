"""All features on a map, by what fires them or by direction: click one, lasso some, or choose a theme or cluster."""

from __future__ import annotations

from functools import partial
from typing import Any

import streamlit as st

from featurelib import charts, queries, ui
from featurelib.ui.kit import lists
from featurelib.ui.map import picked
from featurelib.ui.map.colouring import colour_box, key_of
from featurelib.ui.map.figure import Drawn, figure_of, layout_box, names_of, paint_of, picture_of
from featurelib.ui.texts.lasso import forget_button, keep_lasso, lasso_param
from featurelib.ui.texts.map_chart import Picks, drag_box, map_chart

BEGIN = 10


def matching(run: ui.Opened, words: str) -> list[int] | None:
    """The features that match the search box, the most relevant first; None when it is empty."""
    return queries.ranked(run.store, words).feature_ids if words.strip() else None


def hint(run: ui.Opened) -> None:
    """How the map is used, and where to begin."""
    ui.sentence("Click a point to see its feature; choose Lasso and draw around points to list them.")
    strongest = queries.features(run.store, sort="max_activation", limit=BEGIN).to_pylist()
    begin = [lists.feature_line(row["feature_id"], row["label"], ui.number(row["max_activation"])) for row in strongest]
    lists.line_list("begin", begin, title="Or start with one of the strongest", names=("maximum",))


@ui.fragment
@ui.section()
def draw(run: ui.Opened) -> None:
    """The controls, the map and what is chosen in it."""
    with st.container(horizontal=True, vertical_alignment="bottom", key="map-controls"):
        words = ui.text_box("Highlight", "q", placeholder="words of labels and keywords", type="search")
        places = layout_box(run)
        colour = colour_box(run)
        drag = drag_box()
    with ui.section():
        drawn = Drawn(queries.layout(run.store, places, colour.clusters, colour.level), places, colour)
        wide, narrow = st.columns([1.85, 1], gap="large")
        with narrow:
            cluster = picked.cluster_box(run.store, colour.kind, colour.level)
        inside = None
        if cluster is not None:
            inside = queries.cluster_features(run.store, colour.kind, cluster, colour.level)
        lit = matching(run, words) if inside is None else inside["feature_id"].to_pylist()
        chosen, lasso = ui.count_param("feature"), lasso_param(f"map {run.name}", drawn.points["feature_id"])
        shown = lasso if lit is None else lit
        with wide:
            # in a container of its own: with more or fewer elements before it the map would be mounted anew
            with st.container(key="map-key"):
                key_of(run.store, colour, ui.colours())
            map_chart(
                figure_of(run, drawn),
                Picks(chosen, shown, drag),
                key="map",
                name=f"{run.name}-map",
                chosen=partial(choose, run.name),
                picture=partial(picture_of, run, drawn, shown),
                paint=paint_of(run, drawn),
            )
        with narrow, st.container(key="beside-map"), ui.section():
            if chosen is not None:
                picked.beside(run.store, chosen, n_texts=1 if lasso else picked.TOP)
            elif inside is not None and cluster is not None:
                picked.cluster_beside(run, colour.kind, colour.level, cluster, inside)
            elif lit is not None:
                picked.found(run, lit, words)
            elif not lasso:
                hint(run)
            if lasso:
                picked.lassoed(run, lasso, chosen)
                forget_button(f"map {run.name}")


def choose(run_name: str, selection: dict[str, Any]) -> None:
    """Write the feature that was clicked, or the lasso, into the address; a pick keeps the lasso."""
    ids = charts.chosen_ids(selection)
    if len(ids) > 1:
        keep_lasso(f"map {run_name}", ids)
    else:
        ui.set_params(feature=ids[0] if ids else None)


run = ui.open_run()
ui.page("Map", "Each point is a feature. Large distances say little: read what is near.")
with ui.section():
    ui.html(names_of(run.store))
draw(run)

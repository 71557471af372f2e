"""The directions of all features, laid out so that near ones are near: click one, lasso some, or choose a cluster."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import streamlit as st

from featurelib import charts, queries, ui
from featurelib.ui.kit import lists
from featurelib.ui.kit.theme import Colours
from featurelib.ui.map import beside, cluster_beside, cluster_box, listed

COLOURS = {"density": "Density", "activation": "Max. activation", "cluster": "Clusters", "topic": "Topics"}
CLUSTERS = (
    "Clusters are dense groups of directions, topics dense groups of the features' labels as the embedder reads them "
    "(HDBSCAN after UMAP to 5 axes, both). Features of no group are grey."
)
DRAGS = {"pan": "Move", "lasso": "Lasso"}
BEGIN = 10
NAMED = 5_000
"""With more features the browser gets no names, and no figure anew at each click for a ring around the chosen one."""


def matching(run: ui.Opened, words: str) -> list[int] | None:
    """The features that match the search box, None when it is empty."""
    if not words:
        return None
    rows = queries.features(run.store, queries.FeatureFilter(words=words), limit=None)
    ids: list[int] = rows["feature_id"].to_pylist()
    return ids


def figure_of(run: ui.Opened, places: pa.Table, colour: str, drag: str, lit: list[int] | None) -> Any:
    """The map without a ring, from memory where nothing is lit."""
    kind = "cluster" if colour == "topic" else colour

    def draw(seen: Colours) -> Any:
        names = None
        if places.num_rows <= NAMED:  # with more points the browser gets no names
            known = queries.labels(run.store, places["feature_id"].to_pylist())
            names = list(known.values())
        return charts.feature_map(places, kind, seen, highlighted=lit, drag=drag, names=names)

    return draw(ui.colours()) if lit is not None else ui.remembered(run.store, f"map {colour} {drag}", draw)


@ui.fragment
@ui.section()
def draw(run: ui.Opened) -> None:
    """The controls, the map and what is chosen in it."""
    with st.container(horizontal=True, vertical_alignment="bottom", key="map-controls"):
        words = ui.text_box("Highlight", "q", placeholder="words of labels and keywords", type="search")
        colour = ui.segments("Colour by", "colour", list(COLOURS), show=COLOURS.get, resets=("cluster",), help=CLUSTERS)
        drag = ui.segments("Drag to", "drag", list(DRAGS), show=DRAGS.get)
        cluster = cluster_box(run.store, colour)
    with ui.section():
        places = queries.topic_layout(run.store) if colour == "topic" else queries.layout(run.store)
        inside = queries.cluster_features(run.store, colour, cluster) if cluster is not None else None
        lit = matching(run, words) if inside is None else inside["feature_id"].to_pylist()
        chosen = ui.count_param("feature")
        wide, narrow = st.columns([1.85, 1], gap="large")
        with wide:
            figure = figure_of(run, places, colour, drag, lit)
            if places.num_rows <= NAMED:
                figure = charts.with_ring(figure, places, chosen, ui.colours())
            ids = charts.chosen_ids(ui.chart(figure, key="map", select=("points", "lasso"), chosen=choose, zoom=True))
        with narrow, ui.section():
            if len(ids) > 1:
                listed(run, ids, f"{len(ids):,} features in the lasso", "lasso")
            elif chosen is not None:
                beside(run.store, chosen)
            elif inside is not None and cluster is not None:
                cluster_beside(run, colour, cluster, inside)
            elif lit is not None:
                listed(
                    run, lit, f"{len(lit):,} feature{'s match' if len(lit) != 1 else ' matches'} “{words}”", "matches"
                )
            else:
                ui.sentence("Click a point to see its feature; choose Lasso and draw around points to list them.")
                strongest = queries.features(run.store, sort="max_activation", limit=BEGIN).to_pylist()
                begin = [
                    lists.feature_line(row["feature_id"], row["label"], ui.number(row["max_activation"]))
                    for row in strongest
                ]
                lists.line_list("begin", begin, title="Or start with one of the strongest", names=("maximum",))


def choose(selection: dict[str, Any]) -> None:
    """Write the feature that was clicked into the address; a lasso leaves the address and the figure as they are.

    The browser forgets a lasso when the figure changes, as it would with the ring around a feature chosen before.
    """
    ids = charts.chosen_ids(selection)
    if len(ids) < 2:
        ui.set_params(feature=ids[0] if ids else None)


run = ui.open_run()
ui.page("Map", "Each point is a feature; near points have similar decoder directions (UMAP on cosine).")
draw(run)

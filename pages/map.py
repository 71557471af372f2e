"""All features on a map, by what fires them or by direction: click one, lasso some, or choose a theme or cluster."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import streamlit as st

from featurelib import charts, queries, ui
from featurelib.schema import REGIONS
from featurelib.ui.kit import lists
from featurelib.ui.kit.theme import Colours
from featurelib.ui.map import beside, cluster_beside, cluster_box, listed

COLOURS = {
    "theme": "Themes",
    "density": "Density",
    "activation": "Max. activation",
    "cluster": "Clusters",
    "topic": "Topics",
}
COLOUR_HELP = (
    "Themes are the coarsest regions of the map of what fires features (Ward). Clusters are dense groups of "
    "directions, topics dense groups of the features' labels as the embedder reads them (HDBSCAN after UMAP to 5 axes, "
    "both); features of no group are grey."
)
LAYOUT_HELP = (
    "Features are near each other where the texts on which they fire are alike (UMAP of their mean embeddings, "
    "weighted by activation), or where their decoder directions are (UMAP on cosine)."
)
DRAGS = {"pan": "Move", "lasso": "Lasso"}
LAYOUTS = {"firing": "what fires them", "directions": "directions"}
BEGIN = 10
NAMED = 5_000
"""With more features the browser gets no names, and no figure anew at each click for a ring around the chosen one."""


@dataclass(frozen=True)
class Drawn:
    """The map as the controls want it."""

    points: pa.Table
    """The features and their places."""
    places: str
    """By what they are placed: one of LAYOUTS."""
    colour: str
    """By what they are coloured: one of COLOURS."""
    drag: str
    """What dragging does: one of DRAGS."""


def layout_help(run: ui.Opened) -> str:
    """What the layouts are, and how much nearness each keeps."""
    measured = (run.generation.describe().get("layout") or {}).get("faithfulness") or {}
    kept = [
        f"{LAYOUTS[name]}: trustworthiness {ui.number(of['trustworthiness'], 2)}, neighbours kept "
        f"{ui.percent(of['preservation'])}"
        for name, of in measured.items()
        if of["trustworthiness"] is not None
    ]
    return LAYOUT_HELP + (f" At 15 neighbours: {'; '.join(kept)}." if kept else "")


def matching(run: ui.Opened, words: str) -> list[int] | None:
    """The features that match the search box, the most relevant first; None when it is empty."""
    return queries.ranked(run.store, words).feature_ids if words.strip() else None


def figure_of(run: ui.Opened, drawn: Drawn, lit: list[int] | None) -> Any:
    """The map without a ring, from memory where nothing is lit."""
    kind = "cluster" if drawn.colour in queries.CLUSTERS else drawn.colour

    def draw(seen: Colours) -> Any:
        names = None
        if drawn.points.num_rows <= NAMED:  # with more points the browser gets no names
            known = queries.labels(run.store, drawn.points["feature_id"].to_pylist())
            names = list(known.values())
        regions = queries.regions(run.store) if drawn.places == "firing" else None
        return charts.feature_map(
            drawn.points, kind, seen, highlighted=lit, drag=drawn.drag, names=names, regions=regions
        )

    if lit is not None:
        return draw(ui.colours())
    name = f"map {drawn.places} {drawn.colour} {drawn.drag}"
    return ui.remembered(run.store, name, lambda seen: charts.prepared(draw(seen)))


def chosen_layout(run: ui.Opened) -> tuple[str, str, str]:
    """The layout, the colours and what dragging does, as the controls say."""
    has_regions = run.store.has(REGIONS)
    layouts = list(queries.PLACES) if has_regions else ["directions"]
    places = layouts[0]
    if has_regions:
        places = ui.segments("Near are", "near", layouts, show=lambda name: LAYOUTS[name], help=layout_help(run))
    coloured = [name for name in COLOURS if name != "theme" or has_regions]
    colour = ui.segments("Colour by", "colour", coloured, show=COLOURS.get, resets=("cluster",), help=COLOUR_HELP)
    return places, colour, ui.segments("Drag to", "drag", list(DRAGS), show=DRAGS.get)


@ui.fragment
@ui.section()
def draw(run: ui.Opened) -> None:
    """The controls, the map and what is chosen in it."""
    with st.container(horizontal=True, vertical_alignment="bottom", key="map-controls"):
        words = ui.text_box("Highlight", "q", placeholder="words of labels and keywords", type="search")
        places, colour, drag = chosen_layout(run)
        cluster = cluster_box(run.store, colour)
    with ui.section():
        kind = colour if colour in queries.CLUSTERS else "cluster"
        drawn = Drawn(queries.layout(run.store, places, kind), places, colour, drag)
        inside = queries.cluster_features(run.store, colour, cluster) if cluster is not None else None
        lit = matching(run, words) if inside is None else inside["feature_id"].to_pylist()
        chosen = ui.count_param("feature")
        wide, narrow = st.columns([1.85, 1], gap="large")
        with wide:
            figure = figure_of(run, drawn, lit)
            if drawn.points.num_rows <= NAMED:
                figure = charts.with_ring(figure, drawn.points, chosen, ui.colours())
            ids = charts.chosen_ids(ui.chart(figure, key="map", select=("points", "lasso"), chosen=choose, zoom=True))
        with narrow, ui.section():
            if len(ids) > 1:
                listed(run, ids, f"{len(ids):,} features in the lasso", "lasso")
            elif chosen is not None:
                beside(run.store, chosen)
            elif inside is not None and cluster is not None:
                cluster_beside(run, colour, cluster, inside)
            elif lit is not None:
                found = f"{len(lit):,} feature{'s match' if len(lit) != 1 else ' matches'} “{words}”"
                listed(run, lit, found, "matches", words)
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
ui.page("Map", "Each point is a feature. Large distances say little: read what is near.")
draw(run)

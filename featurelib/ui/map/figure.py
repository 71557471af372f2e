"""The map of features as a figure, from memory where it can be, and a picture of it for a paper."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from featurelib import charts, queries
from featurelib.storage.answers import once_per_generation
from featurelib.storage.store import Store
from featurelib.ui.kit.address import segments
from featurelib.ui.kit.elements import Html, number, percent
from featurelib.ui.kit.session import Opened
from featurelib.ui.kit.theme import LIGHT, Colours, remembered
from featurelib.ui.map.colouring import Chosen, colouring_of, has_regions, usual_colours
from featurelib.ui.texts.map_chart import one_line, point_colours, point_names

LAYOUTS = {"firing": "what fires them", "directions": "directions"}
HELP = (
    "Features are near each other where the texts on which they fire are alike (UMAP of their mean embeddings, "
    "weighted by activation), or where their decoder directions are (UMAP on cosine)."
)
NAMED = 20_000
"""With more features the browser gets no names."""


@dataclass(frozen=True)
class Drawn:
    """The map as the controls want it."""

    points: pa.Table
    """The features and their places."""
    places: str
    """By what they are placed: one of LAYOUTS."""
    chosen: Chosen
    """By what they are coloured."""


def layout_box(run: Opened) -> str:
    """The choice of the layout; a run without regions has but one."""
    if not has_regions(run.store):
        return "directions"
    return segments("Near are", "near", list(queries.PLACES), show=lambda name: LAYOUTS[name], help=_layout_help(run))


def _layout_help(run: Opened) -> str:
    """What the layouts are, and how much nearness each keeps."""
    measured = (run.generation.describe().get("layout") or {}).get("faithfulness") or {}
    kept = [
        f"{LAYOUTS[name]}: trustworthiness {number(of['trustworthiness'], 2)}, neighbours kept "
        f"{percent(of['preservation'])}"
        for name, of in measured.items()
        if of["trustworthiness"] is not None
    ]
    return HELP + (f" At 15 neighbours: {'; '.join(kept)}." if kept else "")


def _regions(run: Opened, places: str) -> pa.Table | None:
    """The regions that have their names on this map."""
    return queries.regions(run.store) if places == "firing" else None


def figure_of(run: Opened, drawn: Drawn) -> Any:
    """The map in the colours that a bare address shows, from memory; the browser gives it others, see `paint_of`."""
    usual = usual_colours(run.store)
    points = queries.layout(run.store, drawn.places, usual.clusters)

    def draw(seen: Colours) -> Any:
        figure = charts.feature_map(
            points,
            colouring_of(run.store, points, usual, seen),
            seen,
            regions=_regions(run, drawn.places),
            name=f"map of {run.name}, {drawn.places}",
            painted=str(usual),
        )
        return charts.prepared(figure)

    return remembered(run.store, f"map {drawn.places}", draw)


def paint_of(run: Opened, drawn: Drawn) -> Html:
    """The colours that are chosen, as the browser gives them to the map."""

    def paint(seen: Colours) -> Html:
        colouring = colouring_of(run.store, drawn.points, drawn.chosen, seen)
        return point_colours(str(drawn.chosen), charts.paint_features(drawn.points, colouring, seen))

    written: Html = remembered(run.store, f"colours {drawn.places} {drawn.chosen}", paint)
    return written


@once_per_generation
def names_of(store: Store) -> Html:
    """The names of all features, for the browser; none where there are too many."""
    ids = queries.layout(store)["feature_id"].to_pylist()
    labels = queries.labels(store, ids if len(ids) <= NAMED else [])
    return point_names(labels, map(one_line, labels.values()))


def picture_of(run: Opened, drawn: Drawn, lit: Sequence[int]) -> str:
    """The map as SVG, on white: for paper, whatever theme the reader has."""
    colouring = colouring_of(run.store, drawn.points, drawn.chosen, LIGHT)
    return charts.map_svg(drawn.points, colouring, LIGHT, lit=lit, regions=_regions(run, drawn.places))

"""A map on a page: its figure, the points that stand out on it, and the buttons that save a picture of it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import streamlit as st

from featurelib.ui.kit.address import segments
from featurelib.ui.kit.elements import Html, chart, html, plain, tag
from featurelib.ui.kit.theme import colours
from featurelib.ui.texts.id_list import written

DRAGS = {"pan": "Move", "lasso": "Lasso"}
DRAG_HELP = "After a lasso dragging moves the map again, so that a click picks a point. Shift and a click pick several."
SVG = "The whole map, with the names of its coarsest regions, in light colours on white."
PNG = "What is seen of the map now, in the colours of the theme, three times as large."


@dataclass(frozen=True)
class Picks:
    """What stands out on a map."""

    marked: int | None = None
    """The point that has a ring."""
    lit: Sequence[int] = ()
    """The points that have the accent colour, while all others are faint."""
    drag: str = "pan"
    """What dragging does: one of DRAGS."""


def drag_box() -> str:
    """The choice of what dragging does."""
    return segments("Drag to", "drag", list(DRAGS), show=DRAGS.get, help=DRAG_HELP, resets=())


def map_chart(
    figure: Any,
    picks: Picks,
    *,
    key: str,
    name: str,
    chosen: Callable[[dict[str, Any]], None],
    picture: Callable[[], str],
    paint: Html,
) -> None:
    """Draw a map; the browser draws the picks over it (js/map_picks.js), so that they change without a new figure.

    `paint` gives the points their colours, see `point_colours`; their names the page has drawn before (`point_names`),
    outside of what is drawn again at a click.

    `chosen` is called with each new selection. Below it two buttons save a picture: NAME.svg, which `picture` writes at
    the click, and a PNG, which the browser makes (js/map_picture.js).
    """
    html(paint)
    with st.container(key="map-window"):
        chart(figure, key=key, select=("points", "lasso"), chosen=chosen, zoom=True, picture=name)
    with st.container(horizontal=True, gap="small", vertical_alignment="center", width="content", key="picture"):
        html(tag("span", "Picture", cls="muted"), _picks(picks), width="content")
        st.download_button(
            "SVG",
            lambda: picture().encode(),
            f"{name}.svg",
            "image/svg+xml",
            key="picture svg",
            on_click="ignore",
            type="tertiary",
            icon=":material/download:",
            help=SVG,
        )
        html(tag("button", "PNG", cls="save-picture", help=PNG, type="button"), width="content")


def point_names(ids: Iterable[int], names: Iterable[str]) -> Html:
    """The names of points, ids ascending, as the script reads them (js/map_names.js); of two lines, parted by a tab.

    Streamlit drops an attribute in which it finds the end of a script, so < and > are written as in an address.
    """
    return tag("span", cls="map-names", data_ids=written(ids), data_names=_safe("\n".join(names)))


def _safe(words: str) -> str:
    return words.replace("%", "%25").replace("<", "%3C").replace(">", "%3E")


def point_colours(called: str, paint: Mapping[str, Any]) -> Html:
    """The colours of points as the script reads them (js/map_colours.js); `called` tells them from all others."""
    return tag("span", cls="map-colours", data_called=_safe(called), data_paint=_safe(json.dumps(paint)))


def one_line(words: str) -> str:
    """Words for a line of a name."""
    return " ".join(plain(words).split())


def _picks(picks: Picks) -> Html:
    """The picks as the script reads them."""
    seen = colours()
    return tag(
        "span",
        cls="map-picks",
        data_ring="" if picks.marked is None else str(picks.marked),
        data_lit=written(picks.lit),
        data_drag=picks.drag,
        data_accent=seen.accent,
        data_ringed=seen.palette[1],
    )

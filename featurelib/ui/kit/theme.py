"""The style sheets, and the colours of charts, in both themes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import streamlit as st

from featurelib.storage.store import Store
from featurelib.ui.kit.elements import Html


@dataclass(frozen=True)
class Colours:
    """The colours of charts in one theme."""

    accent: str
    """The accent colour."""
    scale: tuple[str, ...]
    """From little to much."""
    palette: tuple[str, ...]
    """For kinds, in turn."""
    text: str
    """Words on a chart."""
    veil: str
    """Behind words on a chart, so that points do not run through them."""


LIGHT = Colours(
    accent="#3a7866",
    scale=("#cfe3da", "#a6cbbe", "#6aa593", "#3b7b69", "#1b4f41", "#0e392e"),
    palette=("#3a7866", "#b0792c", "#4d6fa3", "#9a5a7f", "#6b7d3a", "#8a6a55", "#5b8f9c", "#7a68a6"),
    text="#1d2a26",
    veil="rgba(255,255,255,0.72)",
)
DARK = Colours(
    accent="#76b39d",
    scale=("#275043", "#397866", "#5aa08b", "#8dc7b4", "#abd9c9", "#dff3eb"),
    palette=("#76b39d", "#d3a35c", "#86a6d6", "#c98db0", "#a7b872", "#bf9f89", "#87bcc9", "#a99ad4"),
    text="#eef4f1",
    veil="rgba(20,25,28,0.66)",
)

FOLDER = Path(__file__).with_name("css")
SHEETS = (
    "base", "tables", "reading", "highlight", "text_input", "audit", "fidelity", "evaluation", "families", "matching",
    "similar", "slices", "grid", "steering", "intervene", "textmap", "logits", "themes",
)  # fmt: skip
"""The files of the folder css, in the order of the cascade: what all pages have first, then one for each subject."""


@cache
def style_sheet() -> Html:
    """All style sheets as one element."""
    rules = "\n".join((FOLDER / f"{name}.css").read_text(encoding="utf-8") for name in SHEETS)
    return Html(f"<style>{rules}</style>")


def style() -> None:
    """Send the style sheet; the navigation does so once on every page."""
    st.html(style_sheet())


def colours() -> Colours:
    """The colours of charts in the theme that the reader sees."""
    return DARK if st.context.theme.type == "dark" else LIGHT


def remembered(store: Store, name: str, draw: Callable[[Colours], Any]) -> Any:
    """The figure that `draw` makes of the reader's colours, from memory where it was made before.

    Making a figure takes Plotly some 5 ms of CPU. `name` tells it from every other figure of the run.
    """
    seen = colours()
    return store.remember(f"figure {name} in {seen.accent}", lambda: draw(seen))

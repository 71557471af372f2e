"""A grid of numbers as shades of one colour: each cell is a link, so that it can be walked by keyboard."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import streamlit as st

from featurelib.ui.kit.anchors import link
from featurelib.ui.kit.elements import Html, html, tag

DARKEST = 60
"""Percent of the accent in the darkest cell: dark enough to be seen, light enough to be read on."""
LONGEST = 80
"""Characters of a name that are written."""
UPRIGHT = 8
"""Columns up to which their names are written level; with more they stand."""


@dataclass(frozen=True)
class Cell:
    """One number of a grid, and where it leads."""

    shown: str
    shade: float
    """From 0, the ground, to 1, the darkest."""
    page: str
    where: Mapping[str, object]
    help: str = ""
    """What it is, for a pointer that rests on it and for a screen reader."""
    marked: bool = False
    """Whether it has a frame, such as the cells of a diagonal."""


def grid(
    rows: Sequence[str],
    columns: Sequence[str],
    cells: Mapping[tuple[str, str], Cell],
    *,
    corner: str,
    key: str,
    show: Callable[[str], str] = str,
) -> None:
    """Draw cells by the names of their row and column, which `show` writes; a pair without one stays empty.

    `corner` says what the rows are.
    """
    standing = len(columns) > UPRIGHT
    heads = [
        tag("th", tag("span", show(name)[:LONGEST]), cls="standing" if standing else "", scope="col")
        for name in columns
    ]
    lines = [
        tag("tr", tag("th", show(row)[:LONGEST], scope="row"), *(_cell(cells.get((row, column))) for column in columns))
        for row in rows
    ]
    top = tag("tr", tag("th", corner, cls="corner"), *heads)
    table = tag("table", tag("thead", top), tag("tbody", *lines), cls="grid")
    with st.container(key=f"grid-{key}"):
        html(tag("div", table, cls="grid-box", tabindex="0", role="region", aria_label=corner))


def _cell(cell: Cell | None) -> Html:
    if cell is None:
        return tag("td", "")
    share = DARKEST * min(max(cell.shade, 0.0), 1.0)
    inner = link(cell.page, cell.shown, cell.where)
    return tag(
        "td",
        inner,
        cls="marked" if cell.marked else "",
        style=f"background:color-mix(in srgb, var(--bars) {share:.0f}%, transparent)",
        title=cell.help[: 4 * LONGEST],
    )

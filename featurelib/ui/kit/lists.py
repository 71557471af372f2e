"""Lists of links with numbers and bars at their ends, and the histogram of a feature's activations.

A line is one Streamlit element, its numbers part of its label: each element costs time in the browser.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import streamlit as st

from featurelib.ui.kit.address import label_of, with_run
from featurelib.ui.kit.elements import Html, count, html, number, tag

BAR = (
    "The bar is as long as the activation, that of the feature most active on this text being full. "
    "Density is the share of the texts of the corpus on which the feature fires."
)

DOT = " · "


@dataclass(frozen=True)
class Line:
    """One link of a list, with numbers at its right end."""

    label: str
    """The words of the link; any text."""
    where: Mapping[str, object]
    """The parameters of the page; the run is added."""
    values: tuple[str, ...] = ()
    """The numbers."""
    share: float | None = None
    """The length of the bar under it, 0 to 1; None draws none."""
    page: str = "feature.py"
    """The page that it leads to."""


def feature_line(feature_id: int, label: str, *values: str, share: float | None = None) -> Line:
    """A line that leads to a feature."""
    return Line(label, {"feature": feature_id}, values, share)


def line_list(
    key: str, lines: Sequence[Line], *, title: str = "", note: str = "", help: str = "", names: Sequence[str] = ()
) -> None:
    """Links below each other, under a head of `title` and the `names` of their numbers; bars where a share is."""
    columns = max((len(line.values) for line in lines), default=0)
    holder = f"read-lines{columns}-{key}"
    lengths = [
        f".st-key-{holder} > :nth-child({place}) a{{--share:{100 * max(0.0, min(1.0, line.share)):.1f}%}}"
        for place, line in enumerate(lines, start=2 if title or names else 1)
        if line.share is not None
    ]
    with st.container(key=holder, gap=None):
        if title or names:
            head = tag(
                "h3",
                tag("span", title, cls="term" if help else "", help=help),
                tag("span", note, cls="note") if note else "",
            )
            html(tag("div", head, *(tag("span", name, cls="name") for name in names), cls="read-names"))
        for line in lines:
            link(line, alone=True)
    if lengths:
        st.html(f"<style>{''.join(lengths)}</style>")


def inline_list(key: str, lines: Sequence[Line], *, before: str = "") -> None:
    """Links one after the other on one line, after the words `before`."""
    with st.container(horizontal=True, gap=None, key=f"read-inline-bare-{key}"):
        if before:
            html(tag("span", before, cls="muted"), width="content")
        for line in lines:
            link(line)


def short(label: str, longest: int = 28) -> str:
    """The first words of a label, as many of them as `longest` characters hold, at least one."""
    beginning, *others = label.split(DOT)
    for words in others:
        if len(beginning) + len(DOT) + len(words) > longest:
            break
        beginning += DOT + words
    return beginning


def link(line: Line, *, alone: bool = False, shorten: bool = False) -> None:
    """Draw one line; `alone` in its row, its label ends in an ellipsis where there is no room.

    With `shorten` only the first words of the label are shown, and all of it on hover.
    """
    if shorten and short(line.label) != line.label:
        full = label_of(line.label)
        st.page_link(line.page, label=label_of(short(line.label)), query_params=with_run(line.where), help=full)
        return
    values = "".join(f" :gray[{label_of(value)}]" for value in line.values)
    label = f"**{label_of(line.label)}**{values}" if alone else label_of(line.label)
    st.page_link(line.page, label=label, query_params=with_run(line.where))


def activation_histogram(rows: Sequence[Mapping[str, Any]], threshold: float | None) -> None:
    """Bars of texts by activation; rows of left, right, n_texts. The axis names threshold and maximum."""
    if not rows:
        return
    highest = max((row["n_texts"] for row in rows), default=0)
    first = next((place for place, row in enumerate(rows) if row["n_texts"]), 0)
    if threshold is not None:
        first = min(first, next((place for place, row in enumerate(rows) if row["right"] > threshold), 0))
    bars = "".join(
        f'<i style="height:{100 * row["n_texts"] / highest:.1f}%" '
        f'title="{number(row["left"])} to {number(row["right"])}: {count(row["n_texts"])} texts"></i>'
        for row in rows[first:]
        if highest
    )
    left, right = rows[first]["left"], rows[-1]["right"]
    begin = f"threshold {number(threshold)}" if threshold is not None and threshold > 0 else number(left)
    axis = tag(
        "div", tag("span", begin), tag("span", number((left + right) / 2)), tag("span", number(right)), cls="read-axis"
    )
    html(Html(f'<div class="read-histogram">{bars}</div>'), axis)

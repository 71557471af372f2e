"""Texts and features in rows, every name a link."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import streamlit as st

from featurelib.ui.kit.address import feature_link, open_feature, set_params, text_link
from featurelib.ui.kit.elements import Html, html, number, opening, tag


@dataclass(frozen=True)
class Card:
    """One text as it is shown in a list."""

    text_id: int
    """Its id; the link leads there."""
    text: str
    """The text, of which the beginning is shown."""
    title: str = ""
    """Shown bold; where the text begins with it, it is not repeated."""
    activation: float | None = None
    """Shown as a number and a bar; None leaves that column out."""
    maximum: float = 1.0
    """The activation of a full bar."""
    about: Sequence[str] = ()
    """What is said in grey under the text, such as metadata."""
    also: Sequence[tuple[int, str]] = field(default=())
    """Other features active in the text: (feature_id, label)."""


def activation_bar(activation: float, maximum: float) -> Html:
    """A number over a bar whose length is its share of `maximum`."""
    share = max(0.0, min(1.0, activation / maximum)) if maximum else 0.0
    bar = tag("div", tag("i", Html(""), style=f"width:{100 * share:.1f}%"), cls="bar")
    return tag("div", tag("span", number(activation)), bar, cls="activation")


def text_card(card: Card, *, key: str, length: int = 240) -> None:
    """A text with its activation, its title, its beginning, what is known of it and the other features active in it."""
    with st.container(key=f"card {key}", gap=None):
        words = [tag("b", card.title), Html(" ")] if card.title else []
        body = tag("div", *words, tag("span", opening(card.text, card.title, length)), cls="body")
        about = tag("div", *_dotted(card.about), cls="about") if card.about else Html("")
        bar = activation_bar(card.activation, card.maximum) if card.activation is not None else Html("")
        html(tag("div", bar, tag("div", body, about), cls="card" if bar else "card bare"))
        with st.container(horizontal=True, gap="small", key=f"links {key}"):
            text_link(card.text_id, "whole text")
            if card.also:
                html(tag("span", "also active:", cls="muted"), width="content")
            for feature_id, label in card.also:
                feature_link(feature_id, label)


def _dotted(pieces: Iterable[str]) -> list[Html]:
    kept = [tag("span", piece) for piece in pieces if str(piece)]
    return [Html(" · ") if position % 2 else kept[position // 2] for position in range(max(0, 2 * len(kept) - 1))]


def feature_rows(rows: Iterable[tuple[Any, ...]], *, key: str, names: Sequence[str] = ()) -> None:
    """Features one under the other: (feature_id, label, shown value, …); `names` head the values."""
    with st.container(key=f"rows {key}", gap=None):
        if names:
            html(tag("div", *(tag("span", name) for name in names), cls="row-names"))
        for position, (feature_id, label, *values) in enumerate(rows):
            with st.container(
                horizontal=True, wrap=False, gap="small", vertical_alignment="center", key=f"row {key} {position}"
            ):
                feature_link(feature_id, label, width="stretch")
                html(tag("div", *(tag("span", value) for value in values), cls="row-values"), width="content")


def text_rows(rows: Iterable[tuple[Any, ...]], *, key: str) -> None:
    """Texts one under the other, each on one line that leads to it: (text_id, opening, shown value, …)."""
    with st.container(key=f"rows {key}", gap=None):
        for text_id, words, *values in rows:
            with st.container(
                horizontal=True, wrap=False, gap="small", vertical_alignment="center", key=f"row {key} {text_id}"
            ):
                text_link(text_id, words, width="stretch")
                html(tag("div", *(tag("span", value) for value in values), cls="row-values"), width="content")


def feature_table(rows: pa.Table, *, key: str, columns: Mapping[str, Any], height: int | str = "content") -> None:
    """A table with a column feature_id; a click anywhere in a row opens its feature.

    `columns` maps the columns that are shown to Streamlit's column configuration.
    """
    clicked = _clicked(rows, key, columns, height)
    if clicked:
        open_feature(rows["feature_id"][clicked[0]].as_py())


def choice_table(
    rows: pa.Table, name: str, column: str, *, key: str, columns: Mapping[str, Any], height: int | str = "content"
) -> None:
    """A table in which a click anywhere in a row writes the row's `column` into the address as `name`.

    Each click counts once: what is selected stays selected, and the address may change by other ways afterwards.
    """
    clicked = _clicked(rows, key, columns, height)
    if st.session_state.get(f"{key} clicked") == clicked:
        return
    st.session_state[f"{key} clicked"] = clicked
    if clicked:
        set_params(**{name: rows[column][clicked[0]].as_py()})
        st.rerun()


def _clicked(rows: pa.Table, key: str, columns: Mapping[str, Any], height: Any) -> tuple[int, str] | None:
    """Draw a table and return the row and column of the cell that is selected in it."""
    event = st.dataframe(
        rows,
        key=key,
        hide_index=True,
        height=height,
        column_order=list(columns),
        column_config=dict(columns),
        on_select="rerun",
        selection_mode="single-cell",
        lazy=False,
    )
    cells = event["selection"]["cells"]
    return (cells[0][0], cells[0][1]) if cells and cells[0][0] < rows.num_rows else None

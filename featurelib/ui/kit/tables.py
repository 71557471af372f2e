"""Tables whose rows can be clicked, and the bar of an activation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pyarrow as pa
import streamlit as st

from featurelib.ui.kit.address import open_feature, set_params
from featurelib.ui.kit.elements import Html, number, tag


def activation_bar(activation: float, maximum: float) -> Html:
    """A number over a bar whose length is its share of `maximum`."""
    share = max(0.0, min(1.0, activation / maximum)) if maximum else 0.0
    bar = tag("div", tag("i", Html(""), style=f"width:{100 * share:.1f}%"), cls="bar")
    return tag("div", tag("span", number(activation)), bar, cls="activation")


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

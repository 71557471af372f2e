"""The values of a column: each held against the other texts, and one of them with all features."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pyarrow as pa
import streamlit as st

from featurelib import queries
from featurelib.ui.kit.elements import count, sentence
from featurelib.ui.kit.session import GenerationPlace, Opened, place_of, store_at
from featurelib.ui.kit.tables import number_column, order_of_address, share_column, sorted_rows, table, text_column
from featurelib.ui.slices.difference import CHANCE, Difference

KEPT = 8
COLUMNS = {
    "value": text_column("value", sort="value", longest=80),
    "n_texts": number_column("texts", sort="n_texts", help="Different texts that have it."),
    "n_features": number_column(
        "features", sort="n_features", help=f"Features that fire oftener or rarer there than elsewhere. {CHANCE}"
    ),
    "label": text_column("most telling feature", sort="label", phone=False),
    "density_a": share_column("fires there", sort="density_a", phone=False),
    "density_b": share_column("elsewhere", sort="density_b", phone=False),
    "auroc": number_column(
        "AUROC",
        2,
        sort="auroc",
        phone=False,
        help="How well the activation of that feature alone tells these texts from the others: 0.5 is chance.",
    ),
}
SORTS = ("n_texts", *(name for name in COLUMNS if name != "n_texts"))
OTHERS = "Each value is held against the other texts that have one."


@st.cache_resource(max_entries=KEPT, show_spinner="Comparing the values, feature by feature")
def _overview(place: GenerationPlace, column: str) -> pa.Table:
    return queries.value_contrasts(store_at(*place), column)


@st.cache_resource(max_entries=KEPT, show_spinner="Comparing every feature")
def _value(place: GenerationPlace, column: str, value: str) -> Difference:
    store = store_at(*place)
    compared = queries.contrast_value(store, column, value)
    return Difference.of(compared, queries.contrast_rows(store, compared))


def value_rows(opened: Opened, column: str) -> pa.Table:
    """The values of a column with their most telling features, from memory after the first time."""
    return _overview(place_of(opened.generation), column)


def value_difference(opened: Opened, column: str, value: str) -> Difference:
    """One value against the others, from memory after the first time."""
    return _value(place_of(opened.generation), column, value)


def value_table(rows: pa.Table, column: str, n_values: int) -> None:
    """Some of the `n_values` values as a table; a row shows the features of its value."""

    def opens(row: Mapping[str, Any]) -> tuple[str, Mapping[str, object]]:
        return "columns.py", {"column": column, "value": row["value"]}

    order = order_of_address(SORTS, rising=("value", "label"))
    table(sorted_rows(rows, order.sort, order), COLUMNS, page="columns.py", key="values", opens=opens, order=order)
    if n_values > rows.num_rows:
        sentence(f"The {count(rows.num_rows)} commonest of {count(n_values)} values; any other can be chosen above.")

"""Which features go with a column of the source: its values against each other, or what rises and falls with it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import streamlit as st

from featurelib import queries, ui
from featurelib.schema import Refusal
from featurelib.ui.kit.tables import order_of_address, sorted_rows, table
from featurelib.ui.slices import column as of_column
from featurelib.ui.slices import difference, trend

ALL = "(all values)"
KINDS = {queries.CATEGORY: "Its values", queries.NUMBER: "As a number", queries.DATE: "As a date"}
NONE = (
    "The texts of this run have no column of 2 to 300 values, of numbers or of dates. Build a run from a source that "
    "has one: a label, a language, a year."
)


def one_value(run: ui.Opened, column: str, value: str) -> None:
    """The features of one value, against the other texts that have one."""
    found = of_column.value_difference(run, column, value)
    difference.difference_strip(found, "with it", "with another")
    show = difference.shown_box()
    order = difference.order()
    rows = difference.in_order(difference.chosen_rows(found.rows, show), order)
    if not rows.num_rows:
        ui.stop_with("No feature does.")
    above = st.container()
    with st.container(horizontal=True, horizontal_alignment="center", key="below-table"):
        offset = ui.pager(rows.num_rows, difference.PER_PAGE)

    def opens(row: Mapping[str, Any]) -> tuple[str, Mapping[str, object]]:
        return "feature.py", {"feature": row["feature_id"], "column": column, "value": value}

    with above:
        page = difference.with_intervals(found, rows.slice(offset, difference.PER_PAGE))
        columns = difference.difference_columns(("with it", "with another"))
        table(page, columns, page="columns.py", key="differences", opens=opens, order=order)
    ui.download(f"{run.name}-{column}", lambda: rows, key="differences", what="Download")


def all_values(run: ui.Opened, column: str) -> None:
    """Every value with its most telling feature."""
    ui.heading("Values", help=of_column.OTHERS)
    of_column.value_table(of_column.value_rows(run, column), column, len(queries.column_values(run.store, column)))


def ordered(run: ui.Opened, column: str) -> None:
    """What rises and falls with a number or a date."""
    found = trend.followed(run, column)
    trend.trend_strip(found)
    trend.multiples(run, found, column)
    show = difference.shown_box()
    order = order_of_address(trend.SORTS, rising=("label", "rate"))
    rows = sorted_rows(difference.chosen_rows(found.rows, show), order.sort, order)
    if not rows.num_rows:
        ui.stop_with("No feature does.")
    above = st.container()
    with st.container(horizontal=True, horizontal_alignment="center", key="below-table"):
        offset = ui.pager(rows.num_rows, difference.PER_PAGE)
    with above:
        trend.trend_table(found, rows.slice(offset, difference.PER_PAGE), order)
    ui.download(f"{run.name}-{column}", lambda: rows, key="trend", what="Download")


run = ui.open_run()
ui.page("Columns", "Which features go with a column of the source: a label, a language, a year.")
try:
    known = {column.name: column.kinds for column in queries.column_kinds(run.store)}
    if not known:
        ui.stop_with(NONE)
    with st.container(horizontal=True, vertical_alignment="bottom", key="filters"):
        named = ui.choice_box(
            "Column", "column", list(known), resets=("value", "by", "page", "sort", "order"), width=220
        )
        by = known[named][0]
        if len(known[named]) > 1:
            by = ui.segments("By", "by", known[named], show=KINDS.get, resets=("value", "page", "sort", "order"))
        value = ALL
        if by == queries.CATEGORY:
            choices = [ALL, *queries.column_values(run.store, named)]
            value = ui.choice_box("Value", "value", choices, width=260, resets=("page", "sort", "order"))
    with ui.section():
        if by != queries.CATEGORY:
            ordered(run, named)
        elif value == ALL:
            all_values(run, named)
        else:
            one_value(run, named, value)
except Refusal as refusal:
    ui.stop_with(str(refusal))

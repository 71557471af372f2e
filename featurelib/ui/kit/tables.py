"""Tables of links: a row opens what it is about, a head sorts the whole table; and the bar of an activation.

They are HTML, with real links in it. Streamlit's own table takes focus for a click (a head, or the Tab key, opened a
feature), and its heads sort only the rows of the page that is shown.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import pyarrow as pa
import pyarrow.compute as pc
import streamlit as st

from featurelib.ui.kit.address import choice_param, kept_params
from featurelib.ui.kit.anchors import link
from featurelib.ui.kit.elements import Html, count, density, html, number, tag

FALLING, RISING = "falling", "rising"
ORDERS = {FALLING: "descending", RISING: "ascending"}
"""The orders of a table as addresses have named them from the first version on, and the words for them."""


Opens: TypeAlias = Callable[[Mapping[str, Any]], tuple[str, Mapping[str, object]]]
"""From a row to the page that it leads to, and the parameters of that page."""


@dataclass(frozen=True)
class Column:
    """One column of a table."""

    head: str
    """Its name."""
    show: Callable[[Any], str] = str
    """How a value is written."""
    help: str = ""
    """What its numbers are."""
    sort: str | None = None
    """The word of the address that sorts by it; None: it cannot be sorted by."""
    words: bool = False
    """Whether it holds words: they stand at the left, and are sorted from A to Z first."""
    phone: bool = True
    """Whether it has room on a phone."""
    longest: int = 400
    """Characters of a value that are shown."""
    one_line: bool = False
    """Whether what has no room on its line is cut, with an ellipsis."""


@dataclass(frozen=True)
class Order:
    """How a table is sorted."""

    sort: str
    """A word of the address, such as density."""
    descending: bool


def text_column(head: str, **options: Any) -> Column:
    """A column of words."""
    return Column(head, words=True, **options)


def number_column(head: str, digits: int | None = None, **options: Any) -> Column:
    """A column of numbers, all with so many decimals; whole numbers where `digits` is None."""
    return Column(head, show=count if digits is None else decimals(digits), **options)


def id_column(head: str, **options: Any) -> Column:
    """A column of ids: numbers without separated thousands."""
    return Column(head, show=str, **options)


def share_column(head: str, **options: Any) -> Column:
    """A column of shares, as percentages with two decimals."""
    return Column(head, show=density, **options)


def decimals(digits: int) -> Callable[[float], str]:
    """Return a function that writes numbers with so many decimals, so that those of a column stand below each other."""
    return lambda value: f"{value:,.{digits}f}" if math.isfinite(value) else "–"


def order_of_address(sorts: Sequence[str], *, rising: Sequence[str] = ()) -> Order:
    """Return the order that the address asks for: by the first of `sorts`, descending, where it asks for none.

    Those in `rising` ascend where the address gives no order.
    """
    sort = choice_param("sort", sorts)
    first = (RISING, FALLING) if sort in rising else (FALLING, RISING)
    return Order(sort, choice_param("order", first) == FALLING)


def sorted_rows(rows: pa.Table, column: str, order: Order) -> pa.Table:
    """Return the rows of a table in memory sorted by a column, ties as they were; values that are missing come last."""
    place = pa.array(range(rows.num_rows), pa.int64())
    numbered = rows.append_column("place in the table", place)
    direction = "descending" if order.descending else "ascending"
    indices = pc.sort_indices(numbered, sort_keys=[(column, direction), ("place in the table", "ascending")])
    return rows.take(indices)


def table(
    rows: pa.Table,
    columns: Mapping[str, Column],
    *,
    page: str,
    key: str,
    opens: Opens | None = None,
    order: Order | None = None,
    chosen: Callable[[Mapping[str, Any]], bool] | None = None,
) -> None:
    """Draw rows as a table of the page `page`; in each row the first column of words is a link where a row `opens`.

    Heads that can be sorted by are links to the same
    page, sorted anew from its first row. `chosen` says which row is the one that is shown below.
    """
    first = next(name for name, column in columns.items() if column.words)
    heads = [_head(column, page, order) for column in columns.values()]
    lines = []
    for row in rows.to_pylist():
        cells = []
        for name, column in columns.items():
            shown = _shown(column, row[name])
            cells.append(_cell(column, _row_link(row, shown, opens) if opens and name == first else shown))
        lines.append(tag("tr", *cells, cls="chosen" if chosen and chosen(row) else ""))
    body = tag("table", tag("thead", tag("tr", *heads)), tag("tbody", *lines))
    with st.container(key=f"rows-{key}"):
        html(tag("div", body, cls="rows"))


def _row_link(row: Mapping[str, Any], shown: str, opens: Opens) -> Html:
    page, values = opens(row)
    return link(page, shown or "(empty)", values)


def _shown(column: Column, value: Any) -> str:
    if value is None or value == "":
        return "" if column.words else "–"
    text = column.show(value)
    return text if len(text) <= column.longest else text[: column.longest] + " …"


def _cell(column: Column, content: str) -> Html:
    return tag("td", content, cls=_class(column))


def _class(column: Column) -> str:
    marks = ("wide" * (not column.phone), "one-line" * column.one_line)
    return " ".join(["words" if column.words else "n", *filter(None, marks)])


def _head(column: Column, page: str, order: Order | None) -> Html:
    if column.sort is None or order is None:
        name = tag("span", column.head, cls="term" if column.help else "", help=column.help)
        return tag("th", name, cls=_class(column), scope="col")
    # the explanation shows when the link has focus, so that the name is no second stop of the Tab key
    name = tag("span", column.head, cls="term" if column.help else "", data_help=column.help)
    is_sorted = column.sort == order.sort
    descending = not order.descending if is_sorted else not column.words
    arrow = ("▾" if order.descending else "▴") if is_sorted else ""
    where = kept_params("sort", "order", "page") | {"sort": column.sort, "order": FALLING if descending else RISING}
    sorting = link(page, Html(name + tag("span", arrow, cls="arrow")), where)
    state = (ORDERS[FALLING] if order.descending else ORDERS[RISING]) if is_sorted else "none"
    return tag("th", sorting, cls=_class(column), scope="col", aria_sort=state)


def choice_table(
    rows: pa.Table, columns: Mapping[str, Column], *, page: str, name: str, column: str, order: Order, chosen: object
) -> None:
    """A table in which a row shows what it is about below it: the page anew, with the row's `column` as `name`.

    `chosen` is the value that is shown now; its row is marked.
    """
    table(
        rows,
        columns,
        page=page,
        opens=lambda row: (page, kept_params(name) | {name: row[column]}),
        key=name,
        order=order,
        chosen=lambda row: bool(row[column] == chosen),
    )


def feature_table(rows: pa.Table, *, page: str, key: str, columns: Mapping[str, Column], order: Order) -> None:
    """A table with a column feature_id; a row opens its feature."""
    table(rows, columns, page=page, opens=opens_feature, key=key, order=order)


def opens_feature(row: Mapping[str, Any]) -> tuple[str, Mapping[str, object]]:
    """Where a row with a feature_id leads."""
    return "feature.py", {"feature": row["feature_id"]}


def activation_bar(activation: float, maximum: float) -> Html:
    """A number over a bar whose length is its share of `maximum`."""
    share = max(0.0, min(1.0, activation / maximum)) if maximum else 0.0
    bar = tag("div", tag("i", Html(""), style=f"width:{100 * share:.1f}%"), cls="bar")
    return tag("div", tag("span", number(activation)), bar, cls="activation")

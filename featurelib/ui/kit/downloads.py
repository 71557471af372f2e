"""Tables as files: made when the button is clicked, safe to open in a spreadsheet."""

from __future__ import annotations

import io
from collections.abc import Callable

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as csv
import pyarrow.parquet as pq
import streamlit as st

FORMULA = r"^[=+\-@\t\r]"
NOTE = (
    "In the CSV a text that begins with = + - @ is given a leading ' so that no spreadsheet runs it; Parquet is exact."
)


def csv_bytes(table: pa.Table) -> bytes:
    """The table as UTF-8 CSV; a text that a spreadsheet would run as a formula gets a leading apostrophe."""
    columns = [_as_cells(table[name]) for name in table.column_names]
    buffer = io.BytesIO()
    csv.write_csv(pa.table(dict(zip(table.column_names, columns, strict=True))), buffer)
    return buffer.getvalue()


def _as_cells(column: pa.ChunkedArray) -> pa.ChunkedArray:
    if pa.types.is_nested(column.type):
        column = pa.chunked_array([pa.array([str(value) for value in column.to_pylist()], pa.string())])
    if not (pa.types.is_string(column.type) or pa.types.is_large_string(column.type)):
        return column
    column = column.cast(pa.string())
    marked = pc.binary_join_element_wise("'", column, "")
    return pc.if_else(pc.fill_null(pc.match_substring_regex(column, FORMULA), False), marked, column)


def parquet_bytes(table: pa.Table) -> bytes:
    """The table as Parquet, unchanged."""
    buffer = io.BytesIO()
    pq.write_table(table, buffer, compression="zstd")
    return buffer.getvalue()


def download(name: str, make: Callable[[], pa.Table], *, key: str, what: str = "") -> None:
    """Two small buttons that save `make()` as NAME.csv and NAME.parquet; it is called at the click, not before."""
    with st.container(
        horizontal=True, gap="small", vertical_alignment="center", width="content", key=f"download {key}"
    ):
        st.download_button(
            f"{what} CSV".strip(),
            lambda: csv_bytes(make()),
            f"{name}.csv",
            "text/csv",
            key=f"csv {key}",
            on_click="ignore",
            type="tertiary",
            icon=":material/download:",
            help=NOTE,
        )
        st.download_button(
            "Parquet",
            lambda: parquet_bytes(make()),
            f"{name}.parquet",
            "application/vnd.apache.parquet",
            key=f"parquet {key}",
            on_click="ignore",
            type="tertiary",
            icon=":material/download:",
        )

"""Tables as files: made when the button is clicked, safe to open in a spreadsheet."""

from __future__ import annotations

import io
from collections.abc import Callable

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as csv
import pyarrow.parquet as pq
import streamlit as st

FORMULA = r"^[\s\x{00ad}\x{200b}-\x{200f}\x{2060}-\x{2064}\x{feff}]*[=+\-@\x{ff1d}\x{ff0b}\x{ff0d}\x{ff20}]|^[\t\r\n]"
"""Texts that a spreadsheet may run: a sign, also a full-width one, behind any blanks and zero-width characters."""
BOM = b"\xef\xbb\xbf"
"""Without this mark Excel takes UTF-8 for the encoding of the machine."""
NOTE = (
    "In the CSV a text that begins with = + - @ is given a leading ' so that no spreadsheet runs it; Parquet is exact."
)


def csv_bytes(table: pa.Table) -> bytes:
    """The table as UTF-8 CSV with a mark for Excel; what a spreadsheet would run as a formula gets an apostrophe.

    That holds for the heads of columns as for their texts.
    """
    heads = _guarded(pa.chunked_array([pa.array(table.column_names, pa.string())])).to_pylist()
    buffer = io.BytesIO(BOM)
    buffer.seek(0, io.SEEK_END)
    csv.write_csv(pa.table([_as_cells(column) for column in table.columns], names=heads), buffer)
    return buffer.getvalue()


def _as_cells(column: pa.ChunkedArray) -> pa.ChunkedArray:
    if pa.types.is_nested(column.type):
        column = pa.chunked_array([pa.array([str(value) for value in column.to_pylist()], pa.string())])
    if not (pa.types.is_string(column.type) or pa.types.is_large_string(column.type)):
        return column
    return _guarded(column.cast(pa.string()))


def _guarded(column: pa.ChunkedArray) -> pa.ChunkedArray:
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

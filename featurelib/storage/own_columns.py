"""The source's own columns of a run: which there are, which may be filtered by, which a list of texts shows."""

from __future__ import annotations

import datetime
import json
import re
from collections.abc import Callable
from dataclasses import dataclass

import pyarrow as pa

from featurelib.storage.metadata import FEW_VALUES, column_summaries, time_zones
from featurelib.storage.sql_text import quoted
from featurelib.storage.store import Store

FIXED = {
    *("rank", "text_id", "activation", "text", "source_id", "source_row", "n_tokens", "truncated", "cut", "sae_split"),
    *("n_active", "fvu", "cosine", "feature_id", "band", "low", "high", "n_band"),
    *("n_copies", "pre_activation", "needed", "strength"),
}
"""Columns of answers; a metadata column of the same name gets another one."""
KEPT = {
    *("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "UTINYINT", "USMALLINT", "UINTEGER"),
    *("FLOAT", "DOUBLE", "BOOLEAN", "VARCHAR"),
}
"""DuckDB's types that an index keeps as they are."""
READ_AS = {
    "DATE": pa.date32(),
    "TIME": pa.time64("us"),
    "TIMESTAMP": pa.timestamp("us"),
    "TIMESTAMP_S": pa.timestamp("s"),
    "TIMESTAMP_MS": pa.timestamp("ms"),
    "TIMESTAMP_NS": pa.timestamp("ns"),
    "TIMESTAMP WITH TIME ZONE": pa.timestamp("us", "UTC"),
    "UBIGINT": pa.uint64(),
    "FLOAT": pa.float32(),
    "DOUBLE": pa.float64(),
}
"""DuckDB's types, some of which an index keeps as words, and what they are read as."""
DECIMAL = re.compile(r"DECIMAL\((\d+),(\d+)\)")
OFFSET = re.compile(r"([+-])(\d{2}):?(\d{2})", re.ASCII)
"""A time zone that is an offset, such as +05:30."""
MOST_COLUMNS = 30
"""Columns that lists of texts show, and columns that are offered as filters, at most."""


@dataclass(frozen=True)
class MetadataColumn:
    """One of the source's own columns."""

    name: str
    """Its name in the table texts."""
    type: str
    """Its type in DuckDB, such as VARCHAR, BIGINT or VARCHAR[]."""
    n_distinct: int
    """The number of its different values; of a list, of its members. Exact up to 300; of a corpus of more than 20,000
    texts, of so many of them."""
    filled: float
    """The share of texts that have a value."""
    telling: float
    """The share of texts that have one of its values from the second to the eighth commonest."""
    zone: str = ""
    """The time zone in which the source wrote its moments, such as Asia/Shanghai or +05:30; empty for all else."""

    def expression(self, table: str = "") -> str:
        """Return the SQL of its value in a row of `table`, an alias of texts: moments as the source wrote them.

        Moments would else be shown in UTC, the zone of the session.
        """
        value = f"{table}.{quoted(self.name)}" if table else quoted(self.name)
        return _in_zone(value, self.zone) if self.zone else value

    @property
    def shown_name(self) -> str:
        """Its name in an answer: source_<name> where the answer has a column of that name itself."""
        return shown_name(self.name)

    @property
    def members(self) -> str:
        """Return the SQL of the values that a text has: the different members of a list."""
        return f"unnest(list_distinct({self.expression()}))" if self.is_list else self.expression()

    @property
    def stored(self) -> str:
        """Return the SQL of its value in a row of `texts t` as an index keeps it: numbers and words, all else as words.

        Lists are JSON.
        """
        value = self.expression("t")
        if self.zone or self.type in KEPT:
            return value
        return f"to_json({value})::varchar" if self.is_list else f"{value}::varchar"

    def read(self, values: pa.ChunkedArray) -> pa.Array | pa.ChunkedArray:
        """Return values that an index has kept as DuckDB gives them; those that DuckDB gave stay as they are.

        Of a type that cannot be read back they stay words.
        """
        kept = values.to_pylist()
        is_words = any(isinstance(value, str) for value in kept)
        kind = None if self.zone else arrow_type(self.type.removesuffix("[]"))
        if self.type == "BOOLEAN":
            return pa.array([None if value is None else bool(value) for value in kept], pa.bool_())
        if self.is_list and is_words:
            lists = [None if value is None else json.loads(value) for value in kept]
            return _cast(pa.array(lists), kind and pa.list_(kind))
        if self.type in ("FLOAT", "DOUBLE"):
            return pa.array([None if value is None else float(value) for value in kept], kind)
        return _cast(values, kind) if is_words and kind is not None else values

    @property
    def is_list(self) -> bool:
        """Whether a text may have several values."""
        return self.type.endswith("[]")


def arrow_type(name: str) -> pa.DataType | None:
    """Return the type that DuckDB gives values of one of its types, as far as an index keeps them otherwise."""
    decimal = DECIMAL.fullmatch(name)
    return pa.decimal128(int(decimal[1]), int(decimal[2])) if decimal else READ_AS.get(name)


def _cast(values: pa.Array | pa.ChunkedArray, kind: pa.DataType | None) -> pa.Array | pa.ChunkedArray:
    if kind is None:
        return values
    try:
        if pa.types.is_time(kind):  # Arrow reads no times from words
            times = values.to_pylist()
            return pa.array([None if time is None else datetime.time.fromisoformat(time) for time in times], kind)
        return values.cast(kind)
    except (pa.ArrowException, ValueError):
        return values


def shown_name(name: str) -> str:
    """Return the name of a metadata column in an answer."""
    return f"source_{name}" if name.casefold() in FIXED else name


def metadata_columns(store: Store) -> list[MetadataColumn]:
    """Return the source's own columns in their order, however many; read once per generation."""
    return store.once("metadata_columns", lambda: _metadata_columns(store))


def _metadata_columns(store: Store) -> list[MetadataColumn]:
    described = store.ask("select column_name, column_type from (describe texts)").to_pylist()
    types = {row["column_name"]: row["column_type"] for row in described}
    summaries = column_summaries(store.generation)
    known = set(store.ask("select name from pg_timezone_names()")["name"].to_pylist())
    zones = {
        name: zone for name, zone in time_zones(store.generation).items() if zone in known or OFFSET.fullmatch(zone)
    }
    return [
        MetadataColumn(name, types[name], summary.n_distinct, summary.filled, summary.telling, zones.get(name, ""))
        for name, summary in summaries.items()
    ]


def _in_zone(moment: str, zone: str) -> str:
    """The SQL of a moment as text in a time zone, with its offset there: 2024-04-01 07:30:00+08:00."""
    utc = f"timezone('UTC', {moment})"
    if offset := OFFSET.fullmatch(zone):
        minutes = int(f"{offset[1]}1") * (60 * int(offset[2]) + int(offset[3]))
        local = f"{utc} + to_minutes({minutes})"
    else:
        local = f"timezone('{zone}', {moment})"
    ahead = f"date_diff('minute', {utc}, {local})"
    offset_text = f"printf('%s%02d:%02d', if({ahead} < 0, '-', '+'), abs({ahead}) // 60, abs({ahead}) % 60)"
    return f"(({local})::varchar || {offset_text})"


def title_column(store: Store) -> str | None:
    """Return the column that stands before each text, None when there is none."""
    return store.once("title_column", lambda: _title_column(store))


def _title_column(store: Store) -> str | None:
    done = store.generation.done("ingest")
    return (done.facts.get("columns") or {}).get("title") if done else None


def filter_columns(store: Store) -> list[MetadataColumn]:
    """Return the columns, in their order, whose values are few enough to choose from: 2 to 300, without the title."""
    title = title_column(store)
    return [
        column for column in metadata_columns(store) if 1 < column.n_distinct <= FEW_VALUES and column.name != title
    ]


def telling_columns(store: Store) -> list[MetadataColumn]:
    """Return the 30 most telling of the columns to filter by, in their order.

    The most telling ones are those of which few values cover most texts, without the commonest value, which tells
    nothing when nearly all texts have it: see `MetadataColumn.telling`.
    """
    return _first(filter_columns(store), lambda column: column.telling)


def listed_columns(store: Store) -> list[MetadataColumn]:
    """Return the columns that a list of texts has: all up to 30, else the title's and the 30 that most texts have.

    Each text of a list would bring thousands of values otherwise, and a list shows four of them.
    """
    return store.once("listed_columns", lambda: _listed_columns(store))


def _listed_columns(store: Store) -> list[MetadataColumn]:
    columns, title = metadata_columns(store), title_column(store)
    if len(columns) <= MOST_COLUMNS:
        return columns
    others = [column for column in columns if column.n_distinct > 1 and column.name != title]
    chosen = {column.name for column in _first(others, lambda column: column.filled)}
    return [column for column in columns if column.name in chosen or column.name == title]


def _first(columns: list[MetadataColumn], measure: Callable[[MetadataColumn], float]) -> list[MetadataColumn]:
    """The columns with the highest measure, in their order; of equal ones the first."""
    best = {column.name for column in sorted(columns, key=lambda column: -measure(column))[:MOST_COLUMNS]}
    return [column for column in columns if column.name in best]

"""Questions about the source's own columns."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

import pyarrow as pa

from featurelib.schema import Refusal
from featurelib.stats import wilson
from featurelib.storage.metadata import FEW_VALUES, column_summaries, time_zones
from featurelib.storage.store import Store, quoted

FIXED = {
    *("rank", "text_id", "activation", "text", "source_id", "source_row", "n_tokens", "truncated", "cut", "sae_split"),
    *("n_active", "fvu", "cosine", "feature_id", "band", "low", "high", "n_band"),
    *("n_copies", "pre_activation", "needed", "strength"),
}
"""Columns of answers; a metadata column of the same name gets another one."""
OFFSET = re.compile(r"([+-])(\d{2}):?(\d{2})", re.ASCII)
"""A time zone that is an offset, such as +05:30."""
MOST_COLUMNS = 30
"""Columns that lists of texts show, and columns that are offered as filters, at most."""
MOST_NAMED = 12
"""Columns that a sentence names."""


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
    def is_list(self) -> bool:
        """Whether a text may have several values."""
        return self.type.endswith("[]")


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


def own_columns(store: Store, *, every: bool = False) -> str:
    """Return SQL for a select list: the `listed_columns` of `texts t`, or every own column, each after a comma."""
    columns = metadata_columns(store) if every else listed_columns(store)
    return "".join(f", {column.expression('t')} as {quoted(column.shown_name)}" for column in columns)


def metadata_column(store: Store, name: str) -> MetadataColumn:
    """Return one column by name; Refusal with the known names when there is none."""
    columns = metadata_columns(store)
    for column in columns:
        if column.name == name:
            return column
    known = ", ".join(column.name for column in columns[:MOST_NAMED]) or "none"
    if len(columns) > MOST_NAMED:
        known += f" and {len(columns) - MOST_NAMED:,} more"
    raise Refusal(f"the texts have no column '{str(name)[:64]}'; their own columns are: {known}.")


def metadata_values(store: Store, feature_id: int, column: str, *, limit: int = 12) -> pa.Table:
    """Return the values of a column among the texts on which a feature fires.

    Columns: value, n_texts, share, low, high, corpus_share, lift. share = n_texts / the feature's texts, with its 95 %
    interval of Wilson (JASA 22, 1927, 209); corpus_share = the value's texts / all texts; lift = share / corpus_share.
    Texts without a value are in no row, but count in both denominators.
    """
    described = metadata_column(store, column)
    value = f"unnest(list_distinct({described.expression()}))" if described.is_list else described.expression()
    rows = store.ask(
        f"""
        with valued as (
            select text_id, ({value})::varchar as value
            from texts
        ), fires as (
            select text_id
            from activations_by_feature
            where feature_id = $feature_id
        ), here as (
            select value, count(*) as n_texts, (select count(*) from fires) as n
            from valued
            join fires using (text_id)
            group by value
        ), everywhere as (
            select value, count(*) as n_corpus
            from valued
            where value is not null
            group by value
        ), shares as (
            select value, n_texts, n, n_texts / n as share, n_corpus / $n_all as corpus_share
            from here
            join everywhere using (value)
        )
        select value, n_texts, n, share, corpus_share, share / corpus_share as lift
        from shares
        order by n_texts desc, value
        limit $limit""",
        feature_id=feature_id,
        limit=limit,
        n_all=store.n_texts,
    )
    low, high = wilson(rows["n_texts"].to_numpy(), rows["n"].to_numpy())
    columns = {**{name: rows[name] for name in ("value", "n_texts", "share")}, "low": low, "high": high}
    return pa.table({**columns, "corpus_share": rows["corpus_share"], "lift": rows["lift"]})

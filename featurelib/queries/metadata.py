"""Questions about the source's own columns."""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow as pa

from featurelib.schema import TEXTS, Refusal
from featurelib.stats import wilson
from featurelib.storage.store import Store, quoted

FIXED = {
    *("rank", "text_id", "activation", "text", "source_id", "source_row", "n_tokens", "truncated", "cut", "sae_split"),
    *("n_active", "fvu", "cosine", "feature_id", "band", "low", "high", "n_band"),
    *("n_copies", "pre_activation", "needed", "strength"),
}
"""Columns of answers; a metadata column of the same name gets another one."""


@dataclass(frozen=True)
class MetadataColumn:
    """One of the source's own columns."""

    name: str
    """Its name in the table texts."""
    type: str
    """Its type in DuckDB, such as VARCHAR, BIGINT or VARCHAR[]."""
    n_distinct: int
    """The number of its different values; of a list, of its members."""

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
    """Return the source's own columns in their order; read from the files once per generation."""
    return store.once("metadata_columns", lambda: _metadata_columns(store))


def _metadata_columns(store: Store) -> list[MetadataColumn]:
    known = {field.name for field in TEXTS.schema}
    types = {
        row["column_name"]: row["column_type"]
        for row in store.ask("select column_name, column_type from (describe texts)").to_pylist()
        if row["column_name"] not in known
    }
    if not types:
        return []
    counted = ", ".join(f"({_count(name, kind)}) as {quoted(name)}" for name, kind in types.items())
    distinct = store.ask(f"select {counted}").to_pylist()[0]
    return [MetadataColumn(name, kind, distinct[name]) for name, kind in types.items()]


def _count(name: str, kind: str) -> str:
    value = f"unnest({quoted(name)})" if kind.endswith("[]") else quoted(name)
    return f"select count(distinct v) from (select {value} as v from texts)"


def own_columns(store: Store) -> str:
    """Return SQL for a select list: the source's own columns of `texts t`, each after a comma."""
    return "".join(f", t.{quoted(column.name)} as {quoted(column.shown_name)}" for column in metadata_columns(store))


def metadata_column(store: Store, name: str) -> MetadataColumn:
    """Return one column by name; Refusal with the known names when there is none."""
    for column in metadata_columns(store):
        if column.name == name:
            return column
    known = ", ".join(column.name for column in metadata_columns(store)) or "none"
    raise Refusal(f"the texts have no column '{str(name)[:64]}'; their own columns are: {known}.")


def metadata_values(store: Store, feature_id: int, column: str, *, limit: int = 12) -> pa.Table:
    """Return the values of a column among the texts on which a feature fires.

    Columns: value, n_texts, share, low, high, corpus_share, lift. share = n_texts / the feature's texts, with its 95 %
    interval of Wilson (JASA 22, 1927, 209); corpus_share = the value's texts / all texts; lift = share / corpus_share.
    Texts without a value are in no row, but count in both denominators.
    """
    value = f"unnest(list_distinct({quoted(column)}))" if metadata_column(store, column).is_list else quoted(column)
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
            select value, n_texts, n, n_texts / n as share, n_corpus / (select count(*) from texts) as corpus_share
            from here
            join everywhere using (value)
        )
        select value, n_texts, n, share, corpus_share, share / corpus_share as lift
        from shares
        order by n_texts desc, value
        limit $limit""",
        feature_id=feature_id,
        limit=limit,
    )
    low, high = wilson(rows["n_texts"].to_numpy(), rows["n"].to_numpy())
    columns = {**{name: rows[name] for name in ("value", "n_texts", "share")}, "low": low, "high": high}
    return pa.table({**columns, "corpus_share": rows["corpus_share"], "lift": rows["lift"]})

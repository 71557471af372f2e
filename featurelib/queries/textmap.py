"""Questions about the text map: where the texts lie, and the values by which they are coloured."""

from __future__ import annotations

from collections.abc import Iterable

import pyarrow as pa

from featurelib.queries.metadata import metadata_column
from featurelib.storage.store import Store, quoted

NUMBERS = {*("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT"), *("FLOAT", "DOUBLE", "REAL", "DECIMAL")}
"""DuckDB's numeric types, whose values are coloured on a scale."""


def text_layout(store: Store) -> pa.Table:
    """Return the texts that have a place, by id: text_id, x, y."""
    return store.ask("select text_id, x, y from text_layout order by text_id")


def layout_activations(store: Store, feature_id: int) -> pa.Table:
    """Return the activation of one feature on each text that has a place, by id: text_id, activation (or null)."""
    return store.ask(
        """
        with own as (
            select text_id, activation
            from activations_by_feature
            where feature_id = $feature_id
        )
        select p.text_id, own.activation
        from text_layout p
        left join own on own.text_id = p.text_id
        order by p.text_id""",
        feature_id=int(feature_id),
    )


def is_number(store: Store, column: str) -> bool:
    """Return whether a metadata column holds numbers."""
    return metadata_column(store, column).type.partition("(")[0] in NUMBERS


def layout_numbers(store: Store, column: str) -> pa.Table:
    """Return a column of numbers for every text that has a place, by id: text_id, number; null where it has none."""
    return store.ask(
        f"""
        select p.text_id, t.{quoted(metadata_column(store, column).name)}::float as number
        from text_layout p
        join texts t on t.text_id = p.text_id
        order by p.text_id"""
    )


def layout_kinds(store: Store, column: str, *, most: int = 8) -> pa.Table:
    """Return the column's `most` commonest values among the texts with a place, the commonest first: value, n_texts.

    Of a list, its first member counts. Ties go to the value that comes first.
    """
    return store.ask(
        f"""
        with valued as (
            select ({_value(store, column)})::varchar as kind
            from text_layout p
            join texts t on t.text_id = p.text_id
        )
        select kind as value, count(*) as n_texts
        from valued
        where kind is not null
        group by kind
        order by n_texts desc, kind
        limit $most""",
        most=most,
    )


def layout_kind_of(store: Store, column: str, values: list[str]) -> pa.Table:
    """Return which of `values` each text that has a place has, by id: text_id, kind (position from 0, or null)."""
    return store.ask(
        f"""
        select p.text_id, nullif(list_position($values::varchar[], ({_value(store, column)})::varchar), 0) - 1 as kind
        from text_layout p
        join texts t on t.text_id = p.text_id
        order by p.text_id""",
        values=values,
    )


def _value(store: Store, column: str) -> str:
    described = metadata_column(store, column)
    return described.expression("t") + ("[1]" if described.is_list else "")


def features_among(store: Store, text_ids: Iterable[int], *, limit: int = 8, least: float = 0.1) -> pa.Table:
    """Return features that fire more often on some texts than on all: feature_id, label, n_texts, share, density, lift.

    share = n_texts / the number of those texts; lift = share / density, the highest first. Only features that fire on 2
    of the texts or more and have a share of `least` or more.
    """
    ids = list(dict.fromkeys(int(text_id) for text_id in text_ids))
    return store.ask(
        """
        with counted as (
            select feature_id, count(*) as n_texts
            from activations_by_text
            where text_id in (select unnest($ids::bigint[]))
            group by feature_id
        )
        select c.feature_id, coalesce(l.label, 'feature ' || c.feature_id) as label, c.n_texts,
            c.n_texts / len($ids::bigint[]) as share, f.density, c.n_texts / len($ids::bigint[]) / f.density as lift
        from counted c
        join features f on f.feature_id = c.feature_id
        left join maybe.labels l on l.feature_id = c.feature_id
        where c.n_texts >= 2 and c.n_texts / len($ids::bigint[]) >= $least and f.density > 0
        order by lift desc, c.feature_id
        limit $limit""",
        ids=ids,
        least=least,
        limit=limit,
    )

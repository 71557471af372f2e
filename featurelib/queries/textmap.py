"""Questions about the text map: where the texts lie, and the values by which they are coloured."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pyarrow as pa

from featurelib.queries.metadata import metadata_column
from featurelib.schema import FEATURES
from featurelib.storage.answers import once_per_generation
from featurelib.storage.derived import cards_of
from featurelib.storage.fired import features_of, texts_of
from featurelib.storage.own_columns import telling_columns, title_column
from featurelib.storage.sql_text import quoted
from featurelib.storage.store import Store

NAMED_LEVELS = 2
"""Levels of regions, the coarsest, that are named on the text map."""
LEAST_TEXTS = 5
"""Texts of a region with a place on the text map, at least, for its name to stand there."""
LONGEST_TITLE = 60
"""Characters of a text's title, or of its beginning, that are shown on hover."""
NUMBERS = {*("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT"), *("FLOAT", "DOUBLE", "REAL", "DECIMAL")}
"""DuckDB's numeric types, whose values are coloured on a scale."""


@once_per_generation
def text_layout(store: Store) -> pa.Table:
    """Return the texts that have a place, by id: text_id, x, y."""
    return store.ask("select text_id, x, y from text_layout order by text_id")


@once_per_generation
def text_regions(store: Store) -> pa.Table:
    """Return the regions that have a name, at the median place of their texts, coarse to fine, the largest first.

    Columns: level, region_id, label, x, y, n_texts (those that have a place). A text belongs to the region of each
    level whose features are strongest on it.
    """
    return store.ask(
        """
        select g.level, g.region_id, g.label, median(p.x)::float as x, median(p.y)::float as y, count(*) as n_texts
        from region_texts r
        join text_layout p on p.text_id = r.text_id
        join regions g on g.level = r.level and g.region_id = r.region_id
        where g.label is not null and g.level < $levels
        group by g.level, g.region_id, g.label
        having count(*) >= $least
        order by g.level, n_texts desc, g.region_id""",
        levels=NAMED_LEVELS,
        least=LEAST_TEXTS,
    )


@once_per_generation
def text_titles(store: Store) -> pa.Table:
    """Return what a text with a place is called, by id: text_id, title (cut), kind (of `kind_column`, or null).

    A text without a title begins with its first words.
    """
    title, kind = title_column(store), kind_column(store)
    own = f"nullif(t.{quoted(title)}, '')" if title else "null"
    return store.ask(
        f"""
        select p.text_id, left(coalesce({own}, t.text), $longest) as title,
            left(({_value(store, kind) if kind else "null"})::varchar, $longest) as kind
        from text_layout p
        join texts t on t.text_id = p.text_id
        order by p.text_id""",
        longest=LONGEST_TITLE,
    )


def kind_column(store: Store) -> str | None:
    """Return the first column of a few kinds of texts, such as a group; None where there is none."""
    columns = [column for column in telling_columns(store) if not column.is_list]
    return next((column.name for column in columns if not is_number(store, column.name)), None)


def layout_activations(store: Store, feature_id: int) -> pa.Table:
    """Return the activation of one feature on each text that has a place, by id: text_id, activation (or null)."""
    layout_ids = text_layout(store)["text_id"].to_numpy()
    fired = texts_of(store, feature_id)
    text_ids = np.asarray(fired.text_ids)
    places = np.minimum(np.searchsorted(layout_ids, text_ids), max(len(layout_ids) - 1, 0))
    there = np.flatnonzero(layout_ids[places] == text_ids) if len(layout_ids) else np.empty(0, np.int64)
    activations = np.full(len(layout_ids), np.nan, np.float32)
    activations[places[there]] = np.asarray(fired.activations)[there]
    silent = np.isnan(activations)
    return pa.table({"text_id": layout_ids, "activation": pa.array(activations, pa.float32(), mask=silent)})


def is_number(store: Store, column: str) -> bool:
    """Return whether a metadata column holds numbers."""
    return metadata_column(store, column).type.partition("(")[0] in NUMBERS


@once_per_generation
def layout_numbers(store: Store, column: str) -> pa.Table:
    """Return a column of numbers for every text that has a place, by id: text_id, number; null where it has none."""
    return store.ask(
        f"""
        select p.text_id, t.{quoted(metadata_column(store, column).name)}::float as number
        from text_layout p
        join texts t on t.text_id = p.text_id
        order by p.text_id"""
    )


@once_per_generation
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
    store.need(FEATURES)
    ids = np.array(list(dict.fromkeys(int(text_id) for text_id in text_ids)), np.int64)
    found = np.unique(features_of(store, ids).feature_ids, return_counts=True)
    feature_ids, n_texts = found[0], found[1].astype(np.int64)
    share = n_texts / max(len(ids), 1)
    kept = np.flatnonzero((n_texts >= 2) & (share >= least))
    known = cards_of(store, feature_ids[kept])
    lift = share[kept] / known["density"].to_numpy()
    best = np.lexsort((feature_ids[kept], -lift))[:limit]
    rows = kept[best]
    return pa.table(
        {
            "feature_id": pa.array(feature_ids[rows], pa.int32()),
            "label": known["label"].take(pa.array(best)),
            "n_texts": n_texts[rows],
            "share": share[rows],
            "density": known["density"].take(pa.array(best)),
            "lift": lift[best],
        }
    )

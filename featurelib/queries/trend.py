"""Questions about columns that have an order: numbers and dates, and the features that rise or fall with them."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from featurelib.queries.metadata import metadata_column
from featurelib.queries.slices import units
from featurelib.queries.textmap import is_number
from featurelib.schema import FEATURES, Refusal
from featurelib.slices.trend import Trend, trend
from featurelib.storage.answers import once_per_generation
from featurelib.storage.derived import cards_of
from featurelib.storage.fired import feature_blocks, texts_of
from featurelib.storage.own_columns import MetadataColumn, filter_columns, metadata_columns, title_column
from featurelib.storage.sql_text import quoted
from featurelib.storage.store import Store

CATEGORY, NUMBER, DATE = "category", "number", "date"
READ = 1_000
"""Texts that are read to see whether words are dates."""
DATE_WORDS = r"\d{4}-\d{2}-\d{2}.*"
MOST_BINS = 12
"""Bins of an ordered column."""
LEAST_TEXTS = 20
"""Texts with a number, at least, for a correlation with it."""


@dataclass(frozen=True)
class ColumnKinds:
    """What can be asked of a column of the source."""

    name: str
    kinds: tuple[str, ...]
    """category (its values are held against each other), number or date (features are correlated with it)."""


@dataclass(frozen=True)
class Bins:
    """An ordered column, in bins of about as many texts each, or one for each value where these are few."""

    names: list[str]
    """The bins in words."""
    of_text: np.ndarray
    """The bin of each text, int64 [n_texts]; -1 where it has no number, or is a copy."""
    n_texts: np.ndarray
    """Texts in each bin, each different text once."""


@once_per_generation
def column_kinds(store: Store) -> list[ColumnKinds]:
    """Return the columns that features can be ranked by, in their order."""
    few = {column.name for column in filter_columns(store)}
    title, found = title_column(store), []
    for column in metadata_columns(store):
        ordered = column.n_distinct > 2 and column.name != title and _ordered(store, column)
        kinds = (CATEGORY,) * (column.name in few) + ((ordered,) if ordered else ())
        if kinds:
            found.append(ColumnKinds(column.name, kinds))
    return found


def _ordered(store: Store, column: MetadataColumn) -> str:
    """Whether a column holds numbers or dates; empty for all else."""
    if is_number(store, column.name):
        return NUMBER
    if column.type == "DATE" or column.type.startswith("TIMESTAMP"):
        return DATE
    if column.type != "VARCHAR":
        return ""
    rows = store.ask(
        f"""
        with read as (
            select {quoted(column.name)} as value
            from texts
            where text_id < $read and {quoted(column.name)} is not null
        )
        select count(*) as n,
            count(*) filter (regexp_full_match(value, $words) and try_cast(value as timestamp) is not null) as n_dates
        from read""",
        read=READ,
        words=DATE_WORDS,
    ).to_pylist()[0]
    return DATE if rows["n"] and rows["n"] == rows["n_dates"] else ""


def numbers_of(store: Store, column: str) -> np.ndarray:
    """Return a column of numbers or dates (in days) for every text, float64 [n_texts], NaN where a text has none."""
    described = metadata_column(store, column)
    name = quoted(described.name)
    value = f"{name}::double" if is_number(store, column) else f"epoch(try_cast({name} as timestamp)) / 86400"
    rows = store.ask(f"select {value} as number from texts order by text_id")
    numbers: np.ndarray = rows["number"].to_numpy().astype(np.float64)
    return numbers


def trend_of(store: Store, column: str) -> Trend:
    """Correlate every feature with a column of numbers or dates; Refusal when too few texts have different ones."""
    store.need(FEATURES)
    numbers = numbers_of(store, column)
    known = numbers[units(store).different(np.isfinite(numbers))]
    if len(known) < LEAST_TEXTS or len(np.unique(known)) < 3:
        raise Refusal(
            f"{len(known)} different texts have {len(np.unique(known))} different values in '{column}'; a trend needs "
            f"{LEAST_TEXTS} texts and 3 values."
        )
    return trend(feature_blocks(store), numbers, units(store))


def trend_rows(store: Store, followed: Trend) -> pa.Table:
    """Return the features that were tested: feature_id, label, then what a trend says of each.

    Columns: rho, adjusted (among texts of the same length), n_active, rate, differs, follows_length.
    """
    chosen = np.flatnonzero(np.isfinite(followed.rho))
    known = cards_of(store, chosen)
    return pa.table(
        {
            "feature_id": pa.array(chosen, pa.int32()),
            "label": known["label"],
            "rho": followed.rho[chosen],
            "adjusted": followed.adjusted[chosen],
            "n_active": followed.n_active[chosen],
            "rate": followed.rate[chosen],
            "differs": followed.differs[chosen],
            "follows_length": followed.follows_length[chosen],
        }
    )


def bins_of(store: Store, column: str) -> Bins:
    """Divide the texts by a column of numbers or dates."""
    numbers = numbers_of(store, column)
    counted = units(store).different(np.isfinite(numbers))
    values = np.unique(numbers[counted])
    if len(values) <= MOST_BINS:
        starts = values
    else:
        starts = np.unique(np.quantile(numbers[counted], np.arange(MOST_BINS) / MOST_BINS, method="lower"))
    of_text = np.where(counted, np.searchsorted(starts, np.nan_to_num(numbers), "right") - 1, -1)
    is_date = not is_number(store, column)
    return Bins(_names(starts, values, is_date), of_text, np.bincount(of_text[counted], minlength=len(starts)))


def _names(starts: np.ndarray, values: np.ndarray, is_date: bool) -> list[str]:
    """The bins in words: from their first value to their last."""
    ends = np.append(values[np.searchsorted(values, starts[1:]) - 1], values[-1:])
    words = [[_words(value, is_date) for value in pair] for pair in zip(starts, ends, strict=True)]
    return [first if first == last else f"{first} – {last}" for first, last in words]


def _words(value: float, is_date: bool) -> str:
    return str(np.datetime64(math.floor(value), "D")) if is_date else f"{value:.6g}"


def densities_by_bin(store: Store, bins: Bins, feature_ids: Iterable[int]) -> np.ndarray:
    """Return the share of each bin's texts on which some features fire, float64 [n_features, n_bins]."""
    rows = []
    for feature_id in feature_ids:
        own = bins.of_text[texts_of(store, feature_id).text_ids]
        rows.append(np.bincount(own[own >= 0], minlength=len(bins.names)) / np.maximum(bins.n_texts, 1))
    return np.array(rows).reshape(-1, len(bins.names))

"""Questions about the source's own columns."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from featurelib.schema import Refusal
from featurelib.stats import wilson
from featurelib.storage.fired import texts_of
from featurelib.storage.index.opened import Index
from featurelib.storage.metadata import FEW_VALUES
from featurelib.storage.own_columns import MetadataColumn, metadata_columns
from featurelib.storage.store import Store

MOST_NAMED = 12
"""Columns that a sentence names."""


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


def having(store: Store, column: MetadataColumn, text_ids: np.ndarray, value: str | None) -> np.ndarray:
    """Return the places in `text_ids` of the texts that have a value (of a column of lists: among others), ascending.

    `value` is written as text; no text has None.
    """
    places = store.from_index(lambda index: _coded_having(index, column.name, text_ids, value))
    if places is not None:
        return places
    name = column.expression("t")
    matches = f"list_contains({name}::varchar[], $value::varchar)" if column.is_list else f"{name}::varchar = $value"
    rows = store.ask(
        f"""
        select t.text_id
        from texts t
        where t.text_id in (select unnest($ids::bigint[])) and {matches}
        order by t.text_id""",
        ids=text_ids.tolist(),
        value=value,
    )
    return np.flatnonzero(np.isin(text_ids, rows["text_id"].to_numpy()))


def _coded_having(index: Index, name: str, text_ids: np.ndarray, value: str | None) -> np.ndarray | None:
    coded = index.coded.get(name)
    if coded is None:
        return None
    if value not in coded.values:
        return np.empty(0, np.int64)
    places, codes = index.arrays.codes(coded.number, text_ids)
    return np.asarray(places[codes == coded.values.index(value) + 1])


@dataclass(frozen=True)
class CodedTexts:
    """Which texts have which values of a column; in a column of lists a text may have several."""

    values: list[str]
    """The different values as words, ascending."""
    text_ids: np.ndarray
    """int64 [n], ascending."""
    codes: np.ndarray
    """The place of a value that the text has, int64 [n]."""

    @property
    def n_corpus(self) -> np.ndarray:
        """The number of texts that have each value."""
        return np.bincount(self.codes, minlength=len(self.values))

    def having(self, code: int) -> np.ndarray:
        """The texts that have a value, ascending."""
        texts: np.ndarray = self.text_ids[self.codes == code]
        return texts


def coded_texts(store: Store, column: MetadataColumn) -> CodedTexts:
    """Return which texts have which values of a column; Refusal when there are too many to choose from."""
    if column.n_distinct > FEW_VALUES:
        raise Refusal(
            f"'{column.name}' has more than {FEW_VALUES} different values; choose a column with fewer, or group them."
        )
    found = store.from_index(lambda index: _coded_texts(index, column.name, store.n_texts))
    if found is not None:
        return found
    rows = store.ask(
        f"""
        with valued as (
            select text_id, ({column.members})::varchar as value
            from texts
        )
        select text_id, value
        from valued
        where value is not null
        order by text_id, value"""
    )
    values, codes = np.unique(rows["value"].to_numpy(zero_copy_only=False).astype(str), return_inverse=True)
    return CodedTexts(values.tolist(), rows["text_id"].to_numpy(), codes)


def column_values(store: Store, column: str) -> list[str]:
    """Return the different values of a column as words, ascending; Refusal as `coded_texts`."""
    return store.once(f"values of {column}", lambda: coded_texts(store, metadata_column(store, column)).values)


def _coded_texts(index: Index, name: str, n_texts: int) -> CodedTexts | None:
    coded = index.coded.get(name)
    if coded is None:
        return None
    text_ids, codes = index.arrays.codes(coded.number, np.arange(n_texts))
    return CodedTexts(list(coded.values), text_ids, codes.astype(np.int64) - 1)


def metadata_values(store: Store, feature_id: int, column: str, *, limit: int = 12) -> pa.Table:
    """Return the values of a column among the texts on which a feature fires.

    Columns: value, n_texts, share, low, high, corpus_share, lift. share = n_texts / the feature's texts, with its 95 %
    interval of Wilson (JASA 22, 1927, 209); corpus_share = the value's texts / all texts; lift = share / corpus_share.
    Texts without a value are in no row, but count in both denominators.
    """
    fired = texts_of(store, feature_id)
    values, n_texts, n_corpus = _counted(store, metadata_column(store, column), fired.text_ids)
    order = np.argsort(-n_texts, kind="stable")[:limit]
    order = order[n_texts[order] > 0]
    n_here = n_texts[order]
    n_all = len(fired.text_ids)
    share, corpus_share = n_here / max(n_all, 1), n_corpus[order] / store.n_texts
    low, high = wilson(n_here, np.full(len(order), n_all))
    return pa.table(
        {
            "value": values.take(pa.array(order)),
            "n_texts": n_here,
            "share": share,
            "low": low,
            "high": high,
            "corpus_share": corpus_share,
            "lift": share / corpus_share,
        }
    )


def _counted(
    store: Store, column: MetadataColumn, text_ids: np.ndarray
) -> tuple[pa.ChunkedArray, np.ndarray, np.ndarray]:
    """The values of a column in order, the number of some texts that have each, and the number of all texts."""
    counted = store.from_index(lambda index: _coded_counts(index, column.name, text_ids))
    if counted is not None:
        return counted
    rows = store.ask(
        f"""
        with valued as (
            select text_id, ({column.members})::varchar as value
            from texts
        )
        select value, count(*) as n_corpus,
            count(*) filter (text_id in (select unnest($ids::bigint[]))) as n_texts
        from valued
        where value is not null
        group by value
        order by value""",
        ids=text_ids.tolist(),
    )
    return rows["value"], rows["n_texts"].to_numpy(), rows["n_corpus"].to_numpy()


def _coded_counts(
    index: Index, name: str, text_ids: np.ndarray
) -> tuple[pa.ChunkedArray, np.ndarray, np.ndarray] | None:
    coded = index.coded.get(name)
    if coded is None:
        return None
    _, codes = index.arrays.codes(coded.number, text_ids)
    counts = np.bincount(codes, minlength=len(coded.values) + 1)[1:]
    return pa.chunked_array([pa.array(coded.values, pa.string())]), counts, coded.n_corpus

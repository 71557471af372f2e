"""Questions about texts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from featurelib.schema import Refusal
from featurelib.storage.derived import cards_of, listed_texts
from featurelib.storage.fired import features_of
from featurelib.storage.own_columns import listed_columns, metadata_columns, title_column
from featurelib.storage.sql_text import quoted
from featurelib.storage.store import Store


@dataclass(frozen=True)
class TextRow:
    """One text of the corpus with all that is known of it but the source's own columns (see `text_metadata`)."""

    text_id: int
    source_id: str | None
    source_row: int
    text: str
    title: str | None
    """The value of the run's title column, None when it has none."""
    n_active: int | None
    """The number of features that fire on it; None before the stage encode."""
    fvu: float | None
    """The share of its variance that the SAE leaves unexplained."""
    cosine: float | None
    """Its cosine to its reconstruction."""
    n_tokens: int | None
    """The tokens that the embedder read; None for precomputed embeddings."""
    truncated: bool | None
    cut: int | None
    """The character at which the embedder stopped reading, -1 when it read everything."""
    sae_split: str | None
    """train, held_out or unknown."""


def text(store: Store, text_id: int) -> TextRow:
    """Return one text; Refusal naming the range when there is none with this id."""
    columns = [column.name for column in listed_columns(store)]
    title = title_column(store)
    own = f"own_{columns.index(title)}" if title in columns else "null"
    rows = store.look_up(
        f"""
        select text_id, source_id, source_row, text, {own} as title, n_active, fvu, cosine, n_tokens, truncated, cut,
            sae_split
        from {listed_texts(store)}
        where text_id = $text_id""",
        text_id=_known(store, text_id),
    ).to_pylist()
    row = rows[0]
    return TextRow(**row | {"title": None if row["title"] is None else str(row["title"])})


def _known(store: Store, text_id: int) -> int:
    if not 0 <= int(text_id) < store.n_texts:
        raise Refusal(f"there is no text {text_id}; this run's texts are 0 to {store.n_texts - 1}.")
    return int(text_id)


def text_metadata(store: Store, text_id: int, names: Sequence[str] | None = None) -> dict[str, Any]:
    """Return the values of one text in the source's own columns `names` (None: in all of them), by name.

    Refusal when there is no such text or column.
    """
    columns = [column.name for column in metadata_columns(store)] if names is None else list(names)
    unknown = set(columns) - {column.name for column in metadata_columns(store)}
    if unknown:
        raise Refusal(f"the texts have no column '{min(unknown)[:64]}'.")
    if not columns:
        return {}
    listed = {column.name: number for number, column in enumerate(listed_columns(store))}
    if set(columns) <= set(listed):
        own = _own(store, texts_rows(store, [_known(store, text_id)])).columns  # by place: shown names may be equal
        return {name: own[listed[name]][0].as_py() for name in columns}
    described = {column.name: column for column in metadata_columns(store)}
    asked = ", ".join(f'{described[name].expression()} as "own {number}"' for number, name in enumerate(columns))
    rows = store.ask(f"select {asked} from texts where text_id = $text_id", text_id=_known(store, text_id))
    return dict(zip(columns, rows.to_pylist()[0].values(), strict=True))


TEXT_FIELDS = ("text", "source_id", "n_tokens", "truncated", "cut", "sae_split")


def texts(store: Store, text_ids: Iterable[int]) -> pa.Table:
    """Return some texts in the order of the ids as given, each once; an unknown id gives no row.

    Columns: text_id, text, source_id, n_tokens, truncated, cut, sae_split, then the source's own that
    lists have (`listed_columns`) as `MetadataColumn.shown_name`.
    """
    rows = texts_rows(store, list(dict.fromkeys(int(text_id) for text_id in text_ids)))
    own = _own(store, rows)
    return pa.table([*rows.select(("text_id", *TEXT_FIELDS)).columns, *own.columns],
                    names=["text_id", *TEXT_FIELDS, *own.column_names])  # fmt: skip


def texts_rows(store: Store, ids: Sequence[int]) -> pa.Table:
    """The rows of LISTED_TEXTS with these ids, in their order; an unknown id gives none."""
    own = "".join(f", own_{number}" for number in range(len(listed_columns(store))))
    rows = store.look_up(
        f"""
        select text_id, {", ".join(TEXT_FIELDS)}{own}
        from {listed_texts(store)}
        where text_id in (select unnest($ids::bigint[]))""",
        ids=list(ids),
    )
    place = {text_id: number for number, text_id in enumerate(rows["text_id"].to_pylist())}
    return rows.take(pa.array([place[text_id] for text_id in ids if text_id in place], pa.int64()))


def _own(store: Store, rows: pa.Table) -> pa.Table:
    """The own columns of rows of LISTED_TEXTS, as answers name them."""
    columns = listed_columns(store)
    return pa.table(
        [column.read(rows[f"own_{number}"]) for number, column in enumerate(columns)],
        names=[column.shown_name for column in columns],
    )


def beside_texts(
    store: Store, rows: pa.Table, *, after: Mapping[str, pa.Array] | None = None, every: bool = False
) -> pa.Table:
    """Return rows with a text_id, each different, with what is known of their texts beside them.

    Then come the columns `after`, then the own columns that lists have, or `every` one.
    """
    ids = rows["text_id"].to_pylist()
    known = texts_rows(store, ids)
    own = _every_own(store, ids) if every else _own(store, known)
    columns = {name: rows[name] for name in rows.column_names}
    columns |= {name: known[name] for name in TEXT_FIELDS} | dict(after or {})
    return pa.table([*columns.values(), *own.columns], names=[*columns, *own.column_names])


def _every_own(store: Store, ids: Sequence[int]) -> pa.Table:
    listed = "".join(f", {column.expression()} as {quoted(column.shown_name)}" for column in metadata_columns(store))
    rows = store.ask(
        f"""
        select text_id as place_of_text{listed}
        from texts
        where text_id in (select unnest($ids::bigint[]))
        order by list_position($ids::bigint[], text_id)""",
        ids=list(ids),
    )
    return rows.drop_columns(["place_of_text"])


def text_features(store: Store, text_id: int) -> pa.Table:
    """Return the features active on a text, strongest first: feature_id, label, activation, max_activation, density."""
    fired = features_of(store, [int(text_id)])
    known = cards_of(store, fired.feature_ids)
    return pa.table(
        {
            "feature_id": pa.array(fired.feature_ids, pa.int32()),
            "label": known["label"],
            "activation": pa.array(fired.activations, pa.float32()),
            "max_activation": known["max_activation"],
            "density": known["density"],
        }
    )


def active_features(
    store: Store, text_ids: Iterable[int], *, per_text: int = 5, without: int | None = None
) -> pa.Table:
    """Return the strongest features of some texts: text_id, feature_id, label, activation; `without` leaves one out."""
    ids = np.array(sorted({int(text_id) for text_id in text_ids}), np.int64)
    fired = features_of(store, ids)
    kept = np.flatnonzero(fired.feature_ids != (-1 if without is None else without))
    whose = fired.whose[kept]
    begins = np.searchsorted(whose, whose)
    kept = kept[np.arange(len(whose)) - begins < per_text]
    feature_ids = fired.feature_ids[kept]
    return pa.table(
        {
            "text_id": pa.array(ids[fired.whose[kept]], pa.int64()),
            "feature_id": pa.array(feature_ids, pa.int32()),
            "label": cards_of(store, feature_ids)["label"],
            "activation": pa.array(fired.activations[kept], pa.float32()),
        }
    )

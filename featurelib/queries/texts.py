"""Questions about texts."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from featurelib.queries.metadata import metadata_columns, own_columns, title_column
from featurelib.schema import Refusal
from featurelib.storage.store import Store, quoted


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
    column = title_column(store)
    title = f"t.{quoted(column)}::varchar" if column else "null"
    rows = store.ask(
        f"""
        select t.text_id, t.source_id, t.source_row, t.text, {title} as title,
            s.n_active, s.fvu, s.cosine, s.n_tokens, s.truncated, s.cut, s.sae_split
        from texts t
        left join maybe.text_summaries s on s.text_id = t.text_id
        where t.text_id = $text_id::hugeint""",
        text_id=int(text_id),
    ).to_pylist()
    if not rows:
        raise Refusal(f"there is no text {text_id}; this run's texts are 0 to {store.n_texts - 1}.")
    return TextRow(**rows[0])


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
    described = {column.name: column for column in metadata_columns(store)}
    listed = ", ".join(f'{described[name].expression()} as "own {number}"' for number, name in enumerate(columns))
    rows = store.ask(f"select {listed} from texts where text_id = $text_id::hugeint", text_id=int(text_id)).to_pylist()
    if not rows:
        raise Refusal(f"there is no text {text_id}; this run's texts are 0 to {store.n_texts - 1}.")
    return dict(zip(columns, rows[0].values(), strict=True))


def texts(store: Store, text_ids: Iterable[int]) -> pa.Table:
    """Return some texts in the order of the ids as given, each once; an unknown id gives no row.

    Columns: text_id, text, source_id, n_tokens, truncated, cut, sae_split, then the source's own that
    lists have (`listed_columns`) as `MetadataColumn.shown_name`.
    """
    ids = list(dict.fromkeys(int(text_id) for text_id in text_ids))
    return store.ask(
        f"""
        select t.text_id, t.text, t.source_id, s.n_tokens, s.truncated, s.cut, s.sae_split{own_columns(store)}
        from texts t
        left join maybe.text_summaries s on s.text_id = t.text_id
        where t.text_id in (select unnest($ids::bigint[]))
        order by list_position($ids::bigint[], t.text_id)""",
        ids=ids,
    )


def text_features(store: Store, text_id: int) -> pa.Table:
    """Return the features active on a text, strongest first: feature_id, label, activation, max_activation, density."""
    return store.ask(
        """
        select a.feature_id, coalesce(l.label, 'feature ' || a.feature_id) as label, a.activation, f.max_activation,
            f.density
        from activations_by_text a
        left join maybe.features f on f.feature_id = a.feature_id
        left join maybe.labels l on l.feature_id = a.feature_id
        where a.text_id = $text_id
        order by a.activation desc, a.feature_id""",
        text_id=text_id,
    )


def active_features(
    store: Store, text_ids: Iterable[int], *, per_text: int = 5, without: int | None = None
) -> pa.Table:
    """Return the strongest features of some texts: text_id, feature_id, label, activation; `without` leaves one out."""
    return store.ask(
        """
        with strongest as (
            select text_id, feature_id, activation
            from activations_by_text
            where text_id in (select unnest($text_ids::bigint[]))
                and ($without::integer is null or feature_id <> $without::integer)
            qualify row_number() over (partition by text_id order by activation desc, feature_id) <= $per_text
        )
        select s.text_id, s.feature_id, coalesce(l.label, 'feature ' || s.feature_id) as label, s.activation
        from strongest s
        left join maybe.labels l on l.feature_id = s.feature_id
        order by s.text_id, s.activation desc, s.feature_id""",
        text_ids=[int(text_id) for text_id in text_ids],
        per_text=per_text,
        without=without,
    )

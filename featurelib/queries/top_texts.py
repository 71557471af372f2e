"""Questions about the texts of one feature: the strongest, random ones, and the histogram of activations."""

from __future__ import annotations

import random

import pyarrow as pa

from featurelib.queries.metadata import metadata_column, own_columns
from featurelib.storage.store import Store


def top_texts(
    store: Store,
    feature_id: int,
    *,
    limit: int = 10,
    offset: int = 0,
    column: str | None = None,
    value: str | None = None,
    collapse: bool = False,
    every_column: bool = False,
) -> pa.Table:
    """Return a feature's texts, the strongest first.

    Without a filter they come from the 100 strongest; with `column` and `value` (as text; a member, when the column
    holds lists) from all texts on which the feature fires, ranked among those that match. With `collapse` only the
    strongest of each group of copies and near copies is listed (`limit` and `offset` count such groups) and n_copies
    counts the others; ranks stay, with gaps. Columns: rank, text_id, activation, text, source_id, n_tokens,
    truncated, cut, sae_split, n_copies, then the source's own as `MetadataColumn.shown_name`: those that lists have
    (`listed_columns`), or with `every_column` all.
    """
    ranked, values = _ranked(store, column, value)
    return store.ask(
        f"""
        with ranked as ({ranked}), grouped as ({GROUPED}), page as (
            select *
            from grouped
            where place = 1 or not $collapse
            order by rank
            limit $limit offset $offset
        )
        select p.rank, p.text_id, p.activation, t.text, t.source_id, s.n_tokens, s.truncated, s.cut, s.sae_split,
            if($collapse, p.n_copies, 0) as n_copies{own_columns(store, every=every_column)}
        from page p
        join texts t on t.text_id = p.text_id
        left join maybe.text_summaries s on s.text_id = p.text_id
        order by p.rank""",
        feature_id=feature_id,
        limit=limit,
        offset=offset,
        collapse=collapse,
        **values,
    )


def count_top_texts(
    store: Store, feature_id: int, *, column: str | None = None, value: str | None = None, collapse: bool = False
) -> int:
    """Return the number of rows that `top_texts` has in all."""
    ranked, values = _ranked(store, column, value)
    return store.count(
        f"""
        with ranked as ({ranked}), grouped as ({GROUPED})
        select count(*)
        from grouped
        where place = 1 or not $collapse""",
        feature_id=feature_id,
        collapse=collapse,
        **values,
    )


GROUPED = """
    select r.rank, r.text_id, r.activation,
        row_number() over (partition by coalesce(c.copy_of, r.text_id) order by r.rank) as place,
        count(*) over (partition by coalesce(c.copy_of, r.text_id)) - 1 as n_copies
    from ranked r
    left join maybe.copies c on c.text_id = r.text_id
"""
"""The texts of `ranked`, each with its place in its group of copies and the number of others in that group."""

_STORED = """
    select rank, text_id, activation
    from top_texts
    where feature_id = $feature_id
"""


def _ranked(store: Store, column: str | None, value: str | None) -> tuple[str, dict[str, str | None]]:
    """Return the SQL of a feature's texts with their ranks, and the values to bind in it."""
    if column is None:
        return _STORED, {}
    is_list = metadata_column(store, column).is_list
    name = metadata_column(store, column).expression("m")
    matches = f"list_contains({name}::varchar[], $value::varchar)" if is_list else f"{name}::varchar = $value"
    sql = f"""
        select (row_number() over (order by a.activation desc, a.text_id))::integer as rank, a.text_id, a.activation
        from activations_by_feature a
        join texts m on m.text_id = a.text_id
        where a.feature_id = $feature_id and {matches}
    """
    return sql, {"value": None if value is None else str(value)}


def random_texts(store: Store, feature_id: int, *, limit: int = 10, seed: int = 0) -> pa.Table:
    """Return texts drawn at random by `seed` from all on which a feature fires, the strongest first.

    Columns: rank (among the feature's texts), text_id, activation, text, source_id, n_tokens, truncated, cut,
    sae_split, then the `listed_columns` as `MetadataColumn.shown_name`.
    """
    n_active = _n_active(store, feature_id)
    ranks = random.Random(f"random:{seed}:{feature_id}").sample(range(1, n_active + 1), min(limit, n_active))
    return store.ask(
        f"""
        with ranked as (
            select text_id, activation, row_number() over (order by activation desc, text_id) as rank
            from activations_by_feature
            where feature_id = $feature_id
        )
        select r.rank, r.text_id, r.activation, t.text, t.source_id, s.n_tokens, s.truncated, s.cut,
            s.sae_split{own_columns(store)}
        from ranked r
        join texts t on t.text_id = r.text_id
        left join maybe.text_summaries s on s.text_id = r.text_id
        where r.rank in (select unnest($ranks::bigint[]))
        order by r.rank""",
        feature_id=feature_id,
        ranks=ranks,
    )


def histogram(store: Store, feature_id: int) -> pa.Table:
    """Return the histogram of activations: bin, left (excluded), right, n_texts; 40 equal bins, empty when dead."""
    return store.ask(
        """
        select bin, "left", "right", n_texts
        from histograms
        where feature_id = $feature_id
        order by bin""",
        feature_id=feature_id,
    )


def bands(store: Store, feature_id: int, *, n_bands: int = 4, per_band: int = 3, seed: int = 0) -> pa.Table:
    """Return texts drawn at random by `seed` from quantile bands of a feature's activations, the strongest band first.

    Columns: band (from 1), low, high (its lowest and highest activation), n_band (its texts; the bands are equally
    large, or differ by one), rank (among the feature's texts), text_id, activation, text, source_id, n_tokens,
    truncated, cut, sae_split, then the `listed_columns` as `MetadataColumn.shown_name`.
    """
    return store.ask(
        f"""
        with ranked as (
            select text_id, activation, row_number() over (order by activation desc, text_id) as rank,
                ntile($n_bands) over (order by activation desc, text_id) as band
            from activations_by_feature
            where feature_id = $feature_id
        ), measured as (
            select band, min(activation) as low, max(activation) as high, count(*) as n_band
            from ranked
            group by band
        )
        select r.band::integer as band, b.low, b.high, b.n_band, r.rank, r.text_id, r.activation, t.text, t.source_id,
            s.n_tokens, s.truncated, s.cut, s.sae_split{own_columns(store)}
        from ranked r
        join measured b on b.band = r.band
        join texts t on t.text_id = r.text_id
        left join maybe.text_summaries s on s.text_id = r.text_id
        where r.rank in (select unnest($ranks::bigint[]))
        order by r.rank""",
        feature_id=feature_id,
        n_bands=n_bands,
        ranks=_drawn_ranks(_n_active(store, feature_id), n_bands, per_band, f"{seed}:{feature_id}"),
    )


def _n_active(store: Store, feature_id: int) -> int:
    return store.count(
        "select count(*) from activations_by_feature where feature_id = $feature_id", feature_id=feature_id
    )


def _drawn_ranks(n_active: int, n_bands: int, per_band: int, seed: str) -> list[int]:
    """Ranks (from 1) drawn from each band; the bands have the sizes that SQL's ntile gives them."""
    draw = random.Random(seed)
    small, larger = divmod(n_active, n_bands)
    ranks, first = [], 1
    for band in range(n_bands):
        size = small + (band < larger)
        ranks += sorted(draw.sample(range(first, first + size), min(per_band, size)))
        first += size
    return ranks

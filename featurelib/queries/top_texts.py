"""Questions about the texts of one feature: the strongest, random ones, and the histogram of activations."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from featurelib.queries.metadata import having, metadata_column
from featurelib.queries.texts import beside_texts, texts
from featurelib.storage.answers import once_per_generation
from featurelib.storage.fired import texts_of
from featurelib.storage.own_columns import title_column
from featurelib.storage.store import Store

TITLE = 200
"""Characters of a text without a title that stand for it."""


@dataclass(frozen=True)
class _Ranked:
    """Texts of a feature, the strongest first, each with the number of its copies among them."""

    ranks: np.ndarray
    text_ids: np.ndarray
    activations: np.ndarray
    n_copies: np.ndarray


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
    ranked = _ranked(store, feature_id, column, value, collapse)
    page = slice(offset, offset + limit)
    rows = pa.table(
        {
            "rank": pa.array(ranked.ranks[page], pa.int32()),
            "text_id": pa.array(ranked.text_ids[page], pa.int64()),
            "activation": pa.array(ranked.activations[page], pa.float32()),
        }
    )
    n_copies = pa.array(ranked.n_copies[page], pa.int64())
    return beside_texts(store, rows, after={"n_copies": n_copies}, every=every_column)


def count_top_texts(
    store: Store, feature_id: int, *, column: str | None = None, value: str | None = None, collapse: bool = False
) -> int:
    """Return the number of rows that `top_texts` has in all."""
    return len(_ranked(store, feature_id, column, value, collapse).ranks)


def _ranked(store: Store, feature_id: int, column: str | None, value: str | None, collapse: bool) -> _Ranked:
    if column is None:
        rows = store.look_up(
            """
            select rank, text_id, activation
            from top_texts
            where feature_id = $feature_id
            order by rank""",
            feature_id=feature_id,
        )
        ranks, text_ids, activations = (rows[name].to_numpy() for name in ("rank", "text_id", "activation"))
    else:
        described, fired = metadata_column(store, column), texts_of(store, feature_id)
        matching = having(store, described, fired.text_ids, None if value is None else str(value))
        text_ids, activations = fired.text_ids[matching], fired.activations[matching]
        ranks = np.arange(1, len(text_ids) + 1)
    if not collapse:
        return _Ranked(ranks, text_ids, activations, np.zeros(len(ranks), np.int64))
    _, first, sizes = np.unique(_groups(store, text_ids), return_index=True, return_counts=True)
    order = np.argsort(first)
    first = first[order]
    return _Ranked(ranks[first], text_ids[first], activations[first], sizes[order] - 1)


def _groups(store: Store, text_ids: np.ndarray) -> np.ndarray:
    """The text that each text is a copy of; itself where it is none. int64 [n]."""
    copies, originals = _copies(store)
    groups = text_ids.astype(np.int64)
    if len(copies):
        places = np.minimum(np.searchsorted(copies, groups), len(copies) - 1)
        groups = np.where(copies[places] == groups, originals[places], groups)
    return groups


@once_per_generation
def _copies(store: Store) -> tuple[np.ndarray, np.ndarray]:
    """The texts that are copies, in order, and what each is a copy of."""
    rows = store.ask("select text_id, copy_of from maybe.copies where copy_of is not null order by text_id")
    return rows["text_id"].to_numpy(), rows["copy_of"].to_numpy()


def random_texts(store: Store, feature_id: int, *, limit: int = 10, seed: int = 0) -> pa.Table:
    """Return texts drawn at random by `seed` from all on which a feature fires, the strongest first.

    Columns: rank (among the feature's texts), text_id, activation, text, source_id, n_tokens, truncated, cut,
    sae_split, then the `listed_columns` as `MetadataColumn.shown_name`.
    """
    fired = texts_of(store, feature_id)
    n_active = len(fired.text_ids)
    ranks = random.Random(f"random:{seed}:{feature_id}").sample(range(1, n_active + 1), min(limit, n_active))
    places = np.sort(np.array(ranks, np.int64)) - 1
    rows = pa.table(
        {
            "rank": pa.array(places + 1, pa.int64()),
            "text_id": pa.array(fired.text_ids[places], pa.int64()),
            "activation": pa.array(fired.activations[places], pa.float32()),
        }
    )
    return beside_texts(store, rows)


def histogram(store: Store, feature_id: int) -> pa.Table:
    """Return the histogram of activations: bin, left (excluded), right, n_texts; 40 equal bins, empty when dead."""
    return store.look_up(
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
    fired = texts_of(store, feature_id)
    draw = random.Random(f"{seed}:{feature_id}")
    small, larger = divmod(len(fired.text_ids), n_bands)
    drawn: list[tuple[int, int, int, int]] = []
    first = 0
    for band in range(n_bands):
        size = small + (band < larger)
        ranks = sorted(draw.sample(range(first + 1, first + 1 + size), min(per_band, size)))
        drawn += [(band + 1, first, size, rank) for rank in ranks]
        first += size
    band_of, starts, sizes, ranks_drawn = np.array(drawn, np.int64).reshape(-1, 4).T
    rows = pa.table(
        {
            "band": pa.array(band_of, pa.int32()),
            "low": pa.array(fired.activations[starts + sizes - 1], pa.float32()),
            "high": pa.array(fired.activations[starts], pa.float32()),
            "n_band": pa.array(sizes, pa.int64()),
            "rank": pa.array(ranks_drawn, pa.int64()),
            "text_id": pa.array(fired.text_ids[ranks_drawn - 1], pa.int64()),
            "activation": pa.array(fired.activations[ranks_drawn - 1], pa.float32()),
        }
    )
    return beside_texts(store, rows)


def strongest_titles(store: Store, feature_ids: Sequence[int]) -> list[str]:
    """Return the title of each feature's strongest text, or its beginning without one; empty for a dead feature."""
    rows = store.look_up(
        """
        select feature_id, text_id
        from top_texts
        where rank = 1 and feature_id in (select unnest($ids::bigint[]))
        order by feature_id""",
        ids=list(feature_ids),
    )
    strongest = dict(zip(rows["feature_id"].to_pylist(), rows["text_id"].to_pylist(), strict=True))
    title = title_column(store)
    openings = {
        row["text_id"]: str((row.get(title) if title else None) or row["text"])[:TITLE]
        for row in texts(store, strongest.values()).to_pylist()
    }
    return [openings.get(strongest.get(feature_id, -1), "") for feature_id in feature_ids]

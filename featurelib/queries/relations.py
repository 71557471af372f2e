"""Questions about two features at a time."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from featurelib.schema import MIN_BOTH, Refusal
from featurelib.storage.store import Store

MEASURES = ("lift", "jaccard", "conditional")
"""The measures of coactivation that features can be ordered by."""
MOST_IN_MATRIX = 60
"""Features of a coactivation matrix, at most; more could not be read."""

CLOSE = """
select n.neighbour_id as feature_id, coalesce(l.label, 'feature ' || n.neighbour_id) as label, n.cosine
from {view} n
left join maybe.labels l on l.feature_id = n.neighbour_id
where n.feature_id = $feature_id
order by n.rank
limit $limit
"""


@dataclass(frozen=True)
class CoactivationMatrix:
    """How often some features fire on the same texts."""

    feature_ids: list[int]
    """The features, in the order of the ids as given."""
    labels: list[str]
    """Their labels."""
    n_both: np.ndarray
    """int64 [n, n]: texts on which both fire; on the diagonal, those on which the feature fires."""


def neighbours(store: Store, feature_id: int, *, limit: int = 10) -> pa.Table:
    """Return the features whose directions are nearest: feature_id, label, cosine."""
    return store.ask(CLOSE.format(view="neighbours"), feature_id=feature_id, limit=limit)


def opposites(store: Store, feature_id: int, *, limit: int = 10) -> pa.Table:
    """Return the features whose directions are most opposite: feature_id, label, cosine."""
    return store.ask(CLOSE.format(view="opposites"), feature_id=feature_id, limit=limit)


def coactivations(
    store: Store, feature_id: int, *, limit: int = 10, min_both: int = MIN_BOTH, by: str = "lift"
) -> pa.Table:
    """Return the features that fire on the same texts, the highest `by` (one of MEASURES) first.

    Columns: feature_id, label, n_both, jaccard, conditional = P(other | feature), lift. `min_both` is the least number
    of common texts, from 1. The answer is always exact. The stored table, with the 50 of highest lift on 5 common texts
    or more, answers for lift and 5; for another measure or minimum the right features may not be among these 50, so
    they are counted on the activations, which takes longer the more texts the feature fires on.
    """
    if by not in MEASURES:
        raise Refusal(f"coactivation cannot be ordered by '{str(by)[:40]}'; use one of {', '.join(MEASURES)}.")
    values = {"feature_id": feature_id, "limit": limit}
    if by == "lift" and min_both == MIN_BOTH:
        return store.ask(
            """
            select c.other_id as feature_id, coalesce(l.label, 'feature ' || c.other_id) as label,
                c.n_both, c.jaccard, c.conditional, c.lift
            from coactivations c
            left join maybe.labels l on l.feature_id = c.other_id
            where c.feature_id = $feature_id
            order by c.rank
            limit $limit""",
            **values,
        )
    return store.ask(
        f"""
        with here as (
            select text_id
            from activations_by_feature
            where feature_id = $feature_id
        ), own as (
            select count(*) as n
            from here
        ), counted as (
            select feature_id, count(*) as n_both
            from activations_by_text
            where text_id in (select text_id from here) and feature_id <> $feature_id
            group by feature_id
            having count(*) >= $min_both
        ), measured as (
            select c.feature_id, c.n_both, c.n_both / (own.n + f.n_active - c.n_both) as jaccard,
                c.n_both / own.n as conditional,
                (c.n_both * $n_texts)::double / (own.n * f.n_active)::double as lift
            from counted c
            join features f on f.feature_id = c.feature_id
            cross join own
        )
        select m.feature_id, coalesce(l.label, 'feature ' || m.feature_id) as label, m.n_both, m.jaccard,
            m.conditional, m.lift
        from measured m
        left join maybe.labels l on l.feature_id = m.feature_id
        order by m.{by} desc, m.n_both desc, m.feature_id
        limit $limit""",
        **values,
        min_both=min_both,
        n_texts=store.n_texts,
    )


def coactivation_matrix(store: Store, ids: Iterable[int]) -> CoactivationMatrix:
    """Return how often each two of some features fire on one text; of more than 60, the 60 that fire on most texts.

    Unknown and repeated ids are left out; the others keep their order.
    """
    unique_ids = list(dict.fromkeys(int(feature_id) for feature_id in ids))
    known = store.ask(
        """
        select f.feature_id, coalesce(l.label, 'feature ' || f.feature_id) as label
        from features f
        left join maybe.labels l on l.feature_id = f.feature_id
        where f.feature_id in (select unnest($ids::bigint[]))
        order by f.n_active desc, f.feature_id
        limit $most""",
        ids=unique_ids,
        most=MOST_IN_MATRIX,
    )
    labels = dict(zip(known["feature_id"].to_pylist(), known["label"].to_pylist(), strict=True))
    feature_ids = [feature_id for feature_id in unique_ids if feature_id in labels]
    rows = store.ask(
        """
        with fired as (
            select text_id, feature_id
            from activations_by_feature
            where feature_id in (select unnest($ids::bigint[]))
        )
        select x.feature_id, y.feature_id as other_id, count(*) as n_both
        from fired x
        join fired y on y.text_id = x.text_id
        group by x.feature_id, y.feature_id
        order by x.feature_id, y.feature_id""",
        ids=feature_ids,
    )
    names = [labels[feature_id] for feature_id in feature_ids]
    return CoactivationMatrix(feature_ids, names, _square(feature_ids, rows))


def _square(ids: list[int], rows: pa.Table) -> np.ndarray:
    place = {feature_id: position for position, feature_id in enumerate(ids)}
    square = np.zeros((len(ids), len(ids)), np.int64)
    for feature_id, other_id, n_both in zip(*(column.to_pylist() for column in rows.columns), strict=True):
        square[place[feature_id], place[other_id]] = n_both
    return square

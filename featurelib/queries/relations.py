"""Questions about two features at a time."""

from __future__ import annotations

import pyarrow as pa

from featurelib.schema import MIN_BOTH
from featurelib.store import Store

CLOSE = """
select n.neighbour_id as feature_id, coalesce(l.label, 'feature ' || n.neighbour_id) as label, n.cosine
from {view} n
left join maybe.labels l on l.feature_id = n.neighbour_id
where n.feature_id = $feature_id
order by n.rank
limit $limit
"""


def neighbours(store: Store, feature_id: int, *, limit: int = 10) -> pa.Table:
    """The features whose directions are nearest: feature_id, label, cosine."""
    return store.ask(CLOSE.format(view="neighbours"), feature_id=feature_id, limit=limit)


def opposites(store: Store, feature_id: int, *, limit: int = 10) -> pa.Table:
    """The features whose directions are most opposite: feature_id, label, cosine."""
    return store.ask(CLOSE.format(view="opposites"), feature_id=feature_id, limit=limit)


def coactivations(store: Store, feature_id: int, *, limit: int = 10, min_both: int = MIN_BOTH) -> pa.Table:
    """The features that fire on the same texts, by lift: feature_id, label, n_both, jaccard, conditional, lift.

    `min_both` is the least number of common texts; the table holds, for each feature, its 50 best of 5 or more.
    """
    return store.ask(
        """
        select c.other_id as feature_id, coalesce(l.label, 'feature ' || c.other_id) as label,
            c.n_both, c.jaccard, c.conditional, c.lift
        from coactivations c
        left join maybe.labels l on l.feature_id = c.other_id
        where c.feature_id = $feature_id and c.n_both >= $min_both
        order by c.rank
        limit $limit""",
        feature_id=feature_id,
        limit=limit,
        min_both=min_both,
    )

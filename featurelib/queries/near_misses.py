"""The texts on which a feature nearly fires."""

from __future__ import annotations

import pyarrow as pa

from featurelib.queries.texts import beside_texts
from featurelib.storage.store import Store


def near_misses(store: Store, feature_id: int, *, limit: int = 10) -> pa.Table:
    """Return the texts on which a feature does not fire, but its pre-activation comes nearest to the threshold there.

    The nearest comes first. Of copies and near copies only the nearest is listed, and n_copies counts the others.
    Columns: rank (among the stored ones, from 1), text_id, pre_activation, needed (the threshold), text, source_id,
    n_tokens, truncated, cut, sae_split, n_copies, then the `listed_columns` as `MetadataColumn.shown_name`.
    """
    rows = store.look_up(
        """
        with grouped as (
            select m.rank, m.text_id, m.pre_activation, m.needed,
                row_number() over (partition by coalesce(c.copy_of, m.text_id) order by m.rank) as place,
                count(*) over (partition by coalesce(c.copy_of, m.text_id)) - 1 as n_copies
            from near_misses m
            left join maybe.copies c on c.text_id = m.text_id
            where m.feature_id = $feature_id
        )
        select rank, text_id, pre_activation, needed, n_copies
        from grouped
        where place = 1
        order by rank
        limit $limit""",
        feature_id=feature_id,
        limit=limit,
    )
    ranked = rows.select(["rank", "text_id", "pre_activation", "needed"])
    return beside_texts(store, ranked, after={"n_copies": rows["n_copies"].cast(pa.int64())})

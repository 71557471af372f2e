"""Questions about texts by a combination of features: A and B fire, but not C."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import pyarrow as pa

from featurelib.queries.metadata import own_columns
from featurelib.schema import Refusal
from featurelib.storage.store import Store

MOST_COMBINED = 20
"""Features in one combination, at most."""

# The rows of one feature lie together in the files, so only those of the named features are read.
MATCHING = """
with fired as (
    select a.text_id, a.feature_id, a.activation / f.max_activation as strength
    from activations_by_feature a
    join features f on f.feature_id = a.feature_id
    where a.feature_id in (select unnest($named::bigint[]))
), counted as (
    select text_id, min(strength) filter (feature_id in (select unnest($present::bigint[]))) as strength,
        count(*) filter (feature_id in (select unnest($present::bigint[]))) as n_present,
        count(*) filter (feature_id in (select unnest($absent::bigint[]))) as n_absent
    from fired
    group by text_id
), matching as (
    select t.text_id, c.strength
    from texts t
    left join counted c on c.text_id = t.text_id
    where coalesce(c.n_present, 0) = len($present::bigint[]) and coalesce(c.n_absent, 0) = 0
)
"""


@dataclass(frozen=True)
class CombinedCounts:
    """How many texts match a combination of features."""

    n_texts: int
    """Texts of the corpus."""
    n_present: int
    """Texts on which all features fire that must."""
    n_matching: int
    """Of these, the texts on which no feature fires that must not."""


def _named(present: Sequence[int], absent: Sequence[int]) -> dict[str, list[int]]:
    fire, silent = (list(dict.fromkeys(int(feature_id) for feature_id in ids)) for ids in (present, absent))
    both = sorted(set(fire) & set(silent))
    if both:
        raise Refusal(f"feature {both[0]} cannot fire and not fire on one text; take it from one of the two lists.")
    if len(fire) + len(silent) > MOST_COMBINED:
        raise Refusal(f"{len(fire) + len(silent)} features are named; {MOST_COMBINED} can be combined at most.")
    return {"named": fire + silent, "present": fire, "absent": silent}


def count_combined(store: Store, present: Sequence[int], absent: Sequence[int] = ()) -> CombinedCounts:
    """Count the texts on which all of `present` fire and none of `absent`; Refusal when a feature is in both."""
    values = _named(present, absent)
    count = f"{MATCHING} select count(*) from matching"
    n_matching = store.count(count, **values)
    present_alone = values | {"absent": [], "named": values["present"]}
    n_present = store.count(count, **present_alone) if absent else n_matching
    return CombinedCounts(store.n_texts, n_present, n_matching)


def densities(store: Store, ids: Iterable[int]) -> dict[int, float]:
    """Return the densities of some features, by id; unknown ids are left out."""
    rows = store.ask(
        """
        select feature_id, density
        from features
        where feature_id in (select unnest($ids::bigint[]))
        order by feature_id""",
        ids=[int(feature_id) for feature_id in ids],
    )
    return dict(zip(rows["feature_id"].to_pylist(), rows["density"].to_pylist(), strict=True))


def combined_texts(
    store: Store, present: Sequence[int], absent: Sequence[int] = (), *, limit: int = 10, offset: int = 0
) -> pa.Table:
    """Return the texts on which all of `present` fire and none of `absent`, by descending strength.

    A feature's strength on a text is its activation over its maximum on the corpus; `strength` is the smallest one of
    those of `present`, null when nothing must fire. Columns: text_id, text, strength, cut, sae_split, then the
    `listed_columns`.
    """
    return store.ask(
        f"""{MATCHING}, page as (
            select text_id, strength
            from matching
            order by strength desc nulls last, text_id
            limit $limit::bigint offset $offset::bigint
        )
        select t.text_id, t.text, p.strength, s.cut, s.sae_split{own_columns(store)}
        from page p
        join texts t on t.text_id = p.text_id
        left join maybe.text_summaries s on s.text_id = t.text_id
        order by p.strength desc nulls last, t.text_id""",
        **_named(present, absent),
        limit=limit,
        offset=offset,
    )

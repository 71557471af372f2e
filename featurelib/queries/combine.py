"""Questions about texts by the features that fire on them: A and B, but not C."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import pyarrow as pa

from featurelib.queries.metadata import own_columns
from featurelib.schema import Refusal
from featurelib.storage.store import Store

MOST_COMBINED = 20
"""Features that a question may name."""

# Each feature's rows lie together in the files, so that only those of the features named are read.
FOUND = """
with fired as (
    select a.text_id, a.feature_id, a.activation / f.max_activation as strength
    from activations_by_feature a
    join features f on f.feature_id = a.feature_id
    where a.feature_id in (select unnest($named::bigint[]))
), held as (
    select text_id, min(strength) filter (feature_id in (select unnest($present::bigint[]))) as strength,
        count(*) filter (feature_id in (select unnest($present::bigint[]))) as n_present,
        count(*) filter (feature_id in (select unnest($absent::bigint[]))) as n_absent
    from fired
    group by text_id
), found as (
    select t.text_id, h.strength
    from texts t
    left join held h on h.text_id = t.text_id
    where coalesce(h.n_present, 0) = len($present::bigint[]) and coalesce(h.n_absent, 0) = 0
)
"""


@dataclass(frozen=True)
class CombinedCounts:
    """How many texts a combination of features leaves."""

    n_texts: int
    """Texts of the corpus."""
    n_present: int
    """Texts on which all the features that must fire do."""
    n_found: int
    """Of these, the texts on which none of the features fires that must not."""


def _named(present: Sequence[int], absent: Sequence[int]) -> dict[str, list[int]]:
    wanted, unwanted = (list(dict.fromkeys(int(one) for one in ids)) for ids in (present, absent))
    both = sorted(set(wanted) & set(unwanted))
    if both:
        raise Refusal(f"feature {both[0]} cannot fire and not fire on one text; take it from one of the two lists.")
    if len(wanted) + len(unwanted) > MOST_COMBINED:
        raise Refusal(f"{len(wanted) + len(unwanted)} features are named; {MOST_COMBINED} can be combined at most.")
    return {"named": wanted + unwanted, "present": wanted, "absent": unwanted}


def count_combined(store: Store, present: Sequence[int], absent: Sequence[int] = ()) -> CombinedCounts:
    """Count the texts on which all of `present` fire and none of `absent`; Refusal when a feature is in both."""
    bound = _named(present, absent)
    found = store.ask(f"{FOUND} select count(*) as n from found", **bound)["n"][0].as_py()
    without = bound | {"absent": [], "named": bound["present"]}
    before = store.ask(f"{FOUND} select count(*) as n from found", **without)["n"][0].as_py() if absent else found
    return CombinedCounts(store.ask("select count(*) as n from texts")["n"][0].as_py(), before, found)


def densities(store: Store, ids: Iterable[int]) -> dict[int, float]:
    """The densities of some features, by id; unknown ids are left out."""
    found = store.ask(
        """
        select feature_id, density
        from features
        where feature_id in (select unnest($ids::bigint[]))
        order by feature_id""",
        ids=[int(one) for one in ids],
    )
    return dict(zip(found["feature_id"].to_pylist(), found["density"].to_pylist(), strict=True))


def combined_texts(
    store: Store, present: Sequence[int], absent: Sequence[int] = (), *, limit: int = 10, offset: int = 0
) -> pa.Table:
    """The texts on which all of `present` fire and none of `absent`, those first on which the weakest is strongest.

    A feature's strength on a text is its activation over its maximum on the corpus; `strength` is the least of those of
    `present`, null when nothing must fire. Columns: text_id, text, strength, cut, sae_split, then the source's own.
    """
    return store.ask(
        f"""{FOUND}, page as (
            select text_id, strength
            from found
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

"""Questions about families: parents, and children that fire with their parent far more often than by chance."""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow as pa

from featurelib.queries.feature_filter import MOST_WORDS
from featurelib.queries.features import ALL
from featurelib.schema import FAMILY_METRICS, Refusal
from featurelib.storage.derived import family_cards
from featurelib.storage.store import Store

FAMILY_SORTS = (
    "size",
    "over_shuffled",
    "block_ratio",
    "shuffled_ratio",
    "n_active",
    "r_parent_child",
    "r_children",
    "density",
    "depth",
    "label",
    "family_id",
)
"""The columns that `families` sorts by."""

COLUMNS = """family_id, root_id, label, size, depth, n_active, density, r_parent_child, r_children, in_block, off_block,
            block_ratio, shuffled_ratio, over_shuffled"""


def _conditions(store: Store, words: str, first: int | None) -> tuple[str, dict[str, object]]:
    """The conditions that the labels of members hold all the words and the root is among the `first` features."""
    values: dict[str, object] = {
        f"word_{number}": word for number, word in enumerate(store.lowered(words).split()[:MOST_WORDS])
    }
    conditions = [f"instr(names, ${name}) > 0" for name in values]
    if first is not None:
        conditions, values = [*conditions, "root_id < $first"], values | {"first": first}
    return " and ".join(conditions) or "true", values


@dataclass(frozen=True)
class Family:
    """One family; its measures are means of counts of texts on which two features both fire."""

    family_id: int
    root_id: int
    """The ancestor of all other members."""
    label: str
    """The root's label."""
    size: int
    """The number of features, the root included."""
    depth: int
    """The largest number of steps from a member up to the root."""
    n_active: int
    """The number of texts on which the root fires."""
    density: float
    """n_active over the number of texts of the corpus."""
    r_parent_child: float
    """The mean over the other members, each with the root."""
    r_children: float | None
    """The mean over the pairs of other members; None where there is only one."""
    in_block: float
    """The mean over all pairs of members."""
    off_block: float
    """The mean over the pairs of a member and a feature outside."""
    block_ratio: float | None
    """in_block / off_block."""
    shuffled_ratio: float | None
    """The expected block ratio if each feature's texts were drawn at random."""
    over_shuffled: float | None
    """block_ratio / shuffled_ratio."""


def families(
    store: Store,
    words: str = "",
    *,
    first: int | None = None,
    sort: str = "size",
    descending: bool = True,
    limit: int | None = 50,
    offset: int = 0,
) -> pa.Table:
    """Return families whose members' labels contain all the `words`, ties in the order of family_id.

    With `first` only those whose root is among so many first features.

    Columns: the fields of `Family`. Refusal for a `sort` that is none of FAMILY_SORTS.
    """
    if sort not in FAMILY_SORTS:
        raise Refusal(f"families cannot be sorted by '{str(sort)[:40]}'; use one of {', '.join(FAMILY_SORTS)}.")
    condition, values = _conditions(store, words, first)
    store.need(FAMILY_METRICS)
    return store.look_up(
        f"""
        select {COLUMNS}
        from {family_cards(store)}
        where {condition}
        order by {sort} {"desc" if descending else "asc"} nulls last, family_id
        limit $limit offset $offset""",
        **values,
        limit=ALL if limit is None else limit,
        offset=offset,
    )


def count_families(store: Store, words: str = "", *, first: int | None = None) -> int:
    """Return the number of families whose members' labels contain all the words, with a root among the `first`."""
    condition, values = _conditions(store, words, first)
    store.need(FAMILY_METRICS)
    rows = store.look_up(f"select count(*) as n from {family_cards(store)} where {condition}", **values)
    return int(rows["n"][0].as_py())


def family(store: Store, family_id: int) -> Family:
    """Return one family; Refusal naming the range when there is none with this id."""
    last = count_families(store) - 1
    if not 0 <= int(family_id) <= last:
        known = f"this run's families are 0 to {last}" if last >= 0 else "this run has none"
        raise Refusal(f"there is no family {family_id}; {known}.")
    rows = store.look_up(
        f"select {COLUMNS} from {family_cards(store)} where family_id = $family_id", family_id=int(family_id)
    )
    return Family(**rows.to_pylist()[0])


def family_members(store: Store, family_id: int) -> pa.Table:
    """Return the features of a family, those that fire on more texts first, so that a parent comes before its children.

    Columns: feature_id, label, parent_id (null for the root), depth, n_active, n_both (texts shared with the parent),
    conditional = P(parent | feature), share_of_parent = P(feature | parent), nesting.
    """
    return store.look_up(
        """
        select i.feature_id, coalesce(l.label, 'feature ' || i.feature_id) as label, i.parent_id, i.depth, f.n_active,
            i.n_both, i.conditional, i.share_of_parent, i.nesting
        from families i
        join features f on f.feature_id = i.feature_id
        left join maybe.labels l on l.feature_id = i.feature_id
        where i.family_id = $family_id
        order by f.n_active desc, i.feature_id""",
        family_id=family_id,
    )


def relatives(store: Store, feature_id: int) -> pa.Table:
    """Return a feature's parent (if any), then its children, those that fire on more texts first; may be empty.

    Columns: kin ('parent' or 'child'), feature_id, label, family_id, n_active, n_both, conditional and share_of_parent
    of that edge: P(parent | child) and P(child | parent).
    """
    return store.look_up(
        """
        with edges as (
            select 'parent' as kin, parent_id as feature_id, family_id, n_both, conditional, share_of_parent
            from families
            where feature_id = $feature_id and parent_id is not null
            union all
            select 'child', feature_id, family_id, n_both, conditional, share_of_parent
            from families
            where parent_id = $feature_id
        )
        select e.kin, e.feature_id, coalesce(l.label, 'feature ' || e.feature_id) as label, e.family_id, f.n_active,
            e.n_both, e.conditional, e.share_of_parent
        from edges e
        join features f on f.feature_id = e.feature_id
        left join maybe.labels l on l.feature_id = e.feature_id
        order by e.kin desc, f.n_active desc, e.feature_id""",
        feature_id=feature_id,
    )

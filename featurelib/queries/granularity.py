"""Questions about coarser and finer levels: groups of features, nested, or the first features of a Matryoshka."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from featurelib.schema import Refusal
from featurelib.storage.answers import once_per_generation
from featurelib.storage.store import Store

ALL_FEATURES = "all"
KINDS = (("themes", "theme", "themes"), ("groups", "group", "groups"), ("fine", "fine group", "fine groups"))
"""The levels of regions, coarse to fine: the word of an address, what one of them is called, and several."""
GROUP_SORTS = ("share", "n_features", "label", "parent", "coverage", "auroc")
"""The columns that `groups` sorts by."""


class Level(NamedTuple):
    """One level between coarse and fine, and how good its names are."""

    key: str
    """Its word in an address."""
    name: str
    """What it has, in words, such as 16 themes."""
    n: int
    """How many groups or features it has."""
    regions: int | None
    """The level of the regions that it consists of; None where it consists of features."""
    first: int | None
    """The number of first features that it consists of; None for groups, and for all features."""
    coverage: float | None
    """The share of the strongest label test texts, of all its names, that hold a part of the name."""
    auroc: float | None
    """The mean AUROC with which its names predict label test texts; None where that was not measured."""


class Group(NamedTuple):
    """A region of the map of what fires features."""

    level: int
    region_id: int
    label: str
    """Its name, or its number where nothing tells it apart."""


@once_per_generation
def levels(store: Store) -> tuple[Level, ...]:
    """Return the levels from coarse to fine, all features last; that one alone where the run has no others.

    They are the prefixes of a Matryoshka, where the run knows them, else the regions of the map of what fires features.
    """
    n_features = store.count("select count(*) from maybe.features")
    coarser = [_first(store, size) for size in _prefixes(store) if size < n_features] or _of_regions(store)
    every = _first(store, n_features)
    return (
        *coarser,
        every._replace(key=ALL_FEATURES, name=f"all {_counted(n_features, 'feature', 'features')}", first=None),
    )


def _prefixes(store: Store) -> list[int]:
    """The sizes of a Matryoshka's prefixes, as the stage train has recorded them."""
    done = store.once("the stage train", lambda: store.generation.done("train"))
    return list(done.facts.get("prefixes") or ()) if done else []


def _first(store: Store, size: int) -> Level:
    """The level of the first features."""
    row = store.ask(
        """
        select (
                select sum(c.n_holding) / nullif(sum(c.n_strongest), 0)
                from maybe.name_coverage c
                join maybe.labels l on l.feature_id = c.feature_id and l.source <> 'none'
                where c.method = 'ours' and c.feature_id < $size
            ) as coverage, (
                select avg(auroc)
                from maybe.fidelity
                where method = 'ours' and predictor = 'resembles' and feature_id < $size
            ) as auroc""",
        size=size,
    ).to_pylist()[0]
    return Level(f"first-{size}", f"first {size:,} features", size, None, size, **row)


def _of_regions(store: Store) -> list[Level]:
    """The levels of regions, without those that divide nothing further: a small run has few regions."""
    every = _groups(store)
    found: list[Level] = []
    for number, (key, one, several) in enumerate(KINDS):
        rows = every.filter(pc.equal(every["level"], number))
        if rows.num_rows <= (found[-1].n if found else 1):
            continue
        named = rows.filter(pc.equal(rows["is_named"], True))
        n_strongest = pc.sum(named["n_strongest"]).as_py()
        coverage = pc.sum(named["n_holding"]).as_py() / n_strongest if n_strongest else None
        name = _counted(rows.num_rows, one, several)
        found.append(Level(key, name, rows.num_rows, number, None, coverage, pc.mean(named["auroc"]).as_py()))
    return found


def _counted(n: int, one: str, several: str) -> str:
    return f"{n:,} {one if n == 1 else several}"


@once_per_generation
def _groups(store: Store) -> pa.Table:
    """All groups of all levels: the columns of `groups`, and label_lower."""
    return store.ask(
        """
        with known as (
            select *
            from maybe.regions
            union all by name  -- regions of an older version have neither
            select null::double as auroc, null::double as ap
            where false
        ), named as (
            select *, coalesce(label, ($kinds)[level + 1] || ' ' || region_id) as name
            from known
        )
        select g.level, g.region_id, g.parent_id, g.name as label, p.name as parent, g.n_features, g.n_texts, g.share,
            g.n_strongest, g.n_holding,
            case when g.label is not null then g.n_holding / nullif(g.n_strongest, 0) end as coverage,
            g.auroc, g.ap, g.label is not null as is_named, lower(g.name) as label_lower
        from named g
        left join named p on p.level = g.level - 1 and p.region_id = g.parent_id
        order by g.level, g.region_id""",
        kinds=[one for _, one, _ in KINDS],
    )


def groups(
    store: Store, level: int | None = None, *, words: str = "", sort: str = "share", descending: bool = True
) -> pa.Table:
    """Return the groups of a level of regions (None: of all) whose names hold all the words, in any case.

    Columns: level, region_id, parent_id and parent (the group of the next coarser level and its name, null at the
    coarsest), label (the name), is_named (whether something tells it apart), n_features, n_texts, share (of all texts),
    n_strongest and n_holding (of the strongest label test texts, those that hold a part of the name), coverage (their
    quotient, null without a name), auroc and ap (of the name, on label test texts; null where not measured). Ties in
    the order of region_id. Refusal for a `sort` that is none of GROUP_SORTS.
    """
    if sort not in GROUP_SORTS:
        raise Refusal(f"groups cannot be sorted by '{str(sort)[:40]}'; use one of {', '.join(GROUP_SORTS)}.")
    rows = _groups(store)
    if level is not None:
        rows = rows.filter(pc.equal(rows["level"], level))
    for word in store.lowered(words).split():
        rows = rows.filter(pc.match_substring(rows["label_lower"], word))
    direction = "descending" if descending else "ascending"
    keys = [("label_lower" if sort == "label" else sort, direction), ("level", "ascending"), ("region_id", "ascending")]
    return rows.take(pc.sort_indices(rows, sort_keys=keys)).drop_columns(["label_lower"])


def nested_groups(
    store: Store, level: int, *, words: str = "", sort: str = "share", descending: bool = True
) -> pa.Table:
    """Return the groups of all levels down to one: those whose names hold the words, and those that they lie in.

    Columns and order as those of `groups`.
    """
    every = groups(store, sort=sort, descending=descending)
    every = every.filter(pc.less_equal(every["level"], level))
    if not words.strip():
        return every
    holding = groups(store, words=words).select(["level", "region_id"]).to_pylist()
    kept = {
        (around.level, around.region_id)
        for row in holding
        if row["level"] <= level
        for around in group_path(store, row["level"], row["region_id"])
    }
    places = zip(every["level"].to_pylist(), every["region_id"].to_pylist(), strict=True)
    return every.filter(pa.array([place in kept for place in places], pa.bool_()))


def group_path(store: Store, level: int, region_id: int) -> tuple[Group, ...]:
    """Return a group and those that it lies in, the coarsest first; Refusal where the run has no such group."""
    known = _by_place(store)
    path: list[Group] = []
    at: int | None = region_id
    while at is not None and (level, at) in known:
        label, parent_id = known[level, at]
        path.insert(0, Group(level, at, label))
        level, at = level - 1, parent_id
    if not path:
        raise Refusal(f"this run has no group {level}-{region_id} of features.")
    return tuple(path)


@once_per_generation
def _by_place(store: Store) -> dict[tuple[int, int], tuple[str, int | None]]:
    """The name of every group, and the group around it, by its level and region_id."""
    rows = _groups(store).select(["level", "region_id", "label", "parent_id"]).to_pylist()
    return {(row["level"], row["region_id"]): (row["label"], row["parent_id"]) for row in rows}


def held_names(store: Store, feature_ids: Sequence[int]) -> list[tuple[int, int] | None]:
    """Return of each feature's name how many strongest label test texts hold a part of it, and how many there are.

    None for a feature without a name, and in a run of an older version.
    """
    known = _held(store)
    return [known.get(int(feature_id)) for feature_id in feature_ids]


@once_per_generation
def _held(store: Store) -> dict[int, tuple[int, int]]:
    """What `held_names` returns, of all features that have it: of 16,384 a few milliseconds and two megabytes, once."""
    rows = store.ask(
        """
        select c.feature_id, c.n_holding, c.n_strongest
        from maybe.name_coverage c
        join maybe.labels l on l.feature_id = c.feature_id and l.source <> 'none'
        where c.method = 'ours' and c.n_strongest > 0
        order by c.feature_id"""
    )
    columns = (rows[name].to_pylist() for name in ("feature_id", "n_holding", "n_strongest"))
    return {feature_id: (n_holding, n_strongest) for feature_id, n_holding, n_strongest in zip(*columns, strict=True)}

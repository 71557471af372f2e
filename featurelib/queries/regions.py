"""Questions about the regions of the map of what fires features: the themes of the corpus, coarse to fine."""

from __future__ import annotations

from typing import NamedTuple

import pyarrow as pa

from featurelib.queries.granularity import KINDS
from featurelib.storage.answers import once_per_generation
from featurelib.storage.store import Store

THEMES = 0
"""The level of the coarsest regions."""


class RegionLevel(NamedTuple):
    """One level of the regions."""

    level: int
    """Its number: 0 is the coarsest."""
    key: str
    """Its word in an address, as in `granularity`."""
    n_regions: int
    """How many regions it has."""


@once_per_generation
def region_levels(store: Store) -> tuple[RegionLevel, ...]:
    """Return the levels of the regions, coarse to fine, without those that divide nothing further."""
    rows = store.ask("select level, count(*) as n from regions group by level order by level").to_pylist()
    found: list[RegionLevel] = []
    for row, (key, _, _) in zip(rows, KINDS, strict=False):
        if not found or row["n"] > found[-1].n_regions:
            found.append(RegionLevel(row["level"], key, row["n"]))
    return tuple(found)


@once_per_generation
def regions(store: Store) -> pa.Table:
    """Return every region, coarse to fine and the largest first.

    Columns: level, region_id, parent_id, label (null where nothing tells it apart), x, y, n_features, n_texts, share
    (of all texts), n_strongest and n_holding (of its strongest label test texts, those that hold a part of the label).
    """
    return store.ask("select * from regions order by level, region_id")


@once_per_generation
def themes(store: Store, n_features: int = 3) -> pa.Table:
    """Return the coarsest regions with a label, those of most texts first.

    Columns: region_id, label, n_features, n_texts, share, n_strongest, n_holding, features (a list of feature_id and
    label: those whose names predict best) and text_id (its strongest text).
    """
    return store.ask(
        """
        with ranked as (
            select r.region_id, r.feature_id, l.label, row_number() over (
                    partition by r.region_id
                    order by coalesce(q.ap, w.ap) desc nulls last, f.n_active desc, r.feature_id
                ) as place
            from region_features r
            join features f on f.feature_id = r.feature_id
            join labels l on l.feature_id = r.feature_id and l.source <> 'none'
            left join fidelity q on q.feature_id = r.feature_id and q.method = 'ours' and q.predictor = 'resembles'
            left join fidelity w on w.feature_id = r.feature_id and w.method = 'ours' and w.predictor = 'contains'
            where r.level = $level
        ), best as (
            select region_id,
                list({'feature_id': feature_id, 'label': label} order by place) filter (place <= $n) as features
            from ranked
            group by region_id
        ), strongest as (
            select region_id, arg_max(text_id, (strength, -text_id)) as text_id
            from region_texts
            where level = $level
            group by region_id
        )
        select g.region_id, g.label, g.n_features, g.n_texts, g.share, g.n_strongest, g.n_holding, b.features, t.text_id
        from regions g
        left join best b on b.region_id = g.region_id
        left join strongest t on t.region_id = g.region_id
        where g.level = $level and g.label is not null
        order by g.n_texts desc, g.region_id""",
        level=THEMES,
        n=n_features,
    )

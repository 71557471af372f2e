"""Questions about groups of features: clusters of their directions or of their labels' embeddings, and themes."""

from __future__ import annotations

import pyarrow as pa

from featurelib.schema import Refusal
from featurelib.storage.answers import once_per_generation, remembered
from featurelib.storage.store import Store

CLUSTERS = {
    "theme": "(select feature_id, region_id as cluster from region_features where level = {level})",
    "cluster": "layout",
    "topic": "keyword_clusters",
}
"""The kinds of clusters and where they are: of what fires features (at three levels), of directions, of labels."""
PLACES = {"firing": "firing_layout", "directions": "layout"}
"""The maps of features and the tables of their places: by what fires them, by direction."""
NAMED_BY = 3


def _table(kind: str, level: int = 0) -> str:
    if kind not in CLUSTERS:
        raise Refusal(f"there are no clusters of the kind '{str(kind)[:40]}'; {', '.join(CLUSTERS)} are known.")
    return CLUSTERS[kind].format(level=int(level))


@once_per_generation
def clusters(store: Store, kind: str = "cluster", level: int = 0) -> pa.Table:
    """Return the clusters, the largest first: cluster, n_features, keywords (the three most common of its features).

    `kind` is one of CLUSTERS; features of no cluster are in no row. Of a theme the label stands in place of keywords,
    and `level` is that of the regions: 0 is the coarsest. Refusal when the table has not been made.
    """
    if kind == "theme":
        return store.ask(
            """
            select region_id as cluster, n_features::bigint as n_features, coalesce(label, '') as keywords
            from regions
            where level = $level::integer
            order by n_features desc, region_id""",
            level=level,
        )
    return store.ask(
        f"""
        with sized as (
            select cluster, count(*) as n_features
            from {_table(kind)}
            where cluster >= 0
            group by cluster
        ), counted as (
            select c.cluster, k.keyword, count(distinct k.feature_id) as n, sum(k.score) as score
            from {_table(kind)} c
            join maybe.keywords k on k.feature_id = c.feature_id
            where c.cluster >= 0
            group by c.cluster, k.keyword
            qualify row_number() over (
                partition by c.cluster order by count(distinct k.feature_id) desc, sum(k.score) desc, k.keyword
            ) <= {NAMED_BY}
        ), named as (
            select cluster, string_agg(keyword, ' · ' order by n desc, score desc, keyword) as keywords
            from counted
            group by cluster
        )
        select s.cluster, s.n_features, coalesce(n.keywords, '') as keywords
        from sized s
        left join named n on n.cluster = s.cluster
        order by s.n_features desc, s.cluster"""
    )


def cluster_features(store: Store, kind: str, cluster: int, level: int = 0) -> pa.Table:
    """Return the features of a cluster, the densest first: feature_id, label, density."""
    return store.look_up(
        f"""
        select c.feature_id, coalesce(l.label, 'feature ' || c.feature_id) as label, f.density
        from {_table(kind, level)} c
        join features f on f.feature_id = c.feature_id
        left join maybe.labels l on l.feature_id = c.feature_id
        where c.cluster = $cluster
        order by f.density desc, c.feature_id""",
        cluster=cluster,
    )


@remembered
def cluster_keywords(store: Store, kind: str, cluster: int, level: int = 0, *, limit: int = 12) -> pa.Table:
    """Return the most common keywords of a cluster: keyword, n_features."""
    return store.ask(
        f"""
        select k.keyword, count(distinct k.feature_id) as n_features
        from {_table(kind, level)} c
        join maybe.keywords k on k.feature_id = c.feature_id
        where c.cluster = $cluster::bigint
        group by k.keyword
        order by n_features desc, sum(k.score) desc, k.keyword
        limit $limit""",
        cluster=cluster,
        limit=limit,
    )


@once_per_generation
def layout(store: Store, places: str = "directions", kind: str = "cluster", level: int = 0) -> pa.Table:
    """Return the feature map, by id: feature_id, x, y, density, log10_density, max_activation, cluster, dead.

    `places` is one of PLACES, `kind` says what the clusters are of (one of CLUSTERS), `level` how fine themes are; -1
    stands for no cluster.
    """
    if places not in PLACES:
        raise Refusal(f"there is no map '{str(places)[:40]}' of the features; {', '.join(PLACES)} are known.")
    return store.ask(
        f"""
        select p.feature_id, p.x, p.y, f.density::float as density, f.log10_density::float as log10_density,
            f.max_activation, coalesce(c.cluster, -1)::integer as cluster, f.dead
        from {PLACES[places]} p
        join features f on f.feature_id = p.feature_id
        left join {_table(kind, level)} c on c.feature_id = p.feature_id
        order by p.feature_id"""
    )

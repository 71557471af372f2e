"""families: activations → families of features with their measures; label vectors → clusters of keywords.

families: a row for each feature that is in a family. parent_id is null for its root; conditional = P(parent | feature),
the share of the feature's texts on which its parent fires; share_of_parent = P(feature | parent); nesting is
Loevinger's H of the two. keyword_clusters: a row for each feature that has a label vector, -1 for no cluster.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from featurelib.families.links import find_links
from featurelib.families.measures import FamilyMeasures, measure_families
from featurelib.families.trees import Families, grow_families, largest_family
from featurelib.layout import NO_CLUSTER, cluster_vectors
from featurelib.schema import (
    BY_TEXT,
    DENSE,
    FAMILIES,
    FAMILY_METRICS,
    FEATURES,
    KEYWORD_CLUSTERS,
    LABEL_VECTORS,
    TEXTS,
)
from featurelib.storage.activation_rows import incidence, read_rows
from featurelib.storage.runs import Generation
from precompute.build.job import Job, Made
from precompute.build.stage import Stage

NO_VECTORS = "the labels have no vectors"


def find_families(job: Job) -> Made:
    """Write summaries/families.parquet, family_metrics.parquet and keyword_clusters.parquet."""
    fires = _fires(job.generation)
    counts = np.diff(fires.indptr).astype(np.int64)
    with job.progress(len(counts), "features") as bar:
        families = grow_families(find_links(fires, advance=bar.advance), counts)
    measures = measure_families(fires, families)
    job.generation.write(FAMILIES, _members(families, counts))
    job.generation.write(FAMILY_METRICS, _measured(measures))
    families_line, facts = _describe(families, measures, counts, fires.shape[0])
    clusters_line, cluster_facts = _cluster_keywords(job)
    return Made(f"{families_line}; {clusters_line}", facts | cluster_facts)


STAGE = Stage(
    name="families",
    makes="families of features and clusters of keywords",
    make=find_families,
    grounds="activations, labels and seed",
    after=("summarise", "labels"),
    options=("seed",),
)


def _fires(generation: Generation) -> Any:
    """Which features fire on which texts, read one part at a time: a sparse matrix [n_texts, n_features]."""
    n_texts = pq.read_metadata(generation.need(TEXTS)).num_rows
    n_features = pq.read_metadata(generation.need(FEATURES)).num_rows
    parts = (read_rows(path) for path in generation.parts(BY_TEXT))
    return incidence(((rows.text_ids, rows.feature_ids) for rows in parts), n_texts, n_features)


def _members(families: Families, counts: np.ndarray) -> list[Any]:
    """The columns of the table families, by feature_id."""
    ids = np.flatnonzero(families.family >= 0).astype(np.int32)
    parent, both = families.parent[ids], families.n_both[ids]
    rootless = parent < 0
    above = counts[np.where(rootless, 0, parent)]
    return [
        ids,
        families.family[ids],
        pa.array(parent, mask=rootless),
        families.depth[ids],
        pa.array(both, mask=rootless),
        pa.array(both / counts[ids], mask=rootless),
        pa.array(both / np.maximum(above, 1), mask=rootless),
        pa.array(families.nesting[ids], mask=rootless),
    ]


def _measured(measures: list[FamilyMeasures]) -> list[Any]:
    """The columns of the table family_metrics, by family_id."""
    names = ("family", "root", "size", "depth", "r_parent_child", "r_children", "in_block", "off_block")
    return [[getattr(family, name) for family in measures] for name in (*names, "block_ratio", "shuffled_ratio")]


def _describe(
    families: Families, measures: list[FamilyMeasures], counts: np.ndarray, n_texts: int
) -> tuple[str, dict[str, Any]]:
    n_features = len(counts)
    outside = families.family < 0
    facts: dict[str, Any] = {
        "n_families": families.n_families,
        "n_features": n_features,
        "n_outside": int(outside.sum()),
        "n_dead": int((counts == 0).sum()),
        "n_dense": int((counts > DENSE * n_texts).sum()),
        "most_allowed": largest_family(n_features),
    }
    if not measures:
        return f"no families among {n_features:,} features", facts
    ratios = [
        (family.block_ratio, family.shuffled_ratio)
        for family in measures
        if family.block_ratio and family.shuffled_ratio
    ]
    facts |= {"largest": measures[0].size, "median_size": float(np.median([family.size for family in measures]))}
    kind = "families" if families.n_families != 1 else "family"
    line = (
        f"{families.n_families:,} {kind}, the largest with {measures[0].size:,} of {n_features:,} features; "
        f"{outside.mean():.0%} in none"
    )
    if ratios:
        block, shuffled = (float(np.median(column)) for column in zip(*ratios, strict=True))
        times = float(np.median([ratio / by_chance for ratio, by_chance in ratios]))
        facts |= {"median_block_ratio": block, "median_shuffled_ratio": shuffled, "median_over_shuffled": times}
        line += f"; median block ratio {block:.2g}, {shuffled:.2g} by chance"
    return line, facts


def _cluster_keywords(job: Job) -> tuple[str, dict[str, Any]]:
    """Write the clusters of the label vectors; an empty table where there are none."""
    rows = pq.read_table(job.generation.need(LABEL_VECTORS), columns=LABEL_VECTORS.schema.names)
    if not rows.num_rows:
        job.generation.write(KEYWORD_CLUSTERS, [[], []])
        return "no keyword clusters", {"no_keyword_clusters": NO_VECTORS}
    ids = rows["feature_id"].to_numpy()
    vectors = rows["embedding"].combine_chunks().flatten().to_numpy().reshape(len(ids), -1)
    cluster = cluster_vectors(vectors, job.config.seed)
    order = np.argsort(ids, kind="stable")
    job.generation.write(KEYWORD_CLUSTERS, [ids[order], cluster[order]])
    n_clusters, n_none = int(cluster.max(initial=NO_CLUSTER)) + 1, int((cluster == NO_CLUSTER).sum())
    facts = {"n_keyword_clusters": n_clusters, "n_without_keyword_cluster": n_none}
    return f"{n_clusters:,} clusters of {len(ids):,} labels, {n_none:,} in none", facts

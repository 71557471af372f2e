"""Points of a map → nested regions, coarse to fine: k-means of the points, then Ward's tree over its centres.

Ward, Journal of the American Statistical Association 58, 1963, 236. The tree is cut where it has the numbers of regions
in LEVELS, so that every fine region lies in one coarse region.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

LEVELS = (16, 48, 144)
"""Regions of each level, at most: as many names as a map shows at three zooms."""
LEAST = 6
"""Points of a region on average; with fewer points there are fewer regions."""


@dataclass(frozen=True)
class Regions:
    """Nested regions of points."""

    of_points: np.ndarray
    """The region of each point at each level, int32 [n_levels, n]; numbered from 0 in each level, the largest first."""


def find_regions(xy: np.ndarray, seed: int = 0, levels: tuple[int, ...] = LEVELS) -> Regions:
    """Divide points, float [n, 2], into regions; equal points and seed give equal regions on one machine."""
    from scipy.cluster.hierarchy import fcluster, ward
    from sklearn.cluster import KMeans
    from threadpoolctl import threadpool_limits

    n_distinct = len(np.unique(xy, axis=0))
    sizes = [max(1, min(size, len(xy) // LEAST, n_distinct)) for size in levels]
    if sizes[-1] < 2:
        return Regions(np.zeros((len(levels), len(xy)), np.int32))
    n_centres = min(max(2 * sizes[-1], 2), n_distinct)
    # with several threads sums run in any order, and equal points might not give equal bytes
    with threadpool_limits(1):
        clustering = KMeans(n_centres, n_init=1, random_state=seed).fit(np.asarray(xy, np.float64))
    tree = ward(clustering.cluster_centers_)
    cut = [fcluster(tree, size, criterion="maxclust")[clustering.labels_] for size in sizes]
    return Regions(np.stack([_by_size(regions) for regions in cut]))


def _by_size(regions: np.ndarray) -> np.ndarray:
    numbers, places, sizes = np.unique(regions, return_inverse=True, return_counts=True)
    rank = np.empty(len(numbers), np.int32)
    rank[np.argsort(-sizes, kind="stable")] = np.arange(len(numbers), dtype=np.int32)
    ranked: np.ndarray = rank[places]
    return ranked

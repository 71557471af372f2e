"""Directions → x, y and clusters of the features, embeddings → x, y of the texts; UMAP lives here only."""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np

from featurelib.schema import Refusal

FEW = 16
"""With fewer distinct directions every neighbourhood of UMAP would be all of them; principal axes show as much."""
MOST_TEXTS = 50_000
"""Texts that are laid out at most: more would cost time and points in the browser and show nothing new."""
NEIGHBOURHOOD = 15
CLUSTER_AXES = 5
NO_CLUSTER = -1


@dataclass(frozen=True)
class Places:
    """Where features or texts lie on their map."""

    xy: np.ndarray
    """float32 [n, 2]: centred, the wide axis horizontal, the farthest coordinate at 1 or -1."""
    method: str
    """How x and y were made, in words."""


@dataclass(frozen=True)
class Layout(Places):
    """Where the features of an SAE lie on the map, and in which clusters."""

    cluster: np.ndarray
    """int32 [n_features]: 0 is the largest cluster, -1 belongs to none."""

    @property
    def n_clusters(self) -> int:
        """The number of clusters."""
        return int(self.cluster.max(initial=NO_CLUSTER)) + 1


def arrange_directions(directions: np.ndarray, seed: int = 0) -> Layout:
    """Lay out directions (float [n_features, d_in]) so that features with a large cosine lie near each other.

    UMAP with the cosine metric, 15 neighbours, one thread and a fixed seed: equal directions and seed give equal bytes
    on one machine. Clusters are found by HDBSCAN on a second UMAP with 5 axes, because in all 384 dimensions the
    directions of a trained SAE are nearly orthogonal and HDBSCAN calls 70 to 90 % of them noise. With fewer
    than 16 distinct directions, principal axes (or a line) take the place of UMAP and there are no clusters. Dead
    features are laid out too: they have directions. Raises Refusal for directions that are not finite.
    """
    directions = np.asarray(directions, dtype=np.float32)
    if directions.ndim != 2 or not np.isfinite(directions).all():
        raise Refusal(
            f"the SAE's decoder has the shape {directions.shape} or holds NaN or infinite numbers; "
            "a finite direction for each feature is expected: train it again or give another --sae."
        )
    units = _units(directions)
    if _is_small(units):
        return Layout(*_small_places(units), np.full(len(units), NO_CLUSTER, dtype=np.int32))
    return Layout(_framed(_umap(units, seed, 2, 0.1)), "UMAP", cluster_vectors(directions, seed))


def cluster_vectors(vectors: np.ndarray, seed: int = 0) -> np.ndarray:
    """Return a cluster for each of the vectors (float [n, d], by their directions), int32: 0 the largest, -1 none.

    HDBSCAN on 5 axes of UMAP, as for directions; fewer than 16 distinct vectors have no clusters.
    """
    units = _units(np.asarray(vectors, dtype=np.float32))
    if _is_small(units):
        return np.full(len(units), NO_CLUSTER, dtype=np.int32)
    return find_clusters(_umap(units, seed, CLUSTER_AXES, 0.0))


def arrange_firing(means: np.ndarray, seed: int = 0) -> Places:
    """Lay out what fires features (float [n, d], see FiringMeans) so that features of like texts lie near each other.

    UMAP, principal axes or a line, as for directions.
    """
    return _arrange(np.asarray(means, dtype=np.float32), seed)


def arrange_texts(embeddings: np.ndarray, seed: int = 0) -> Places:
    """Lay out embeddings (float [n_texts, d]) so that texts with a large cosine lie near each other.

    UMAP, principal axes or a line, as for directions; equal embeddings and seed give equal bytes on one machine. Raises
    Refusal for embeddings that are not finite.
    """
    embeddings = np.asarray(embeddings, dtype=np.float32)
    if embeddings.ndim != 2 or not np.isfinite(embeddings).all():
        raise Refusal(
            f"the texts' embeddings have the shape {embeddings.shape} or hold NaN or infinite numbers; "
            "a finite embedding for each text is expected: embed them again."
        )
    return _arrange(embeddings, seed)


def _arrange(vectors: np.ndarray, seed: int) -> Places:
    units = _units(vectors)
    return Places(*_small_places(units)) if _is_small(units) else Places(_framed(_umap(units, seed, 2, 0.1)), "UMAP")


def drawn_texts(n_texts: int, seed: int = 0, most: int = MOST_TEXTS) -> np.ndarray:
    """Return the ids of the texts that are laid out, int64, ascending: all of them, or `most` drawn at random."""
    if n_texts <= most:
        return np.arange(n_texts, dtype=np.int64)
    return np.sort(np.random.default_rng(seed).choice(n_texts, most, replace=False)).astype(np.int64)


def _units(vectors: np.ndarray) -> np.ndarray:
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    units: np.ndarray = vectors / np.where(norms == 0, 1, norms)
    return units


def _is_small(units: np.ndarray) -> bool:
    """Whether there are too few distinct rows for UMAP."""
    distinct: set[bytes] = set()
    for row in units:
        # a zero may be a negative one, which is the same number in other bytes
        distinct.add((row + 0.0).tobytes())
        if len(distinct) >= FEW:
            return False
    return True


def _umap(units: np.ndarray, seed: int, axes: int, min_dist: float) -> np.ndarray:
    from umap import UMAP

    reducer: Any = UMAP(
        n_components=axes, metric="cosine", n_neighbors=NEIGHBOURHOOD, min_dist=min_dist, random_state=seed, n_jobs=1
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        points: np.ndarray = reducer.fit_transform(units)
    return points


def find_clusters(points: np.ndarray) -> np.ndarray:
    """Return a cluster for each row of [n, axes], int32: those of HDBSCAN, the largest first, -1 for none.

    A cluster has at least 5 features, more in large SAEs (0.25·√n), so that the map has some tens of colours; and at
    most half of all, because otherwise two clusters, one of them nearly everything, may be the most stable ones.
    """
    from sklearn.cluster import HDBSCAN

    n = len(points)
    smallest = max(5, round(0.25 * math.sqrt(n)))
    if n <= smallest:
        return np.full(n, NO_CLUSTER, dtype=np.int32)
    clusterer = HDBSCAN(min_cluster_size=smallest, min_samples=3, max_cluster_size=max(smallest, n // 2), copy=True)
    labels: np.ndarray = clusterer.fit_predict(points.astype(np.float64))
    sizes = np.bincount(labels[labels >= 0])
    number = np.full(len(sizes) + 1, NO_CLUSTER, dtype=np.int32)
    number[np.argsort(-sizes, kind="stable")] = np.arange(len(sizes), dtype=np.int32)
    clusters: np.ndarray = number[labels]
    return clusters


def _small_places(units: np.ndarray) -> tuple[np.ndarray, str]:
    """Principal axes, or a line in the order of the rows when all directions are equal, and the method in words."""
    if not len(units):
        return np.zeros((0, 2), dtype=np.float32), "nothing, there being none"
    points = _principal(units)
    if len(units) > 1 and np.abs(points).max() < 1e-6:
        line = np.stack([np.linspace(-1, 1, len(units)), np.zeros(len(units))], axis=1)
        return line.astype(np.float32), "a line, all directions being equal"
    return _framed(points), "principal axes, there being too few directions for UMAP"


def _principal(points: np.ndarray) -> np.ndarray:
    """Return the first two principal coordinates, float64 [n, 2]; the largest coordinate of each axis is positive."""
    centred = np.asarray(points, dtype=np.float64) - np.mean(points, axis=0, dtype=np.float64)
    left, values, _ = np.linalg.svd(centred, full_matrices=False)
    axes = np.zeros((len(points), 2))
    axes[:, : len(values)] = (left * values)[:, :2]
    largest = np.abs(axes).argmax(axis=0)
    return axes * np.where(axes[largest, [0, 1]] < 0, -1.0, 1.0)


def _framed(points: np.ndarray) -> np.ndarray:
    coordinates = _principal(points)
    extent = np.abs(coordinates).max(initial=0)
    return (coordinates / extent if extent > 0 else coordinates).astype(np.float32)

"""How much of the nearness of vectors a map keeps, at 15 neighbours.

Trustworthiness T: 1 − 2/(n·k·(2n − 3k − 1)) · Σ over the map's k neighbours of each point that are not among its k
nearest vectors, of (their rank among the vectors − k) (Venna and Kaski, Neural Networks 19, 2006, 889). Preservation:
the share of a point's k nearest vectors that are among its k neighbours on the map.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

NEIGHBOURS = 15
SAMPLE = 2_000
"""Points whose neighbours are looked at; drawn by seed where there are more."""
AT_ONCE = 200


class Faithfulness(NamedTuple):
    """How much of the nearness of vectors a map keeps; NaN where there are too few points."""

    trustworthiness: float
    """1: no point has a neighbour on the map that is far from it."""
    preservation: float
    """0 to 1."""


def faithfulness(vectors: np.ndarray, xy: np.ndarray, seed: int = 0) -> Faithfulness:
    """Measure a map, float [n, 2], of vectors, float [n, d], whose nearness is their cosine."""
    n, k = len(vectors), NEIGHBOURS
    if 2 * n - 3 * k - 1 <= 0 or n <= k:
        return Faithfulness(float("nan"), float("nan"))
    units = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
    chosen = np.sort(np.random.default_rng(seed).permutation(n)[:SAMPLE])
    beyond = kept = 0.0
    for start in range(0, len(chosen), AT_ONCE):
        own = chosen[start : start + AT_ONCE]
        far = -(units[own] @ units.T)
        near = ((xy[own, None, :] - xy[None]) ** 2).sum(axis=2)
        far[range(len(own)), own] = near[range(len(own)), own] = -np.inf
        of_map = np.stack([_ranks(*rows) for rows in zip(far, map(_first, near), strict=True)])
        beyond += np.maximum(of_map - k, 0).sum()
        kept += (of_map <= k).sum()
    trust = 1 - 2 / (len(chosen) * k * (2 * n - 3 * k - 1)) * beyond
    return Faithfulness(float(trust), float(kept / (len(chosen) * k)))


def _first(distances: np.ndarray) -> np.ndarray:
    """The places of the next neighbours of a point, which is itself the nearest; equal ones in their order."""
    last = np.partition(distances, NEIGHBOURS)[NEIGHBOURS]
    places = np.flatnonzero(distances <= last)
    return np.asarray(places[np.argsort(distances[places], kind="stable")][1 : NEIGHBOURS + 1])


def _ranks(distances: np.ndarray, places: np.ndarray) -> np.ndarray:
    """The ranks from 0 of the distances at some places among all; equal ones in their order."""
    own = distances[places, None]
    equal_before = [np.count_nonzero(distances[:place] == distances[place]) for place in places]
    return np.asarray(np.count_nonzero(distances < own, axis=1) + equal_before)

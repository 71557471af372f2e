"""Which features' directions are nearest to each other and which are opposite: one product of all with all."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from featurelib.sae.model import SAE

BLOCK = 256
"""Features whose cosines with all others are held at a time."""
GROUPS = 4
"""Into at least so many times as many groups as are wanted the others are split, to find what must be reached."""
PAIRS = 512
"""Pairs of directions that are multiplied at a time: what fits a processor's cache."""
FEW = 32
"""Rows of a product of which only the diagonal is wanted."""


class Nearest(NamedTuple):
    """For each feature its nearest others: columns of schema.NEIGHBOUR_ROWS."""

    feature_id: np.ndarray
    """int32."""
    rank: np.ndarray
    """int32, from 1."""
    neighbour_id: np.ndarray
    """int32."""
    cosine: np.ndarray
    """float32."""


class Neighbours(NamedTuple):
    """What the directions' cosines with each other say."""

    nearest: Nearest
    """The others with the largest cosines."""
    opposite: Nearest
    """The others with the smallest cosines."""
    largest: np.ndarray
    """The cosine of each with the nearest other, float64 [n_features]; empty where there is only one."""


class _Chosen(NamedTuple):
    """Some features' nearest others, [features, limit]."""

    ids: np.ndarray
    cosines: np.ndarray
    """float32."""


def nearest_directions(sae: SAE, n_nearest: int, n_opposite: int) -> Neighbours:
    """Return each feature's nearest and most opposite directions, by cosine, then by feature_id.

    Cosines are computed in float64 and then rounded to float32. A product in float32, half as expensive, finds those
    that its error leaves in question; only they are computed again.
    """
    directions = _unit(sae.W_dec.numpy())
    rough = directions.astype(np.float32)
    columns = np.ascontiguousarray(rough.T)
    nearest, opposite, largest = [], [], []
    for start in range(0, len(rough), BLOCK):
        ids = np.arange(start, min(start + BLOCK, len(rough)))
        cosines = rough[ids] @ columns
        nearest.append(_choose(directions, ids, cosines, min(n_nearest, len(rough) - 1)))
        largest.append(_largest(directions, ids, nearest[-1].ids))
        np.negative(cosines, out=cosines)
        opposite.append(_choose(directions, ids, cosines, min(n_opposite, len(rough) - 1), -1))
    return Neighbours(_joined(nearest), _joined(opposite), np.concatenate(largest))


def _unit(directions: np.ndarray) -> np.ndarray:
    """Return directions of length 1, float64, or of 0 where they are 0."""
    unit = directions.astype(np.float64)
    lengths = np.linalg.norm(unit, axis=1, keepdims=True)
    unit /= np.where(lengths > 0, lengths, 1)
    return unit


def _choose(directions: np.ndarray, ids: np.ndarray, cosines: np.ndarray, limit: int, sign: int = 1) -> _Chosen:
    """Return the `limit` others of each feature with the largest sign·cosine, ties by id.

    `cosines` [len(ids), n_features] are rough ones times the sign; what cannot be chosen is overwritten in them.
    """
    cosines[np.arange(len(ids)), ids] = -np.inf
    # A direction of length 0 is as far from all others: the first of them are its nearest.
    cosines[~directions[ids].any(axis=1), limit + 1 :] = -np.inf
    error = (directions.shape[1] + 4) * 2.0**-24
    rows, columns = _candidates(cosines, limit, np.float32(2 * error))
    exact = (sign * _dots(directions, ids[rows], columns)).astype(np.float32)
    order = np.lexsort((columns, -exact, rows))
    chosen = order[np.searchsorted(rows, np.arange(len(ids)))[:, None] + np.arange(limit)]
    return _Chosen(columns[chosen], sign * exact[chosen] + np.float32(0))


def _candidates(values: np.ndarray, limit: int, slack: np.float32) -> tuple[np.ndarray, np.ndarray]:
    """Return rows and columns, in that order, of all values no less than the limit-th largest of the row − slack."""
    passed = values >= (_reached(values, limit) - slack)[:, None]
    rows, columns = np.divmod(np.flatnonzero(passed), values.shape[1])
    values = values[rows, columns]
    counts = np.bincount(rows, minlength=len(passed))
    padded = np.full((len(passed), max(limit, counts.max(initial=0))), -np.inf, np.float32)
    padded[np.arange(padded.shape[1]) < counts[:, None]] = values
    place = padded.shape[1] - limit
    largest = np.partition(padded, place, axis=1)[:, place] if limit else np.full(len(passed), np.inf, np.float32)
    kept = values >= (largest - slack)[rows]
    return rows[kept], columns[kept]


def _reached(values: np.ndarray, limit: int) -> np.ndarray:
    """Return for each row a value that at least `limit` of its values reach, or −∞; few more do.

    It is the limit-th largest among the largest values of groups of columns, made by folding the row.
    """
    if not limit or values.shape[1] < limit:
        return np.full(len(values), -np.inf, np.float32)
    largest, n_groups = values, values.shape[1]
    while n_groups // 2 >= GROUPS * limit:
        n_groups //= 2
        largest = np.maximum(largest[:, :n_groups], largest[:, n_groups : 2 * n_groups])
    reached: np.ndarray = np.partition(largest, n_groups - limit, axis=1)[:, n_groups - limit]
    return reached


def _dots(directions: np.ndarray, ids: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Return the products of pairs of directions, float64 [pairs]."""
    dots = np.empty(len(ids))
    for start in range(0, len(ids), PAIRS):
        some = slice(start, start + PAIRS)
        dots[some] = np.einsum("ij,ij->i", directions[ids[some]], directions[others[some]])
    return dots


def _largest(directions: np.ndarray, ids: np.ndarray, nearest: np.ndarray) -> np.ndarray:
    """Return the cosine of each direction with its nearest, float64, up to rounding."""
    if not nearest.shape[1]:
        return np.empty(0)
    pairs = ((ids[start : start + FEW], nearest[start : start + FEW, 0]) for start in range(0, len(ids), FEW))
    return np.concatenate([np.diagonal(directions[own] @ directions[others].T) for own, others in pairs])


def _joined(chosen: list[_Chosen]) -> Nearest:
    ids, cosines = (np.concatenate(columns) for columns in zip(*chosen, strict=True))
    n, limit = ids.shape
    return Nearest(
        np.repeat(np.arange(n, dtype=np.int32), limit),
        np.tile(np.arange(1, limit + 1, dtype=np.int32), n),
        ids.astype(np.int32).ravel(),
        cosines.ravel(),
    )

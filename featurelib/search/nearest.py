"""The nearest of many vectors by cosine: float32 finds the candidates, float64 decides their order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

BEYOND = 0
"""The rank of a vector that is not among likely ones."""
ROUNDING = 2e-5
"""More than a cosine in float32 differs from that in float64, at any dimension up to some thousands."""
BLOCK = 8_192
"""Vectors that are compared at once: nobody else waits longer than for these."""


def cosines_of(vectors: np.ndarray, query: np.ndarray) -> np.ndarray:
    """The cosine of each of the vectors [n, d] to a query [d] in float64, [n]; NaN for a vector of zeros."""
    cosines = np.empty(len(vectors), np.float64)
    wanted = np.asarray(query, np.float64)
    for first in range(0, len(vectors), BLOCK):
        exact = np.asarray(vectors[first : first + BLOCK], np.float64)
        with np.errstate(invalid="ignore", divide="ignore"):
            # einsum adds in one order for every row, so equal vectors have equal cosines to the last bit
            lengths = np.sqrt(np.einsum("nd,nd->n", exact, exact)) * np.linalg.norm(wanted)
            cosines[first : first + BLOCK] = np.einsum("nd,d->n", exact, wanted) / lengths
    return cosines


def best_of(vectors: np.ndarray, places: np.ndarray, query: np.ndarray, limit: int) -> tuple[np.ndarray, np.ndarray]:
    """The nearest of the vectors at some places, which ascend, and their cosines, the nearest first."""
    cosines = cosines_at(vectors, places, query)
    order = np.lexsort((places, -cosines))[: min(limit, int(np.isfinite(cosines).sum()))]
    return places[order], cosines[order]


def cosines_at(vectors: np.ndarray, places: np.ndarray, query: np.ndarray) -> np.ndarray:
    """The cosines of the vectors at some places, a portion of which is in memory at a time."""
    portions = [places[first : first + BLOCK] for first in range(0, len(places), BLOCK)]
    return np.concatenate([np.empty(0), *(cosines_of(vectors[portion], query) for portion in portions)])


def nearest_of(vectors: np.ndarray, query: np.ndarray, limit: int) -> tuple[np.ndarray, np.ndarray]:
    """The places of the nearest of all vectors to a query and their cosines, the nearest first."""
    return Compared.each(vectors, [query])[0].nearest_with_cosines(limit)


@dataclass(frozen=True)
class Compared:
    """The cosines of many vectors to one query."""

    vectors: np.ndarray
    """[n, d] in any type, perhaps mapped from a file."""
    query: np.ndarray
    """float64 [d]."""
    rough: np.ndarray
    """The cosines in float32 [n]; -inf for a vector of zeros."""

    @classmethod
    def each(cls, vectors: np.ndarray, queries: Sequence[np.ndarray], *, without: int | None = None) -> list[Compared]:
        """Compare all vectors but one with several queries in one pass: reading them is most of the work."""
        exact = [np.asarray(query, np.float64) for query in queries]
        units = np.stack([query / np.linalg.norm(query) for query in exact], axis=1).astype(np.float32)
        rough = np.full((len(exact), len(vectors)), -np.inf, np.float32)
        for first in range(0, len(vectors), BLOCK):
            block = np.asarray(vectors[first : first + BLOCK], np.float32)
            lengths = np.sqrt(np.einsum("nd,nd->n", block, block))
            known = lengths > 0
            rough[:, first : first + BLOCK][:, known] = ((block @ units)[known] / lengths[known, None]).T
        if without is not None and 0 <= without < len(vectors):
            rough[:, without] = -np.inf
        return [cls(vectors, query, own) for query, own in zip(exact, rough, strict=True)]

    def nearest(self, limit: int) -> np.ndarray:
        """The places of the nearest vectors, the nearest first, equal ones in their order."""
        return self.nearest_with_cosines(limit)[0]

    def nearest_with_cosines(self, limit: int) -> tuple[np.ndarray, np.ndarray]:
        """The same and their cosines."""
        n = min(limit, int(np.isfinite(self.rough).sum()))
        if not n:
            return np.empty(0, np.int64), np.empty(0)
        least = np.partition(self.rough, len(self.rough) - n)[len(self.rough) - n]
        return best_of(self.vectors, np.flatnonzero(self.rough >= least - ROUNDING), self.query, n)

    def ranks(self, places: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The ranks of some vectors among all, 1 being the nearest, and their cosines."""
        cosines = cosines_at(self.vectors, places, self.query)
        ranks = np.empty(len(places), np.int64)
        for number, (place, cosine) in enumerate(zip(places, cosines, strict=True)):
            apart = self.rough - np.float32(cosine)
            close = np.flatnonzero(np.abs(apart) <= ROUNDING)
            exact = cosines_at(self.vectors, close, self.query)
            before = (exact > cosine) | ((exact == cosine) & (close < place))
            ranks[number] = 1 + np.count_nonzero(apart > ROUNDING) + before.sum()
        return ranks, cosines


@dataclass(frozen=True)
class Likely:
    """The cosines of some vectors, probably the nearest of all, to one query."""

    vectors: np.ndarray
    """[n, d] in any type, perhaps mapped from a file."""
    query: np.ndarray
    """[d]."""
    places: np.ndarray
    """Where they stand, the nearest first."""

    @classmethod
    def among(cls, vectors: np.ndarray, places: np.ndarray, query: np.ndarray, limit: int) -> Likely:
        """The best `limit` of the vectors at some places, which ascend."""
        return cls(vectors, query, best_of(vectors, places, query, limit)[0])

    def nearest(self, limit: int) -> np.ndarray:
        """The places of the nearest vectors, the nearest first."""
        return self.places[:limit]

    def ranks(self, places: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The ranks of some vectors, 1 being the nearest, BEYOND for one that is none of these, and their cosines."""
        found = places[:, None] == self.places
        ranks: np.ndarray = np.where(found.any(axis=1), found.argmax(axis=1) + 1, BEYOND)
        return ranks, cosines_at(self.vectors, places, self.query)

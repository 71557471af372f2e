"""Possible edges from parents to children: pairs of features, one nested in the other beyond chance."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from featurelib.schema import DENSE, MIN_BOTH
from featurelib.stats import benjamini_hochberg, nesting, overlap_chance
from featurelib.storage.coactivation import Incidence, coactivation_counts, row_ranges

NESTED = 0.3
"""The least nesting of an edge: Mokken's bound for items that form a scale (A Theory and Procedure of Scale Analysis,
1971)."""
FALSE_SHARE = 0.01
"""The expected share of false edges among those that are kept, at most."""


@dataclass(frozen=True)
class Links:
    """Edges from parents to children, as arrays of one length."""

    child: np.ndarray
    """int32: the feature that fires on fewer texts (of equal ones, that with the larger id)."""
    parent: np.ndarray
    """int32."""
    n_both: np.ndarray
    """int64: texts on which both fire."""
    nesting: np.ndarray
    """float64: (P(parent | child) − P(parent)) / (1 − P(parent))."""

    def __len__(self) -> int:
        """The number of edges."""
        return len(self.child)

    def take(self, chosen: np.ndarray) -> Links:
        """Return the edges that `chosen` selects, in its order."""
        return Links(self.child[chosen], self.parent[chosen], self.n_both[chosen], self.nesting[chosen])


def find_links(fires: Any, *, nested: float = NESTED, advance: Callable[[int], None] | None = None) -> Links:
    """Return the edges that hold, in the order of child and parent; see the package for the rules.

    `fires` is B [n_texts, n_features]; `advance` is called with the number of features after each range of rows of C.
    """
    n_texts, n_features = fires.shape
    counts = np.diff(fires.indptr).astype(np.int64)
    blocks = [Links(*(np.empty(0, kind) for kind in (np.int32, np.int32, np.int64, np.float64)))]
    whole = Incidence.of(fires)
    for first, last in row_ranges(n_features):
        rows = coactivation_counts([whole], n_features, first, last)
        blocks.append(_candidates(rows, first, counts, n_texts, nested))
        if advance is not None:
            advance(last - first)
    links = Links(*(np.concatenate(column) for column in zip(*map(_columns, blocks), strict=True)))
    return links.take(_significant(links, counts, n_texts))


def _columns(links: Links) -> tuple[np.ndarray, ...]:
    return links.child, links.parent, links.n_both, links.nesting


def _candidates(rows: np.ndarray, first: int, counts: np.ndarray, n_texts: int, nested: float) -> Links:
    """The pairs whose child is one of these rows of C and that have support, a parent not dense, and nesting."""
    cells = np.flatnonzero(rows >= MIN_BOTH)
    both = rows.ravel()[cells].astype(np.int64)
    child, parent = (places.astype(np.int32) for places in np.divmod(cells, rows.shape[1]))
    child += np.int32(first)
    above = (counts[parent] > counts[child]) | ((counts[parent] == counts[child]) & (parent < child))
    possible = above & (counts[parent] <= DENSE * n_texts)
    child, parent, both = child[possible], parent[possible], both[possible]
    links = Links(child, parent, both, nesting(both, counts[child], counts[parent], n_texts))
    strong = np.flatnonzero(links.nesting >= nested)
    return links.take(strong[np.lexsort((parent[strong], child[strong]))])


def _significant(links: Links, counts: np.ndarray, n_texts: int) -> np.ndarray:
    """The edges that pass Benjamini and Hochberg's step-up rule over all pairs of features that could have support.

    P(as many common texts or more) is hypergeometric: the child's texts drawn from the corpus at random. Pairs that are
    not among `links` count as tests that failed, which can only make the rule stricter.
    """
    chances = overlap_chance(links.n_both, counts[links.parent], counts[links.child], n_texts)
    n_frequent = int((counts >= MIN_BOTH).sum())
    return np.flatnonzero(benjamini_hochberg(chances, n_frequent * (n_frequent - 1) / 2, FALSE_SHARE))

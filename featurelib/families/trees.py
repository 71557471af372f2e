"""Edges → trees: every feature with at most one parent, no tree larger than a tenth of the features."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from featurelib.families.links import Links

NONE = -1
LARGEST_SHARE = 10
"""A family holds at most one in so many features."""


@dataclass(frozen=True)
class Families:
    """The family of every feature; -1 stands for none."""

    family: np.ndarray
    """int32 [n_features]: 0 is the largest family; of equal ones, that whose root has the smaller id."""
    parent: np.ndarray
    """int32 [n_features]: -1 for a root, and for a feature without family."""
    depth: np.ndarray
    """int32 [n_features]: edges up to the root; -1 without family."""
    n_both: np.ndarray
    """int64 [n_features]: texts on which the feature and its parent fire; -1 without parent."""
    nesting: np.ndarray
    """float64 [n_features]: of the feature in its parent; NaN without parent."""

    @property
    def n_families(self) -> int:
        """The number of families."""
        return int(self.family.max(initial=NONE)) + 1

    @property
    def roots(self) -> np.ndarray:
        """The root of each family, int64 [n_families]."""
        roots = np.flatnonzero((self.family != NONE) & (self.parent == NONE))
        return roots[np.argsort(self.family[roots], kind="stable")]

    def members(self, family: int) -> np.ndarray:
        """The features of a family, its root first, then in the order of their ids."""
        members = np.flatnonzero(self.family == family)
        return members[np.argsort(self.depth[members] > 0, kind="stable")]


def largest_family(n_features: int) -> int:
    """The most features that a family may hold; under 20 features there are no families at all."""
    return n_features // LARGEST_SHARE


def grow_families(links: Links, counts: np.ndarray) -> Families:
    """Join features into families: each has its best parent, the most nested edge first, while no family is too large.

    counts [n_features] holds each feature's number of texts. Of equally nested parents the less frequent one is taken,
    because it is the more specific, then the one with the smaller id.
    """
    n_features = len(counts)
    best = _best_parents(links, counts)
    root_of, size = np.arange(n_features), np.ones(n_features, np.int64)
    parent = np.full(n_features, NONE, np.int32)
    n_both, nested = np.full(n_features, -1, np.int64), np.full(n_features, np.nan)
    for edge in best[np.lexsort((links.child[best], -links.nesting[best]))].tolist():
        child, above = int(links.child[edge]), int(links.parent[edge])
        ends = _root(root_of, child), _root(root_of, above)
        if size[ends[0]] + size[ends[1]] > largest_family(n_features):
            continue
        root_of[ends[0]] = ends[1]
        size[ends[1]] += size[ends[0]]
        parent[child], n_both[child], nested[child] = above, links.n_both[edge], links.nesting[edge]
    family, depth = _number(parent, counts)
    return Families(family, parent, depth, n_both, nested)


def _best_parents(links: Links, counts: np.ndarray) -> np.ndarray:
    """The place in `links` of each child's best edge."""
    order = np.lexsort((links.parent, counts[links.parent], -links.nesting, links.child))
    _, first = np.unique(links.child[order], return_index=True)
    return order[first]


def _root(root_of: np.ndarray, feature: int) -> int:
    while root_of[feature] != feature:
        root_of[feature] = root_of[root_of[feature]]
        feature = int(root_of[feature])
    return feature


def _number(parent: np.ndarray, counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The family and the depth of every feature, parents being visited before their children."""
    n_features = len(parent)
    root, depth = np.arange(n_features), np.zeros(n_features, np.int32)
    for feature in np.lexsort((np.arange(n_features), -counts)).tolist():
        if parent[feature] != NONE:
            root[feature] = root[parent[feature]]
            depth[feature] = depth[parent[feature]] + 1
    sizes = np.bincount(root, minlength=n_features)
    roots = np.flatnonzero(sizes > 1)
    number = np.full(n_features, NONE, np.int32)
    number[roots[np.argsort(-sizes[roots], kind="stable")]] = np.arange(len(roots), dtype=np.int32)
    family = number[root]
    return family, np.where(family == NONE, NONE, depth).astype(np.int32)

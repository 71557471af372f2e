"""How much more the features of a family fire together than with other features, and than by chance."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from featurelib.families.trees import Families
from featurelib.storage.coactivation import Incidence, coactivation_counts


@dataclass(frozen=True)
class FamilyMeasures:
    """The baseline's measures of one family (family_evaluation.py), in texts on which two features both fire.

    One mistake is corrected: the baseline takes `C[i, j] for i in range(len(children))`, so that its R_children is
    about features 0, 1, 2, … and not about the children.
    """

    family: int
    root: int
    size: int
    """The number of features, the root included."""
    depth: int
    """The greatest number of edges up to the root."""
    r_parent_child: float
    """The mean number of texts that the root shares with another member."""
    r_children: float | None
    """The mean number of texts that two other members share; None where there is only one."""
    in_block: float
    """The mean number of texts that two members share."""
    off_block: float
    """The mean number of texts that a member and a feature outside share, dead features included."""
    block_ratio: float | None
    """in_block / off_block; None where members share no text with any feature outside."""
    shuffled_ratio: float | None
    """The same ratio by chance, of the numbers expected when each feature's texts are drawn at random (n_i·n_j / N):
    members that fire often share many texts without being related."""


def measure_families(fires: Any, families: Families) -> list[FamilyMeasures]:
    """Measure every family, the largest first; `fires` is B [n_texts, n_features].

    Σ over all j of C_ij is the number of features that fire on the texts of i, so C is made for members only.
    """
    counts = np.diff(fires.indptr).astype(np.int64)
    active = fires.sum(axis=1)
    touched = (fires.T @ active).astype(np.int64)
    roots = families.roots.tolist()
    return [
        _measure(number, root, families, _shared(fires, families.members(number)), touched, counts)
        for number, root in enumerate(roots)
    ]


def _shared(fires: Any, members: np.ndarray) -> np.ndarray:
    """On how many texts two members both fire, int64 [n, n]."""
    counts = coactivation_counts([Incidence.of(fires[:, members])], len(members), 0, len(members))
    return counts.astype(np.int64)


def _measure(
    number: int, root: int, families: Families, inside: np.ndarray, touched: np.ndarray, counts: np.ndarray
) -> FamilyMeasures:
    members = families.members(number)
    own = counts[members]
    expected = np.outer(own, own)
    in_block, off_block = _blocks(inside, int(touched[members].sum()), len(counts))
    all_pairs = int(own.sum()) * int(counts.sum())
    shuffled_in, shuffled_off = _blocks(expected, all_pairs, len(counts))
    children = inside[1:, 1:]
    n = len(children)
    return FamilyMeasures(
        family=number,
        root=root,
        size=len(members),
        depth=int(families.depth[members].max()),
        r_parent_child=float(inside[0, 1:].mean()),
        r_children=float((children.sum() - np.trace(children)) / (n * (n - 1))) if n > 1 else None,
        in_block=in_block,
        off_block=off_block,
        block_ratio=in_block / off_block if off_block else None,
        shuffled_ratio=shuffled_in / shuffled_off if shuffled_off else None,
    )


def _blocks(inside: np.ndarray, total: int, n_features: int) -> tuple[float, float]:
    """The mean of a square of pairs without its diagonal, and of the rest of its rows, whose sum is `total` in all."""
    size = len(inside)
    outside = n_features - size
    within = (int(inside.sum()) - int(np.trace(inside))) / (size * (size - 1))
    return within, (total - int(inside.sum())) / (size * outside) if outside else 0.0

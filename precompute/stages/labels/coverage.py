"""How many of a feature's strongest label test texts hold its label, and on which texts the label fails."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from featurelib.schema.records import PASSED_OVER, UNTOLD
from precompute.stages.labels.fidelity import Label, TestTexts

STRONGEST = 20
"""Label test texts of which coverage is the share."""
SHOWN = 5
"""Texts of each kind of failure that are kept for a feature."""


class Coverage(NamedTuple):
    """A row of the table name_coverage."""

    feature_id: int
    method: str
    n_strongest: int
    n_holding: int


class Failure(NamedTuple):
    """A row of the table name_failures."""

    feature_id: int
    kind: str
    rank: int
    text_id: int
    cosine: float | None
    n_held: int


def coverage(tests: TestTexts, method: str, labels: Sequence[Label]) -> Iterator[Coverage]:
    """Yield for each label how many of the strongest label test texts hold at least one keyword whole."""
    for feature_id, label in enumerate(labels):
        strongest = tests.sample.rows[tests.sample.of(feature_id)][:STRONGEST]
        # without a naming text the keywords come from the texts on which they would be counted
        if label.keywords and len(strongest) and tests.n_naming[feature_id]:
            n_holding = int((tests.n_held(label.keywords)[strongest] > 0).sum())
            yield Coverage(feature_id, method, len(strongest), n_holding)


def failures(tests: TestTexts, labels: Sequence[Label]) -> Iterator[Failure]:
    """Yield where labels fail: texts they predict and the feature passes over, and firing ones they do not tell.

    The first are those nearest to the label (without an embedder, those that hold most keywords) on which the feature
    does not fire; the second the strongest that hold no keyword.
    """
    sample = tests.sample
    for feature_id, label in enumerate(labels):
        if not label.keywords:
            continue
        n_held, cosines = tests.n_held(label.keywords), tests.cosines(label.keywords)
        fires = sample.activations_of(feature_id) > 0
        order = np.argsort(-(n_held if cosines is None else cosines), kind="stable")
        passed_over = order[~fires[order] & ((n_held[order] > 0) | (cosines is not None))]
        rows = sample.rows[sample.of(feature_id)]
        untold = rows[n_held[rows] == 0]
        for kind, places in ((PASSED_OVER, passed_over), (UNTOLD, untold)):
            for rank, place in enumerate(places[:SHOWN].tolist(), 1):
                cosine = None if cosines is None else float(cosines[place])
                yield Failure(feature_id, kind, rank, int(sample.text_ids[place]), cosine, int(n_held[place]))

"""How many of a feature's strongest label test texts hold its label, and on which texts the label fails."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np

from featurelib.labels.split import TESTING
from featurelib.labels.words import TextsContaining
from featurelib.schema.records import PASSED_OVER, UNTOLD
from featurelib.storage.texts import read_texts
from precompute.build.job import Job
from precompute.stages.labels.fidelity import Label
from precompute.stages.labels.label_texts import LabelTexts, TextSample

STRONGEST = 20
"""Label test texts of which coverage is the share."""
SHOWN = 5
"""Texts of each kind of failure that are kept for a feature."""
Resemble = Callable[[list[str]], np.ndarray]
"""From a label's keywords to the cosine of every label test text to it."""


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


class Standing:
    """Which label test texts hold the keywords of labels."""

    def __init__(self, job: Job, texts: LabelTexts, labels: dict[str, list[Label]]) -> None:
        self._sample: TextSample = texts.samples[TESTING]
        self._n_naming = texts.n_naming
        distinct = {keyword for of_method in labels.values() for label in of_method for keyword in label.keywords}
        self._containing = TextsContaining(read_texts(job.generation, self._sample.text_ids), distinct)

    def coverage(self, method: str, labels: Sequence[Label]) -> Iterator[Coverage]:
        """Yield for each label how many of the strongest label test texts hold at least one keyword whole."""
        for feature_id, label in enumerate(labels):
            strongest = self._sample.rows[self._sample.of(feature_id)][:STRONGEST]
            # without a naming text the keywords come from the texts on which they would be counted
            if label.keywords and len(strongest) and self._n_naming[feature_id]:
                n_holding = int((self._n_held(label)[strongest] > 0).sum())
                yield Coverage(feature_id, method, len(strongest), n_holding)

    def failures(self, labels: Sequence[Label], resemble: Resemble | None) -> Iterator[Failure]:
        """Yield where labels fail: texts they predict and the feature passes over, and firing ones they do not tell.

        The first are those nearest to the label (without an embedder, those that hold most keywords) on which the
        feature does not fire; the second the strongest that hold no keyword.
        """
        for feature_id, label in enumerate(labels):
            if not label.keywords:
                continue
            n_held = self._n_held(label)
            cosines = resemble(label.keywords) if resemble else None
            fires = self._sample.activations_of(feature_id) > 0
            order = np.argsort(-(n_held if cosines is None else cosines), kind="stable")
            passed_over = order[~fires[order] & ((n_held[order] > 0) | (cosines is not None))]
            rows = self._sample.rows[self._sample.of(feature_id)]
            untold = rows[n_held[rows] == 0]
            for kind, places in ((PASSED_OVER, passed_over), (UNTOLD, untold)):
                for rank, place in enumerate(places[:SHOWN].tolist(), 1):
                    cosine = None if cosines is None else float(cosines[place])
                    text_id = int(self._sample.text_ids[place])
                    yield Failure(feature_id, kind, rank, text_id, cosine, int(n_held[place]))

    def _n_held(self, label: Label) -> np.ndarray:
        return np.asarray(np.sum([self._containing(keyword) for keyword in label.keywords], axis=0))

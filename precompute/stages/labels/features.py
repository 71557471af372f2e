"""Every feature's choice of names, made feature by feature in parts that outlive a kill."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow.compute as pc
import pyarrow.parquet as pq

from featurelib.labels.keybert import unit
from featurelib.labels.split import CHOOSING, NAMING
from featurelib.labels.words import TextsContaining
from featurelib.sae.checkpoints import load_sae
from featurelib.schema import NEIGHBOUR_ROWS
from featurelib.storage import files
from featurelib.storage.embeddings import read_embeddings_of
from featurelib.storage.runs import Generation
from featurelib.storage.texts import read_texts
from precompute.build.job import Job
from precompute.stages.labels.candidates import Candidates, Named, Vectors, find_strings
from precompute.stages.labels.choice import Choice, Looked, Weighed, choose, short_list
from precompute.stages.labels.texts import EvidenceTexts, Part

FEATURES_PER_PART = 128
NEAREST = 10
"""Features that a name is told apart from."""
SHOWN = 12
"""Candidates of a feature that are kept with their evidence."""


@dataclass(frozen=True)
class _Ground:
    """A part of the texts as candidates are looked at on it."""

    part: Part
    units: np.ndarray | None
    holders: TextsContaining

    def look(
        self, feature_id: int, nearest: Sequence[int], keywords: Sequence[str], units: np.ndarray | None
    ) -> Looked:
        """What this part says of a feature's candidates."""
        held = np.stack([self.holders(keyword) for keyword in keywords]).astype(np.float32)
        cosines = None if units is None or self.units is None else units @ self.units.T
        return Looked(cosines, held, self.part.fires(feature_id), self.part.fires(feature_id, *nearest))


def find_choices(
    job: Job, texts: EvidenceTexts, candidates: Candidates, vectors: Vectors | None, n_features: int
) -> dict[int, Choice]:
    """What each feature may be called, by feature_id.

    A feature without candidates is left out. One that fires on no choosing text, or has no naming text among its top
    texts, has no alternatives: nothing tells its candidates apart.
    """
    chooser: _Chooser | None = None
    found: dict[int, Choice] = {}
    with job.progress(n_features, "features named") as bar:
        for start in range(0, n_features, FEATURES_PER_PART):
            path = job.generation.work("labels") / f"choices-{start // FEATURES_PER_PART:05d}.json"
            ids = range(start, min(start + FEATURES_PER_PART, n_features))
            if not path.is_file():
                chooser = chooser or _Chooser(job, texts, candidates, vectors, n_features)
                made = {str(one): choice for one in ids if (choice := chooser(one))}
                files.write_json(path, made)
            held = files.read_json(path)
            found |= {int(one): Choice(names, [Weighed(*each) for each in seen]) for one, (names, seen) in held.items()}
            bar.advance(len(ids))
    return found


class _Chooser:
    """Chooses the names of one feature after the other."""

    def __init__(
        self, job: Job, texts: EvidenceTexts, candidates: Candidates, vectors: Vectors | None, n_features: int
    ) -> None:
        self._candidates, self._vectors = candidates, vectors
        self._n_chosen, self._n_naming = texts.parts[CHOOSING].n_fires(), texts.n_naming
        self._sae = load_sae(job.generation.sae_folder) if vectors else None
        self._nearest = _nearest(job.generation, n_features)
        wanted = vectors.strings if vectors else find_strings(job, candidates, n_features)
        self._grounds = _grounds(job.generation, texts, wanted, vectors)

    def __call__(self, feature_id: int) -> Choice | None:
        candidates = self._candidates.of(feature_id, self._vectors, self._sae)
        if not candidates:
            return None
        # Without a text that names it, its keywords come from texts of the other parts (see the stage keywords).
        if not self._n_chosen[feature_id] or not self._n_naming[feature_id]:
            return Choice([], [Weighed(*one, None, None) for one in candidates[:SHOWN]])
        named = self._look(NAMING, feature_id, candidates)
        places = short_list(named)
        short = [candidates[place] for place in places]
        return choose(short, named.take(places), self._look(CHOOSING, feature_id, short))

    def _look(self, part: str, feature_id: int, candidates: Sequence[Named]) -> Looked:
        keywords = [one.keyword for one in candidates]
        units = self._vectors(keywords) if self._vectors else None
        return self._grounds[part].look(feature_id, self._nearest[feature_id], keywords, units)


def _grounds(
    generation: Generation, texts: EvidenceTexts, wanted: Iterable[str], vectors: Vectors | None
) -> dict[str, _Ground]:
    grounds = {}
    for name in (NAMING, CHOOSING):
        part = texts.parts[name]
        units = unit(read_embeddings_of(generation, part.text_ids)) if vectors else None
        grounds[name] = _Ground(part, units, TextsContaining(read_texts(generation, part.text_ids), wanted))
    return grounds


def _nearest(generation: Generation, n_features: int) -> list[list[int]]:
    """The ten features whose directions are nearest to each feature's."""
    rows = pq.read_table(generation.need(NEIGHBOUR_ROWS), columns=["feature_id", "rank", "neighbour_id"])
    rows = rows.filter(pc.less_equal(rows["rank"], NEAREST))
    nearest: list[list[int]] = [[] for _ in range(n_features)]
    for feature_id, neighbour_id in zip(rows["feature_id"].to_pylist(), rows["neighbour_id"].to_pylist(), strict=True):
        nearest[feature_id].append(neighbour_id)
    return nearest

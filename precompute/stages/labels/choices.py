"""The choice of every feature's label, made feature by feature in parts that outlive a kill."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from featurelib.labels.choice import Candidate, Choice, Weighed, choose, usable
from featurelib.labels.evidence import Evidence
from featurelib.labels.split import CHOOSING, NAMING
from featurelib.labels.words import TextsContaining
from featurelib.sae.checkpoints import load_sae
from featurelib.storage import files
from precompute.build.embedded_strings import EmbeddedStrings
from precompute.build.job import Job
from precompute.stages.labels.candidates import Candidates
from precompute.stages.labels.label_texts import LabelTexts, TextSample

FEATURES_PER_PART = 128
CANDIDATES_AT_ONCE = 1024
"""Candidates whose cosines to all texts are in memory: 160 MB at 40,000 texts."""
SHOWN = 12
"""Candidates of a feature that are kept with their evidence."""


@dataclass(frozen=True)
class Ground:
    """A sample of texts with all that evidence is drawn from."""

    sample: TextSample
    units: np.ndarray | None
    """The embeddings of its texts at length 1, float32 [n, d]; None where meaning says nothing."""
    containing: TextsContaining

    def by_words(self, number: int, keywords: Sequence[str]) -> Evidence:
        """What the texts' words say about the candidates of a feature, or of whatever has this number in the sample."""
        contains = np.stack([self.containing(keyword) for keyword in keywords])
        return Evidence(None, contains, self.sample.activations_of(number))

    def cosines(self, units: np.ndarray) -> np.ndarray | None:
        """The cosine of each of some unit vectors, float32 [n, d], to each text, float32 [n, n_texts]."""
        return None if self.units is None else units @ self.units.T


@dataclass(frozen=True)
class Grounds:
    """The texts on which labels are chosen."""

    naming: Ground
    choosing: Ground

    @classmethod
    def of(cls, texts: LabelTexts, samples: Mapping[str, TextSample], *, with_units: bool) -> Grounds:
        """Gather what is known of the drawn naming and choosing texts; `samples` tell what fires on them."""
        grounds = []
        for split in (NAMING, CHOOSING):
            units = texts.units(samples[split].text_ids) if with_units else None
            grounds.append(Ground(samples[split], units, texts.containing(split)))
        return cls(*grounds)

    def choose(
        self, wanted: Iterable[tuple[int, Sequence[Candidate]]], vectors: EmbeddedStrings | None
    ) -> Iterator[tuple[int, Choice]]:
        """Yield the labels that numbers in the samples may have by their candidates, in that order.

        Some numbers share one product of vectors with texts, which is several times faster than a product for each.
        """
        block: list[_Asked] = []
        for number, candidates in wanted:
            block.append(self._ask(number, candidates))
            if sum(len(asked.candidates) for asked in block) >= CANDIDATES_AT_ONCE:
                yield from self._answer(block, vectors)
                block = []
        yield from self._answer(block, vectors)

    def _ask(self, number: int, candidates: Sequence[Candidate]) -> _Asked:
        """Leave out the candidates that change nothing."""
        keywords = [candidate.keyword for candidate in candidates]
        naming, choosing = (ground.by_words(number, keywords) for ground in (self.naming, self.choosing))
        places = usable(naming, choosing)
        if not len(places):
            return _Asked(number, candidates, naming, choosing)
        return _Asked(number, [candidates[place] for place in places], naming.take(places), choosing.take(places))

    def _answer(self, block: Sequence[_Asked], vectors: EmbeddedStrings | None) -> Iterator[tuple[int, Choice]]:
        row: dict[str, int] = {}
        for asked in block:
            for candidate in asked.candidates:
                row.setdefault(candidate.keyword, len(row))
        units = vectors.units(list(row)) if vectors and row else None
        naming, choosing = (None if units is None else ground.cosines(units) for ground in (self.naming, self.choosing))
        for asked in block:
            rows = np.array([row[candidate.keyword] for candidate in asked.candidates])
            of_naming = asked.naming.with_cosines(None if naming is None else naming[rows])
            of_choosing = asked.choosing.with_cosines(None if choosing is None else choosing[rows])
            yield asked.number, choose(asked.candidates, of_naming, of_choosing)


class _Asked(NamedTuple):
    """A number whose label is to be chosen, with the candidates that matter and what words say about them."""

    number: int
    candidates: Sequence[Candidate]
    naming: Evidence
    choosing: Evidence


def find_choices(
    job: Job, texts: LabelTexts, candidates: Candidates, vectors: EmbeddedStrings | None, n_features: int
) -> dict[int, Choice]:
    """The labels that each feature may have, by feature_id.

    A feature without candidates is left out. One without a naming text among its top texts has no alternatives: its
    candidates come from the texts on which it would be tested.
    """
    chooser: _Chooser | None = None
    choices: dict[int, Choice] = {}
    with job.progress(n_features, "features named") as bar:
        for start in range(0, n_features, FEATURES_PER_PART):
            path = job.generation.work("labels") / f"choices-{start // FEATURES_PER_PART:05d}.json"
            ids = range(start, min(start + FEATURES_PER_PART, n_features))
            if not path.is_file():
                chooser = chooser or _Chooser(job, texts, candidates, vectors)
                files.write_json(path, {str(feature_id): choice for feature_id, choice in chooser(ids)})
            for feature_id, (alternatives, weighed) in files.read_json(path).items():
                choices[int(feature_id)] = Choice(alternatives, [Weighed(*candidate) for candidate in weighed])
            bar.advance(len(ids))
    return choices


class _Chooser:
    """Chooses the labels of some features after others."""

    def __init__(self, job: Job, texts: LabelTexts, candidates: Candidates, vectors: EmbeddedStrings | None) -> None:
        self._candidates, self._vectors, self._n_naming = candidates, vectors, texts.n_naming
        self._sae = load_sae(job.generation.sae_folder) if vectors else None
        # in a token run names are chosen by the words of its texts: cosines of hidden states say little about meaning
        with_units = vectors is not None and not job.config.has_tokens
        self._vectors_of_labels = vectors if with_units else None
        self._grounds = Grounds.of(texts, texts.samples, with_units=with_units)

    def __call__(self, feature_ids: Iterable[int]) -> list[tuple[int, Choice]]:
        own = {feature_id: self._candidates.of(feature_id, self._vectors, self._sae) for feature_id in feature_ids}
        # Without a naming text, the keywords come from texts of the other sets (see the stage keywords).
        choices = {
            feature_id: Choice([], [Weighed(*candidate, None, None) for candidate in candidates[:SHOWN]])
            for feature_id, candidates in own.items()
            if candidates and not self._n_naming[feature_id]
        }
        wanted = [(number, candidates) for number, candidates in own.items() if candidates and number not in choices]
        choices |= self._grounds.choose(wanted, self._vectors_of_labels)
        return sorted(choices.items())

"""The choice of every feature's label, made feature by feature in parts that outlive a kill."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from featurelib.labels.choice import Candidate, Choice, Evidence, Weighed, choose
from featurelib.labels.keybert import unit
from featurelib.labels.split import CHOOSING, NAMING
from featurelib.labels.words import TextsContaining
from featurelib.sae.checkpoints import load_sae
from featurelib.storage import files
from featurelib.storage.embeddings import read_embeddings_of
from featurelib.storage.runs import Generation
from featurelib.storage.texts import read_texts
from precompute.build.embedded_strings import EmbeddedStrings
from precompute.build.job import Job
from precompute.stages.labels.candidates import Candidates, find_strings
from precompute.stages.labels.label_texts import LabelTexts, TextSample

FEATURES_PER_PART = 128
SHOWN = 12
"""Candidates of a feature that are kept with their evidence."""


@dataclass(frozen=True)
class Ground:
    """A sample of texts with all that evidence is drawn from."""

    sample: TextSample
    units: np.ndarray | None
    containing: TextsContaining

    @classmethod
    def read(cls, generation: Generation, sample: TextSample, keywords: Iterable[str], *, with_units: bool) -> Ground:
        """Read the texts of a sample and look for the words of keywords in them."""
        units = unit(read_embeddings_of(generation, sample.text_ids)) if with_units else None
        return cls(sample, units, TextsContaining(read_texts(generation, sample.text_ids), keywords))

    def evidence(self, number: int, keywords: Sequence[str], units: np.ndarray | None) -> Evidence:
        """What the sample says about the candidates of a feature, or of whatever has this number in it."""
        contains = np.stack([self.containing(keyword) for keyword in keywords]).astype(np.float32)
        cosines = None if units is None or self.units is None else units @ self.units.T
        return Evidence(cosines, contains, self.sample.activations_of(number))


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
                chooser = chooser or _Chooser(job, texts, candidates, vectors, n_features)
                of_part = {str(feature_id): choice for feature_id in ids if (choice := chooser(feature_id))}
                files.write_json(path, of_part)
            for feature_id, (alternatives, weighed) in files.read_json(path).items():
                choices[int(feature_id)] = Choice(alternatives, [Weighed(*candidate) for candidate in weighed])
            bar.advance(len(ids))
    return choices


class _Chooser:
    """Chooses the labels of one feature after the other."""

    def __init__(
        self, job: Job, texts: LabelTexts, candidates: Candidates, vectors: EmbeddedStrings | None, n_features: int
    ) -> None:
        self._candidates, self._vectors, self._n_naming = candidates, vectors, texts.n_naming
        self._sae = load_sae(job.generation.sae_folder) if vectors else None
        strings = vectors.strings if vectors else find_strings(job, candidates, n_features)
        # in a token run names are chosen by the words of its texts: cosines of hidden states say little about meaning
        with_units = vectors is not None and not job.config.has_tokens
        self._grounds = {
            split: Ground.read(job.generation, texts.samples[split], strings, with_units=with_units)
            for split in (NAMING, CHOOSING)
        }

    def __call__(self, feature_id: int) -> Choice | None:
        candidates = self._candidates.of(feature_id, self._vectors, self._sae)
        if not candidates:
            return None
        # Without a naming text, the keywords come from texts of the other sets (see the stage keywords).
        if not self._n_naming[feature_id]:
            return Choice([], [Weighed(*candidate, None, None) for candidate in candidates[:SHOWN]])
        naming, choosing = (self._evidence(split, feature_id, candidates) for split in (NAMING, CHOOSING))
        return choose(candidates, naming, choosing)

    def _evidence(self, split: str, feature_id: int, candidates: Sequence[Candidate]) -> Evidence:
        keywords = [candidate.keyword for candidate in candidates]
        units = self._vectors.units(keywords) if self._vectors else None
        return self._grounds[split].evidence(feature_id, keywords, units)

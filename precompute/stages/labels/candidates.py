"""Every feature's candidate keywords, and the embeddings of all of them together.

A feature's candidates are the baseline's best keywords, the phrases that set the texts it fires on apart, and those
phrases of its texts whose own embedding has the largest pre-activation. Each distinct one is embedded once, in parts of
4,096 under work/labels, so that a killed run loses at most one of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from featurelib.labels.keybert import stop_words, unit
from featurelib.labels.keywords import Keyword, label_keywords
from featurelib.labels.phrases import Phrases, TextWords
from featurelib.labels.words import repeats
from featurelib.sae.model import SAE
from featurelib.storage import files
from featurelib.storage.texts import read_texts
from precompute.build.job import Job
from precompute.stages.labels.texts import Part

STRINGS_PER_PART = 4096
FEATURES_PER_PART = 512
TEXTS_READ = 400
"""Texts of a feature whose words are counted: all, or so many evenly spaced in the order of their activations."""
BY_CONTRAST = 40
BY_PRE_ACTIVATION = 20
LOOKED_THROUGH = 400
"""Phrases of a feature, the greatest contrast first, among which those with the largest pre-activation are found."""
BY_KEYWORDS = 10
TOP_TEXTS, ACTIVE_TEXTS, ENCODER = "top texts", "active texts", "encoder"
"""Where a candidate comes from: the baseline's keywords, contrast, pre-activation."""


class Named(NamedTuple):
    """A candidate of one feature."""

    keyword: str
    origin: str
    """TOP_TEXTS, ACTIVE_TEXTS or ENCODER."""


class Vectors:
    """The embeddings of all candidates at length 1; called with some of them, float32 [n, d]."""

    def __init__(self, strings: Sequence[str], parts: Sequence[np.ndarray]) -> None:
        self.strings = strings
        self._row = {one: row for row, one in enumerate(strings)}
        self._parts = parts

    def __contains__(self, string: str) -> bool:
        """Whether the string is a candidate of any feature."""
        return string in self._row

    def raw(self, strings: Sequence[str]) -> np.ndarray:
        """Return the embeddings as the embedder gave them, float32 [n, d]."""
        rows = [divmod(self._row[one], STRINGS_PER_PART) for one in strings]
        if not rows:
            return np.empty((0, self._parts[0].shape[1] if self._parts else 0), np.float32)
        return np.stack([self._parts[number][inside] for number, inside in rows]).astype(np.float32)

    def __call__(self, strings: Sequence[str]) -> np.ndarray:
        """Return the embeddings at length 1, float32 [n, d]."""
        return unit(self.raw(strings))


class Candidates:
    """What every feature may be called."""

    def __init__(self, job: Job, naming: Part, seed_keywords: dict[int, list[Keyword]]) -> None:
        self._naming, self._keywords = naming, seed_keywords
        words = TextWords.read(read_texts(job.generation, naming.text_ids))
        self._phrases = Phrases(words, stop_words())

    def by_contrast(self, feature_id: int, most: int) -> list[str]:
        """The phrases that set its texts apart, the greatest contrast first."""
        where = self._naming.of(feature_id)
        rows, activations = self._naming.rows[where], self._naming.activations[where]
        if len(rows) > TEXTS_READ:
            spread = np.unique(np.linspace(0, len(rows) - 1, TEXTS_READ).astype(np.int64))
            rows, activations = rows[spread], activations[spread]
        found = self._phrases.candidates(rows, activations, most) if len(rows) else []
        return [one.phrase for one in found if not repeats(one.phrase)]

    def of_seed(self, feature_id: int) -> list[str]:
        """The baseline's best keywords and those of its label."""
        own = self._keywords.get(feature_id, [])
        return list(dict.fromkeys([*label_keywords(own), *(one.keyword for one in own[:BY_KEYWORDS])]))

    def of(self, feature_id: int, vectors: Vectors | None, sae: SAE | None) -> list[Named]:
        """All candidates of a feature, without repetition; none by pre-activation without vectors."""
        found = {keyword: TOP_TEXTS for keyword in self.of_seed(feature_id) if not repeats(keyword)}
        phrases = self.by_contrast(feature_id, LOOKED_THROUGH if vectors else BY_CONTRAST)
        # Of the first 400 more are left than of the first 40 where some repeat a word: those were not embedded.
        phrases = [one for one in phrases if vectors is None or one in vectors]
        for phrase in phrases[:BY_CONTRAST]:
            found.setdefault(phrase, ACTIVE_TEXTS)
        others = [one for one in phrases[BY_CONTRAST:] if one not in found]
        if others and vectors and sae:
            order = np.argsort(-_linear(sae, vectors.raw(others), feature_id), kind="stable")
            found |= {others[place]: ENCODER for place in order[:BY_PRE_ACTIVATION]}
        return [Named(*one) for one in found.items()]


def _linear(sae: SAE, x: np.ndarray, feature_id: int) -> np.ndarray:
    """The part of the pre-activation that differs between texts, float [n]: its order is the pre-activation's."""
    return (sae.normalise(x) @ sae.W_enc[:, feature_id]).numpy()


def embed_candidates(job: Job, candidates: Candidates, n_features: int) -> Vectors:
    """Embed every feature's candidates with the run's embedder and prompt, rounded as its embeddings are stored."""
    strings = find_strings(job, candidates, n_features)
    folder = job.generation.work("labels")
    chunks = [strings[start : start + STRINGS_PER_PART] for start in range(0, len(strings), STRINGS_PER_PART)]
    paths = [folder / f"candidates-{number:05d}.npy" for number in range(len(chunks))]
    there = sum(len(chunk) for chunk, path in zip(chunks, paths, strict=True) if path.is_file())
    if there < len(strings):
        embedder = job.config.open_embedder()
        with job.progress(len(strings), "candidates", there) as bar:
            for chunk, path in zip(chunks, paths, strict=True):
                if not path.is_file():
                    files.write_array(
                        path, embedder.embed(chunk, on_batch=bar.advance).astype(job.config.embedding_dtype)
                    )
    return Vectors(strings, [np.load(path, mmap_mode="r") for path in paths])


def find_strings(job: Job, candidates: Candidates, n_features: int) -> list[str]:
    """Every feature's candidates by contrast and by the baseline, the shortest first.

    They are found in parts of 512 features that stay on disk until the stage is done.
    """
    found: set[str] = set()
    with job.progress(n_features, "features read") as bar:
        for start in range(0, n_features, FEATURES_PER_PART):
            path = job.generation.work("labels") / f"strings-{start // FEATURES_PER_PART:05d}.json"
            ids = range(start, min(start + FEATURES_PER_PART, n_features))
            if not path.is_file():
                own: set[str] = set()
                for feature_id in ids:
                    own |= {*candidates.by_contrast(feature_id, BY_CONTRAST), *candidates.of_seed(feature_id)}
                files.write_json(path, sorted(own))
            found |= set(files.read_json(path))
            bar.advance(len(ids))
    return sorted(found, key=lambda one: (len(one), one))

"""The themes of features whose texts are of two or three: a phrase for each, and how many of its test texts hold it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from threadpoolctl import threadpool_limits

from featurelib.labels.split import CHOOSING, NAMING, SPLITS, TESTING
from featurelib.labels.themes import HeldPhrases, find_themes, of_theme, shares, theme_phrases
from featurelib.labels.words import TextsContaining, alike
from featurelib.schema import FEATURE_THEMES
from precompute.build.embedded_strings import EmbeddedStrings
from precompute.build.job import Job
from precompute.stages.labels.candidates import Candidates
from precompute.stages.labels.label_texts import LabelTexts

MOST_TEXTS = 1_000
"""Texts of a feature in each set that are used: all, or this many, evenly spaced in the order of activations."""
PHRASES = 100
"""Phrases of a feature among which its themes' are looked for."""


class FeatureTheme(NamedTuple):
    """A row of the table feature_themes."""

    feature_id: int
    rank: int
    label: str
    share: float
    n_texts: int
    n_tested: int
    n_holding: int


class _Texts:
    """The texts of each set with their centred unit embeddings."""

    def __init__(self, texts: LabelTexts) -> None:
        self._texts = texts
        self.samples = texts.samples | {NAMING: texts.naming}

    def rows(self, split: str, feature_id: int) -> np.ndarray:
        """The places of the texts of a set on which a feature fires, the strongest first; of many, some of them."""
        sample = self.samples[split]
        rows = sample.rows[sample.of(feature_id)]
        spread = np.unique(np.linspace(0, len(rows) - 1, min(len(rows), MOST_TEXTS)).astype(np.int64))
        return np.asarray(rows[spread])

    def units(self, split: str, feature_id: int) -> np.ndarray:
        """The centred unit embeddings of these texts."""
        return self._texts.centred(self.samples[split].text_ids[self.rows(split, feature_id)])

    def containing(self, phrases: Iterable[str]) -> dict[str, TextsContaining]:
        """Which texts of each set contain phrases; of all naming texts, which are many, these phrases alone."""
        naming = TextsContaining(self._texts.strings(self._texts.naming.text_ids), phrases)
        return {NAMING: naming} | {split: self._texts.containing(split) for split in (CHOOSING, TESTING)}


@dataclass(frozen=True)
class _Divided:
    """A feature whose texts are of several themes."""

    centres: np.ndarray
    """The themes' centres, float32 [n_themes, d]."""
    themes: dict[str, np.ndarray]
    """The theme of each of its texts, by their set."""
    phrases: list[str]
    """Those that set the naming texts of one of the themes apart."""


def write_feature_themes(
    job: Job, texts: LabelTexts, candidates: Candidates, vectors: EmbeddedStrings, feature_ids: Iterable[int]
) -> int:
    """Write the themes of those features that have several; returns how many these are."""
    ground = _Texts(texts)
    divided: dict[int, _Divided] = {}
    # with several threads sums run in any order, and equal texts might not give equal themes
    with threadpool_limits(1):
        for feature_id in feature_ids:
            if found := _divide(feature_id, ground, candidates, vectors, job.config.seed):
                divided[feature_id] = found
    distinct = {phrase for found in divided.values() for phrase in found.phrases}
    holding = ground.containing(distinct) if distinct else {}
    rows: list[FeatureTheme] = []
    for feature_id, found in divided.items():
        rows += _of_feature(feature_id, found, ground, holding, vectors)
    job.generation.write_rows(FEATURE_THEMES, rows)
    return len({row.feature_id for row in rows})


def _divide(
    feature_id: int, ground: _Texts, candidates: Candidates, vectors: EmbeddedStrings, seed: int
) -> _Divided | None:
    centres = find_themes(ground.units(NAMING, feature_id), ground.units(CHOOSING, feature_id), seed)
    if centres is None:
        return None
    themes = {split: of_theme(ground.units(split, feature_id), centres) for split in SPLITS}
    rows, phrases = ground.rows(NAMING, feature_id), set()
    for theme in range(len(centres)):
        own = rows[themes[NAMING] == theme]
        phrases |= set(candidates.of_texts(own, np.ones(len(own), np.float32), PHRASES))
    known = sorted(phrase for phrase in phrases if phrase in vectors)
    return _Divided(centres, themes, known) if known else None


def _of_feature(
    feature_id: int,
    found: _Divided,
    ground: _Texts,
    holding: dict[str, TextsContaining],
    vectors: EmbeddedStrings,
) -> list[FeatureTheme]:
    """The themes of a feature, the largest first; none where one of them has no phrase that tells it apart."""
    made_from = (NAMING, CHOOSING)
    held = {split: np.stack([holding[split](phrase) for phrase in found.phrases]) for split in SPLITS}
    of_own = {split: held[split][:, ground.rows(split, feature_id)] for split in SPLITS}
    own = np.concatenate([found.themes[split] for split in made_from])
    phrases = HeldPhrases(
        np.concatenate([of_own[split] for split in made_from], axis=1),
        own,
        np.concatenate([held[split] for split in made_from], axis=1).mean(axis=1),
        vectors.units(found.phrases) @ found.centres.T,
    )
    chosen = theme_phrases(phrases)
    if chosen is None or _say_the_same([found.phrases[place] for place in chosen]):
        return []
    tested, share = found.themes[TESTING], shares(own, len(found.centres))
    order = sorted(range(len(share)), key=lambda theme: (-share[theme], theme))
    return [
        FeatureTheme(
            feature_id,
            rank,
            found.phrases[chosen[theme]],
            share[theme],
            int((own == theme).sum()),
            int((tested == theme).sum()),
            int(of_own[TESTING][chosen[theme], tested == theme].sum()),
        )
        for rank, theme in enumerate(order, 1)
    ]


def _say_the_same(labels: list[str]) -> bool:
    """Whether two phrases are forms of one word."""
    return any(alike(first, second) for place, first in enumerate(labels) for second in labels[:place])

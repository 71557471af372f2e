"""The naming, the choosing and the label test texts that are used, and which features fire on them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from featurelib.labels.split import NAMING, SPLITS
from featurelib.schema import BY_FEATURE, LABEL_SPLIT, TOP_TEXT_ROWS
from featurelib.storage.activation_rows import read_rows
from featurelib.storage.runs import Generation

MEASURED = 20_000
"""Texts of each set that are used, drawn by seed where there are more."""
NAMING_TOP = 20
"""Top texts of each feature that give it keywords even when they are not drawn."""


@dataclass(frozen=True)
class Part:
    """Some texts and the features that fire on them."""

    text_ids: np.ndarray
    """int64 [n], ascending."""
    starts: np.ndarray
    """Where each feature begins in `rows`, int64 [n_features + 1]."""
    rows: np.ndarray
    """Places in `text_ids`, int64: feature after feature, the texts with the largest activations first."""
    activations: np.ndarray
    """float32, one for each of `rows`."""

    @property
    def n(self) -> int:
        """The number of texts."""
        return len(self.text_ids)

    def of(self, feature_id: int) -> slice:
        """Where a feature's rows and activations are."""
        return slice(self.starts[feature_id], self.starts[feature_id + 1])

    def fires(self, *feature_ids: int) -> np.ndarray:
        """On which of the texts one of the features fires, bool [n]."""
        mask = np.zeros(self.n, bool)
        for feature_id in feature_ids:
            mask[self.rows[self.of(feature_id)]] = True
        return mask

    def n_fires(self) -> np.ndarray:
        """On how many of the texts each feature fires, int64 [n_features]."""
        return np.diff(self.starts)


@dataclass(frozen=True)
class EvidenceTexts:
    """The parts of the evidence, as far as they are looked at."""

    parts: dict[str, Part]
    """By name: up to 20,000 texts of each."""
    naming: Part
    """The texts that give words: the named part, and every feature's top texts of it."""
    sizes: dict[str, int]
    """How many texts each part has in all."""
    n_naming: np.ndarray
    """How many of each feature's top texts are named, int64 [n_features]; with none it has other parts' keywords."""


def draw(generation: Generation, n_features: int, seed: int) -> EvidenceTexts:
    """Draw the texts of each part and find what fires on them, in one pass over the activations."""
    names = pq.read_table(generation.need(LABEL_SPLIT))["part"].to_numpy()
    belongs = {name: np.flatnonzero(names == name) for name in SPLITS}
    drawn = {name: _drawn(ids, seed, number) for number, (name, ids) in enumerate(belongs.items())}
    top_texts, n_naming = _top_texts(generation, names == NAMING, n_features)
    naming = np.union1d(drawn[NAMING], top_texts)
    *parts, words = _firing(generation, [*drawn.values(), naming], n_features, len(names))
    sizes = {name: len(ids) for name, ids in belongs.items()}
    return EvidenceTexts(dict(zip(drawn, parts, strict=True)), words, sizes, n_naming)


def _drawn(text_ids: np.ndarray, seed: int, number: int) -> np.ndarray:
    if len(text_ids) <= MEASURED:
        return text_ids
    return np.sort(np.random.default_rng([seed, number]).choice(text_ids, MEASURED, replace=False))


def _top_texts(generation: Generation, named: np.ndarray, n_features: int) -> tuple[np.ndarray, np.ndarray]:
    """The ids of every feature's first named top texts, and how many of its top texts are named."""
    table = pq.read_table(generation.need(TOP_TEXT_ROWS), columns=["feature_id", "rank", "text_id"])
    rows = table.filter(pa.array(named[table["text_id"].to_numpy()])).sort_by(
        [("feature_id", "ascending"), ("rank", "ascending")]
    )
    feature_ids = rows["feature_id"].to_numpy()
    places = np.arange(len(feature_ids)) - np.searchsorted(feature_ids, feature_ids)
    return np.unique(rows["text_id"].to_numpy()[places < NAMING_TOP]), np.bincount(feature_ids, minlength=n_features)


def _firing(generation: Generation, wanted: Sequence[np.ndarray], n_features: int, n_texts: int) -> list[Part]:
    places = []
    for text_ids in wanted:
        place = np.full(n_texts, -1, np.int32)
        place[text_ids] = np.arange(len(text_ids))
        places.append(place)
    found: list[list[tuple[np.ndarray, ...]]] = [[] for _ in wanted]
    for path in generation.parts(BY_FEATURE):
        rows = read_rows(path)
        for own, place in zip(found, places, strict=True):
            at = place[rows.text_ids]
            own.append((rows.feature_ids[at >= 0], at[at >= 0].astype(np.int64), rows.activations[at >= 0]))
    return [_part(ids, own, n_features) for ids, own in zip(wanted, found, strict=True)]


def _part(text_ids: np.ndarray, found: list[tuple[np.ndarray, ...]], n_features: int) -> Part:
    nothing = (np.empty(0, np.int32), np.empty(0, np.int64), np.empty(0, np.float32))
    feature_ids, rows, activations = (np.concatenate(column) for column in zip(nothing, *found, strict=True))
    return Part(text_ids, np.searchsorted(feature_ids, np.arange(n_features + 1)), rows, activations)

"""The naming, the choosing and the label test texts that are used, and which features fire on them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from featurelib.labels.keybert import unit
from featurelib.labels.split import NAMING, SPLITS
from featurelib.labels.words import TextsContaining
from featurelib.schema import BY_FEATURE, LABEL_SPLIT, TEXTS, TOP_TEXT_ROWS
from featurelib.storage.activation_rows import read_rows
from featurelib.storage.embeddings import read_embeddings_of
from featurelib.storage.runs import Generation
from featurelib.storage.texts import read_texts

SAMPLE_SIZE = 20_000
"""Texts of each set that are used, drawn by seed where there are more."""
NAMING_TOP = 20
"""Top texts of each feature that give it candidates even when they are not drawn."""

ROWS_AT_ONCE = 16_384


@dataclass(frozen=True)
class TextSample:
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
        """Return where a feature's rows and activations are."""
        return slice(self.starts[feature_id], self.starts[feature_id + 1])

    def activations_of(self, feature_id: int) -> np.ndarray:
        """Return a feature's activation on every text, float32 [n]; 0 where it does not fire."""
        activations = np.zeros(self.n, np.float32)
        activations[self.rows[self.of(feature_id)]] = self.activations[self.of(feature_id)]
        return activations

    def n_fires(self) -> np.ndarray:
        """Return on how many texts each feature fires, int64 [n_features]."""
        return np.diff(self.starts)


@dataclass(frozen=True)
class LabelTexts:
    """Samples of the texts that labels are made from, chosen on and tested on; each text is read once."""

    generation: Generation
    """Where they are read."""
    samples: dict[str, TextSample]
    """Up to 20,000 texts of each split, by its name."""
    naming: TextSample
    """The texts that candidates come from: the sample of naming texts and every feature's first naming top texts."""
    sizes: dict[str, int]
    """The number of different texts of each split."""
    n_naming: np.ndarray
    """How many of each feature's top texts are naming texts, int64 [n_features]; if none, it has keywords of others."""

    @cached_property
    def _text_ids(self) -> np.ndarray:
        """All texts of the samples, ascending."""
        return np.unique(np.concatenate([self.naming.text_ids, *(sample.text_ids for sample in self.samples.values())]))

    @cached_property
    def _strings(self) -> list[str]:
        return read_texts(self.generation, self._text_ids)

    @cached_property
    def _units(self) -> np.ndarray:
        units = read_embeddings_of(self.generation, self._text_ids)
        for start in range(0, len(units), ROWS_AT_ONCE):
            block = slice(start, start + ROWS_AT_ONCE)
            units[block] = unit(units[block])
        return units

    def strings(self, text_ids: np.ndarray) -> list[str]:
        """Return the words of some texts of the samples."""
        return [self._strings[place] for place in np.searchsorted(self._text_ids, text_ids)]

    def units(self, text_ids: np.ndarray) -> np.ndarray:
        """Return the embeddings of some texts of the samples at length 1, float32 [n, d]."""
        return np.asarray(self._units[np.searchsorted(self._text_ids, text_ids)])

    def centred(self, text_ids: np.ndarray) -> np.ndarray:
        """Return the same with the mean of the naming texts taken off, at length 1 again."""
        return unit(self.units(text_ids) - self._mean)

    @cached_property
    def _mean(self) -> np.ndarray:
        total = np.zeros(self._units.shape[1], np.float32)
        for start in range(0, self.naming.n, ROWS_AT_ONCE):
            rows = self.units(self.naming.text_ids[start : start + ROWS_AT_ONCE])
            total = np.concatenate([total[None], rows]).sum(axis=0)
        return total / np.float32(max(self.naming.n, 1))

    @cached_property
    def _containing(self) -> dict[str, TextsContaining]:
        return {}

    def containing(self, split: str) -> TextsContaining:
        """Return which texts of a sample contain a keyword; its words are looked for once, all of them."""
        if split not in self._containing:
            self._containing[split] = TextsContaining(self.strings(self.samples[split].text_ids))
        return self._containing[split]


def sample_texts(generation: Generation, n_features: int, seed: int) -> LabelTexts:
    """Draw a sample of each split and find which features fire on it, in one pass over the activations.

    Of copies, which lie in one split, only the first is used: a thousand of them say no more than one.
    """
    splits = pq.read_table(generation.need(LABEL_SPLIT))["part"].to_numpy()
    first = _is_first(generation)
    text_ids = {split: np.flatnonzero((splits == split) & first) for split in SPLITS}
    drawn = {split: _draw(ids, seed, number) for number, (split, ids) in enumerate(text_ids.items())}
    top_texts, n_naming = _naming_top_texts(generation, splits == NAMING, n_features)
    naming = np.union1d(drawn[NAMING], top_texts)
    *samples, naming_sample = _find_firing(generation, [*drawn.values(), naming], n_features, len(splits))
    sizes = {split: len(ids) for split, ids in text_ids.items()}
    return LabelTexts(generation, dict(zip(drawn, samples, strict=True)), naming_sample, sizes, n_naming)


def _is_first(generation: Generation) -> np.ndarray:
    """Whether each text is the first of those with the same words, bool [n_texts]; see `label_split`."""
    known: set[int] = set()
    is_first: list[bool] = []
    with pq.ParquetFile(generation.need(TEXTS)) as opened:
        for batch in opened.iter_batches(columns=["text"]):
            for text in batch["text"].to_pylist():
                words = hash(" ".join(text.casefold().split()))
                is_first.append(words not in known)
                known.add(words)
    return np.array(is_first, bool)


def _draw(text_ids: np.ndarray, seed: int, number: int) -> np.ndarray:
    if len(text_ids) <= SAMPLE_SIZE:
        return text_ids
    return np.sort(np.random.default_rng([seed, number]).choice(text_ids, SAMPLE_SIZE, replace=False))


def _naming_top_texts(generation: Generation, is_naming: np.ndarray, n_features: int) -> tuple[np.ndarray, np.ndarray]:
    """The ids of every feature's first naming top texts, and how many of its top texts are naming texts."""
    table = pq.read_table(generation.need(TOP_TEXT_ROWS), columns=["feature_id", "rank", "text_id"])
    rows = table.filter(pa.array(is_naming[table["text_id"].to_numpy()])).sort_by(
        [("feature_id", "ascending"), ("rank", "ascending")]
    )
    feature_ids = rows["feature_id"].to_numpy()
    places = np.arange(len(feature_ids)) - np.searchsorted(feature_ids, feature_ids)
    return np.unique(rows["text_id"].to_numpy()[places < NAMING_TOP]), np.bincount(feature_ids, minlength=n_features)


def _find_firing(
    generation: Generation, samples: Sequence[np.ndarray], n_features: int, n_texts: int
) -> list[TextSample]:
    """The features that fire on the texts of each sample, which is given by its text_ids."""
    places = []
    for text_ids in samples:
        place = np.full(n_texts, -1, np.int32)
        place[text_ids] = np.arange(len(text_ids))
        places.append(place)
    columns: list[list[tuple[np.ndarray, ...]]] = [[] for _ in samples]
    for path in generation.parts(BY_FEATURE):
        rows = read_rows(path)
        for of_sample, place in zip(columns, places, strict=True):
            at = place[rows.text_ids]
            of_sample.append((rows.feature_ids[at >= 0], at[at >= 0].astype(np.int64), rows.activations[at >= 0]))
    return [_join(ids, of_sample, n_features) for ids, of_sample in zip(samples, columns, strict=True)]


def _join(text_ids: np.ndarray, columns: list[tuple[np.ndarray, ...]], n_features: int) -> TextSample:
    nothing = (np.empty(0, np.int32), np.empty(0, np.int64), np.empty(0, np.float32))
    feature_ids, rows, activations = (np.concatenate(column) for column in zip(nothing, *columns, strict=True))
    return TextSample(text_ids, np.searchsorted(feature_ids, np.arange(n_features + 1)), rows, activations)

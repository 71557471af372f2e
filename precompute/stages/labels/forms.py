"""Which features fire by the form of words, from the attributions of their strongest texts."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from featurelib.labels.form import Form, Forms, letters_of, tells_more
from featurelib.labels.split import CHOOSING, NAMING, TESTING
from featurelib.schema import ATTRIBUTIONS, LABEL_SPLIT, TEXT_WORDS
from featurelib.storage.runs import Generation
from featurelib.storage.texts import read_texts
from precompute.build.job import Job
from precompute.stages.labels.label_texts import LabelTexts

ROWS_AT_ONCE, TEXTS_AT_ONCE = 4096, 8192
STRONGEST = 20
"""Texts of a feature by whose likeness it is told whether its words differ in meaning."""
LEAST = 5
"""With fewer texts their likeness is not known."""


def find_forms(job: Job, texts: LabelTexts, n_features: int) -> dict[int, Form]:
    """The form of the words of every feature that fires by one; none where words have no attributions.

    Of the strongest texts those count that labels may be made from; label test texts are left out.
    """
    generation = job.generation
    if not pq.read_metadata(generation.need(ATTRIBUTIONS)).num_rows:
        return {}
    words = _Words(generation)
    forms = Forms(words.counts.items(), n_features)
    likeness = _likeness(texts, n_features)
    usual = float(np.nanmedian(likeness)) if np.isfinite(likeness).any() else 0.0
    found = {}
    for feature_id, of_texts in _strongest_words(generation, words):
        if likeness[feature_id] < usual and (form := forms.find(of_texts)):
            found[feature_id] = form
    return found


class _Words:
    """The words of the texts that labels may be made from."""

    def __init__(self, generation: Generation) -> None:
        self.counts: Counter[str] = Counter()
        self._of_texts: dict[int, tuple[np.ndarray, list[str]]] = {}
        splits = pq.read_table(generation.need(LABEL_SPLIT))["part"].to_numpy()
        with pq.ParquetFile(generation.need(TEXT_WORDS)) as opened:
            for batch in opened.iter_batches(TEXTS_AT_ONCE):
                self._read(generation, batch.filter(pa.array(splits[batch["text_id"].to_numpy()] != TESTING)))

    def _read(self, generation: Generation, rows: pa.RecordBatch) -> None:
        strings = read_texts(generation, rows["text_id"].to_numpy())
        for row, text in zip(rows.to_pylist(), strings, strict=True):
            places, own = [], []
            for place, (start, end) in enumerate(zip(row["starts"], row["ends"], strict=True)):
                for piece in letters_of(text[start:end]):
                    places.append(place)
                    own.append(sys.intern(piece))
            self._of_texts[row["text_id"]] = np.array(places, np.int32), own
            self.counts.update(own)

    def __contains__(self, text_id: int) -> bool:
        """Whether labels may be made from a text."""
        return text_id in self._of_texts

    def strongest(self, text_id: int, attributions: Sequence[float]) -> list[str]:
        """The distinct words of a text, those that add most first; words that take away are left out."""
        places, own = self._of_texts[text_id]
        values = np.array(attributions)[places] if len(places) else np.zeros(0)
        return list(dict.fromkeys(own[at] for at in np.argsort(-values, kind="stable") if values[at] > 0))


def _strongest_words(generation: Generation, words: _Words) -> Iterator[tuple[int, list[list[str]]]]:
    """Yield each feature with the words of its texts, those that add most first."""
    feature_id = -1
    of_texts: list[list[str]] = []
    with pq.ParquetFile(generation.need(ATTRIBUTIONS)) as opened:
        for batch in opened.iter_batches(ROWS_AT_ONCE, columns=["feature_id", "text_id", "parts"]):
            for row in batch.to_pylist():
                if row["feature_id"] != feature_id:
                    if of_texts:
                        yield feature_id, of_texts
                    feature_id, of_texts = row["feature_id"], []
                if row["text_id"] in words:
                    of_texts.append(words.strongest(row["text_id"], row["parts"]))
    if of_texts:
        yield feature_id, of_texts


def keep_telling(texts: LabelTexts, forms: dict[int, Form], phrases: Mapping[int, Sequence[str]]) -> dict[int, Form]:
    """The forms that tell more of their features' strongest naming and choosing texts than these phrases do."""
    if not forms:
        return {}
    samples = [texts.samples[split] for split in (NAMING, CHOOSING)]
    holding = [texts.containing(split) for split in (NAMING, CHOOSING)]
    kept = {}
    for feature_id, form in forms.items():
        activations = np.concatenate([sample.activations_of(feature_id) for sample in samples])
        strongest = np.argsort(-activations, kind="stable")[: min(STRONGEST, int((activations > 0).sum()))]

        def held(keywords: Sequence[str]) -> np.ndarray:
            of_all = [np.any([own(keyword) for keyword in keywords], axis=0) for own in holding]
            return np.concatenate(of_all)

        of_form, own = held([form.keyword]), phrases.get(feature_id, ())
        of_phrase = held(own) if own else np.zeros(len(of_form), bool)
        if tells_more(of_form[strongest], of_phrase[strongest], float(of_form.mean())):
            kept[feature_id] = form
    return kept


def _likeness(texts: LabelTexts, n_features: int) -> np.ndarray:
    """Mean cosine of the pairs of each feature's strongest naming texts, the mean of all taken off; NaN for few."""
    likeness = np.full(n_features, np.nan)
    naming = texts.naming
    for feature_id in range(n_features):
        rows = naming.rows[naming.of(feature_id)][:STRONGEST]
        if len(rows) >= LEAST:
            total = float((texts.centred(naming.text_ids[rows]).sum(axis=0) ** 2).sum())
            likeness[feature_id] = (total - len(rows)) / (len(rows) * (len(rows) - 1))
    return likeness

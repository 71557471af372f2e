"""Which features fire by the form of words, from the attributions of their strongest texts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from featurelib.labels.form import Form, Forms, letters_of
from featurelib.labels.keybert import unit
from featurelib.labels.split import TESTING
from featurelib.schema import ATTRIBUTIONS, LABEL_SPLIT, TEXT_WORDS
from featurelib.storage.embeddings import read_embeddings_of
from featurelib.storage.runs import Generation
from featurelib.storage.texts import read_texts
from precompute.build.job import Job
from precompute.stages.labels.label_texts import LabelTexts, TextSample

ROWS_AT_ONCE = 4096
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
    likeness = _likeness(generation, texts.naming, n_features)
    usual = float(np.nanmedian(likeness)) if np.isfinite(likeness).any() else 0.0
    found = {}
    for feature_id, of_texts in _strongest_words(generation, words):
        if likeness[feature_id] <= usual and (form := forms.find(of_texts)):
            found[feature_id] = form
    return found


class _Words:
    """The words of the texts that labels may be made from."""

    def __init__(self, generation: Generation) -> None:
        self.counts: Counter[str] = Counter()
        self.of_texts: dict[int, list[list[str]]] = {}
        splits = pq.read_table(generation.need(LABEL_SPLIT))["part"].to_numpy()
        rows = pq.read_table(generation.need(TEXT_WORDS))
        rows = rows.filter(pa.array(splits[rows["text_id"].to_numpy()] != TESTING))
        text_ids = rows["text_id"].to_numpy()
        strings = dict(zip(text_ids.tolist(), read_texts(generation, text_ids), strict=True))
        for row in rows.to_pylist():
            text = strings[row["text_id"]]
            pieces = [letters_of(text[start:end]) for start, end in zip(row["starts"], row["ends"], strict=True)]
            self.of_texts[row["text_id"]] = pieces
            self.counts.update(piece for of_word in pieces for piece in of_word)


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
                if row["text_id"] in words.of_texts:
                    of_texts.append(_by_attribution(words.of_texts[row["text_id"]], row["parts"]))
    if of_texts:
        yield feature_id, of_texts


def _by_attribution(pieces: list[list[str]], attributions: list[float]) -> list[str]:
    """The distinct words of a text, those that add most first; words that take away are left out."""
    order = sorted(range(len(pieces)), key=lambda place: -attributions[place])
    return list(dict.fromkeys(piece for place in order if attributions[place] > 0 for piece in pieces[place]))


def _likeness(generation: Generation, naming: TextSample, n_features: int) -> np.ndarray:
    """Mean cosine of the pairs of each feature's strongest naming texts, the mean of all taken off; NaN for few."""
    units = unit(read_embeddings_of(generation, naming.text_ids))
    units = unit(units - units.mean(axis=0))
    likeness = np.full(n_features, np.nan)
    for feature_id in range(n_features):
        rows = naming.rows[naming.of(feature_id)][:STRONGEST]
        if len(rows) >= LEAST:
            total = float((units[rows].sum(axis=0) ** 2).sum())
            likeness[feature_id] = (total - len(rows)) / (len(rows) * (len(rows) - 1))
    return likeness

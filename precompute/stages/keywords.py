"""keywords: top texts → scored keywords of every feature.

Only naming texts (half of all texts, see featurelib.labels.split) give keywords, so that the others can tell how good a
label is. A feature without a naming text among its top texts takes its keywords from the others.

Every distinct string is embedded once, in parts of 4,096 strings of about equal length under work/keywords, so that a
killed run loses at most one of them.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from featurelib.labels import keybert, keywords
from featurelib.labels.keybert import Embed, Term
from featurelib.labels.split import NAMING
from featurelib.schema import FEATURES, KEYWORDS, LABEL_SPLIT, TOP_TEXT_ROWS
from featurelib.storage import files
from featurelib.storage.embeddings import read_embeddings_of
from featurelib.storage.runs import Generation
from featurelib.storage.texts import read_texts
from precompute.build.config import BuildConfig
from precompute.build.job import Job, Made
from precompute.build.stage import Stage

SECONDS_PER_TOP_TEXT = 0.009
"""Measured on two cores, 1,000 to 8,000 texts."""
STRINGS_PER_PART = 4096
TEXTS_PER_PART = 256
TUTORIAL_BATCH = 32
PROBED = 4
"""Texts, the longest and as many others, on which the run's embeddings are compared with the keyword embedder's."""
SAME_NUMBER = 2e-6
"""Two float32 embeddings of a text differ by less, in any number; float16 makes some differ by 1e-5 and more."""


def identity(config: BuildConfig) -> dict[str, Any]:
    """The keyword embedder and its weights where they are not those of the run, which the stage embed covers."""
    from featurelib.embedder import find_embedder

    if not config.keyword_embedder and config.has_embedder:
        return {}
    found = find_embedder(config.keyword_embedder)
    return {"keyword_embedder": found.name, "files_sha256": found.files_sha256}


def make_keywords(job: Job) -> Made:
    """Write summaries/keywords.parquet; a feature that is dead, or has only texts without words, has none."""
    ranked = _top_texts(job.generation, job.config.keyword_texts)
    text_ids = np.unique(np.concatenate([np.empty(0, np.int64), *ranked.values()]))
    embedder = _Embedder(job.config)
    terms, counts = _terms(job, embedder, text_ids)
    n_features = pq.read_metadata(job.generation.file(FEATURES)).num_rows
    by_feature = []
    with job.progress(n_features, "features") as bar:
        for feature_id in range(n_features):
            own = [terms.by_text[text_id] for text_id in ranked.get(feature_id, ())]
            by_feature.append(keywords.feature_keywords(own, terms.lookup, job.config.cluster_at))
            bar.advance()
    rows = [
        (feature_id, rank, *keyword) for feature_id, own in enumerate(by_feature) for rank, keyword in enumerate(own, 1)
    ]
    job.generation.write_rows(KEYWORDS, rows)
    n_with = sum(map(bool, by_feature))
    counts |= {"n_with_keywords": n_with, "n_keywords": sum(map(len, by_feature))}
    counts |= {"keyword_embedder": embedder.facts.name, "weights_sha256": embedder.facts.weights_sha256}
    line = (
        f"{counts['n_keywords']:,} keywords of {n_with:,} of {n_features:,} features from {len(text_ids):,} top texts; "
        f"{counts['n_words']:,} words and {counts['n_pairs']:,} pairs embedded once each"
    )
    return Made(line, counts)


STAGE = Stage(
    name="keywords",
    makes="keywords of every feature",
    make=make_keywords,
    grounds="top texts and keyword options",
    after=("ingest", "embed", "summarise"),
    options=("keyword_texts", "merge_at", "pair_at", "cluster_at", "keyword_embedder"),
    version=3,
    identity=identity,
    seconds=lambda workload: SECONDS_PER_TOP_TEXT * workload.n_top_texts,
)


def _top_texts(generation: Generation, limit: int) -> dict[int, np.ndarray]:
    """The ids of each live feature's `limit` strongest texts among those that name it, the strongest first."""
    rows = pq.read_table(generation.need(TOP_TEXT_ROWS), columns=["feature_id", "rank", "text_id"])
    rows = rows.sort_by([("feature_id", "ascending"), ("rank", "ascending")])
    naming = pq.read_table(generation.need(LABEL_SPLIT))["part"].to_numpy() == NAMING
    feature_ids, starts = np.unique(rows["feature_id"].to_numpy(), return_index=True)
    ranked = np.split(rows["text_id"].to_numpy(), starts[1:]) if len(rows) else []
    return {
        feature_id: (text_ids[naming[text_ids]] if naming[text_ids].any() else text_ids)[:limit]
        for feature_id, text_ids in zip(feature_ids.tolist(), ranked, strict=True)
    }


class _Embedder:
    """The keyword embedder: float32 on the CPU whatever the device of the run, so that scores keep their 4 decimals."""

    def __init__(self, config: BuildConfig) -> None:
        from featurelib.embedder import load_embedder

        if config.keyword_embedder:
            self._embedder = load_embedder(config.keyword_embedder, device="cpu")
        else:
            self._embedder = load_embedder(
                config.embedder, revision=config.revision, max_seq_length=config.max_seq_length, device="cpu"
            )
        self.facts = self._embedder.facts

    def embed(self, strings: Sequence[str], on_batch: Callable[[int], None] | None = None) -> np.ndarray:
        """Return float32 [n, d], without the prompt that texts of the run may have."""
        return self._embedder.embed(list(strings), with_prompt=False, on_batch=on_batch)

    def embed_as_tutorial(self, strings: Sequence[str]) -> np.ndarray:
        """Return float32 [n, d] in the batches that sentence-transformers makes: 32 strings, the longest first."""
        order = np.argsort([-len(one) for one in strings])
        vectors = np.empty((len(strings), self.facts.dimension), np.float32)
        for start in range(0, len(order), TUTORIAL_BATCH):
            rows = order[start : start + TUTORIAL_BATCH]
            chosen = [strings[row] for row in rows]
            vectors[rows] = self._embedder.embed(chosen, batch_size=TUTORIAL_BATCH, with_prompt=False)
        return vectors


class _Lookup:
    """Strings that have been embedded; called with some of them, it gives their embeddings, float32 [n, d]."""

    def __init__(self, strings: Sequence[str], parts: Sequence[np.ndarray], rows_per_part: int) -> None:
        self._row = {one: row for row, one in enumerate(strings)}
        self._parts, self._rows_per_part = parts, rows_per_part

    def __call__(self, strings: Sequence[str]) -> np.ndarray:
        rows = np.fromiter((self._row[one] for one in strings), np.int64, len(strings))
        numbers, inside = np.divmod(rows, self._rows_per_part)
        vectors = np.empty((len(rows), self._parts[0].shape[1]), np.float32)
        for number in np.unique(numbers):
            chosen = numbers == number
            vectors[chosen] = self._parts[number][inside[chosen]]
        return vectors


def _embed_once(job: Job, name: str, strings: Sequence[str], embedder: _Embedder, rows_per_part: int) -> _Lookup:
    """Embed `strings` in parts that stay on disk until the stage is done; parts that are there are kept."""
    parts = []
    folder = job.generation.work("keywords")
    chunks = [strings[start : start + rows_per_part] for start in range(0, len(strings), rows_per_part)]
    paths = [folder / f"{name}-{number:05d}.npy" for number in range(len(chunks))]
    start = sum(len(chunk) for chunk, path in zip(chunks, paths, strict=True) if path.is_file())
    with job.progress(len(strings), name, start) if start < len(strings) else contextlib.nullcontext() as bar:
        for chunk, path in zip(chunks, paths, strict=True):
            if not path.is_file():
                files.write_array(path, embedder.embed(chunk, bar.advance))
            parts.append(np.load(path, mmap_mode="r"))
    return _Lookup(strings, parts, rows_per_part)


@dataclasses.dataclass(frozen=True)
class _Terms:
    by_text: dict[int, list[Term]]
    lookup: Embed
    """Embeddings of every term."""


def _terms(job: Job, embedder: _Embedder, text_ids: np.ndarray) -> tuple[_Terms, dict[str, int]]:
    """The terms of every text in `text_ids`, and how many strings that took."""
    texts = read_texts(job.generation, text_ids)
    found = [keybert.candidates(text) for text in texts]
    words_of_texts = [one.words for one in found]
    vectors = _text_vectors(job, embedder, text_ids, texts)
    words = _by_length(set().union(*words_of_texts))
    lookup = _embed_once(job, "words", words, embedder, STRINGS_PER_PART)
    merged, n_settled = _merged(job, texts, words_of_texts, vectors, lookup, embedder.embed_as_tutorial)
    phrases = _by_length({phrase for own in merged for phrase in keywords.pairs(own)})
    lookup_phrases = _embed_once(job, "pairs", phrases, embedder, STRINGS_PER_PART)
    pair_at = job.config.pair_at
    by_text = {
        int(text_id): keywords.text_terms(own, vector, lookup_phrases, pair_at)
        for text_id, own, vector in zip(text_ids, merged, vectors, strict=True)
    }
    left_out = [one.left_out for one in found]
    counts = {
        "n_texts": len(texts),
        "n_words": len(words),
        "n_pairs": len(phrases),
        "n_settled": n_settled,
        "n_without_words": sum(not own for own in words_of_texts),
        "n_words_left_out": sum(left_out),
        "n_texts_cut": sum(map(bool, left_out)),
    }
    return _Terms(by_text, _either(lookup, lookup_phrases)), counts


def _either(words: _Lookup, phrases: _Lookup) -> Embed:
    """A lookup for words and pairs together: a pair has a space in it."""

    def embed(strings: Sequence[str]) -> np.ndarray:
        is_pair = np.array([" " in one for one in strings])
        if not is_pair.any():
            return words(strings)
        vectors = np.empty((len(strings), words([]).shape[1]), np.float32)
        vectors[~is_pair] = words([one for one in strings if " " not in one])
        vectors[is_pair] = phrases([one for one in strings if " " in one])
        return vectors

    return embed


def _by_length(strings: set[str]) -> list[str]:
    return sorted(strings, key=lambda one: (len(one), one))


def _merged(
    job: Job, texts: list[str], words: list[tuple[str, ...]], vectors: np.ndarray, lookup: Embed, embed: Embed
) -> tuple[list[list[Term]], int]:
    """Each text's best words, merged, and the number of texts whose close calls were settled as the tutorial does."""
    merged: list[list[Term]] = []
    n_settled = 0
    folder = job.generation.work("keywords")
    with job.progress(len(texts), "texts") as bar:
        for start in range(0, len(texts), TEXTS_PER_PART):
            part = slice(start, start + TEXTS_PER_PART)
            path = folder / f"best-{start // TEXTS_PER_PART:05d}.json"
            if not path.is_file():
                files.write_json(path, _best_words(texts[part], words[part], vectors[part], lookup, embed))
            held = files.read_json(path)
            n_settled += held["n_settled"]
            best = [[Term(*term) for term in own] for own in held["words"]]
            merged += [keywords.merge(own, lookup, job.config.merge_at) for own in best]
            bar.advance(len(best))
    return merged, n_settled


def _best_words(
    texts: list[str], words: list[tuple[str, ...]], vectors: np.ndarray, lookup: Embed, embed: Embed
) -> dict[str, Any]:
    best = keybert.text_words(words, vectors, lookup)
    unsure = keybert.close_calls(words, vectors, lookup)
    for position in unsure:
        best[position] = keybert.settle(texts[position], words[position], embed)
    return {"words": best, "n_settled": len(unsure)}


def _text_vectors(job: Job, embedder: _Embedder, text_ids: np.ndarray, texts: list[str]) -> np.ndarray:
    """float32 [n, d]: the run's own embeddings of these texts where the keyword embedder gives the same, else its own.

    The run's are not the same where they have a prompt, are stored or were made in float16, or are another embedder's.
    """
    if not texts:
        return np.empty((0, embedder.facts.dimension), np.float32)
    stored = read_embeddings_of(job.generation, text_ids)
    if _same(stored, texts, embedder):
        return stored
    return _embed_once(job, "texts", texts, embedder, TEXTS_PER_PART)(texts)


def _same(stored: np.ndarray, texts: list[str], embedder: _Embedder) -> bool:
    if stored.shape[1] != embedder.facts.dimension:
        return False
    longest = np.argsort([-len(text) for text in texts], kind="stable")[:PROBED]
    spread = np.linspace(0, len(texts) - 1, PROBED).astype(np.int64)
    rows = np.unique(np.concatenate([longest, spread]))
    anew = keybert.unit(embedder.embed([texts[row] for row in rows]))
    return bool(np.abs(anew - keybert.unit(stored[rows])).max() < SAME_NUMBER)

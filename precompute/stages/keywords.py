"""keywords: top texts → scored keywords of every feature.

Only naming texts (half of all texts, see featurelib.labels.split) give keywords, so that the others can tell how good a
label is. A feature without a naming text among its top texts takes its keywords from the others.

Every distinct string is embedded once, in parts of 4,096 strings of about equal length under work/keywords, so that a
killed run loses at most one of them.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import pyarrow.parquet as pq

from featurelib.labels import keybert, keywords
from featurelib.labels.keybert import Embed, Term
from featurelib.labels.split import NAMING
from featurelib.language.guess import AUTO, Languages, find_languages, read_codes
from featurelib.schema import FEATURES, KEYWORDS, LABEL_SPLIT, TEXTS, TOP_TEXT_ROWS
from featurelib.storage import files
from featurelib.storage.embeddings import read_embeddings_of
from featurelib.storage.runs import Generation
from featurelib.storage.texts import read_texts
from precompute.build.config import BuildConfig
from precompute.build.embedded_strings import EmbeddedStrings, embed_in_parts
from precompute.build.job import Job, Made
from precompute.build.stage import Stage, Workload

STRINGS_PER_TEXT, SECONDS_PER_FEATURE = 12, 0.006
"""Words and pairs of a text that no other has, and what scoring a feature's takes on two cores."""
STRINGS_PER_PART = 4096
TEXTS_PER_PART = 256
LANGUAGE_TEXTS = 20_000
"""Texts by which the languages of the corpus are known."""
COMPARED = 4
"""So many of the longest texts, and as many others, are embedded again to see whether the run's embeddings will do."""
SAME_NUMBER = {"float32": 2e-6, "bfloat16": 4e-3}
"""Two embeddings of a text differ by less in every number, by what they are computed with."""


def identity(config: BuildConfig) -> dict[str, Any]:
    """The keyword embedder and its files, unless it is the run's own embedder, which the stage embed covers."""
    from featurelib.embedder import find_embedder

    if not config.keyword_embedder and config.has_embedder and config.layer is None:
        return {}
    embedder = find_embedder(config.keyword_embedder)
    return {"keyword_embedder": embedder.name, "files_sha256": embedder.files_sha256}


def make_keywords(job: Job) -> Made:
    """Write summaries/keywords.parquet; a feature that is dead, or has only texts without words, has none."""
    ranked = _top_texts(job.generation, job.config.keyword_texts)
    text_ids = np.unique(np.concatenate([np.empty(0, np.int64), *ranked.values()]))
    embedder = KeywordEmbedder(job.config)
    languages = find_languages(_spread_texts(job.generation), job.config.language or AUTO)
    terms, counts = _find_terms(job, embedder, languages, text_ids)
    n_features = pq.read_metadata(job.generation.file(FEATURES)).num_rows
    by_feature = []
    with job.progress(n_features, "features") as bar:
        for feature_id in range(n_features):
            of_texts = [terms.by_text[text_id] for text_id in ranked.get(feature_id, ())]
            by_feature.append(keywords.feature_keywords(of_texts, terms.embed, job.config.cluster_at))
            bar.advance()
    rows = [
        (feature_id, rank, *keyword) for feature_id, own in enumerate(by_feature) for rank, keyword in enumerate(own, 1)
    ]
    job.generation.write_rows(KEYWORDS, rows)
    n_with = sum(map(bool, by_feature))
    counts |= {"languages": languages.shares, "language_option": job.config.language or AUTO}
    counts |= {"n_with_keywords": n_with, "n_keywords": sum(map(len, by_feature))}
    counts |= {"keyword_embedder": embedder.facts.name, "weights_sha256": embedder.facts.weights_sha256}
    line = (
        f"{counts['n_keywords']:,} keywords of {n_with:,} of {n_features:,} features from {len(text_ids):,} top texts; "
        f"{counts['n_words']:,} words and {counts['n_pairs']:,} pairs embedded once each"
    )
    return Made(line, counts)


def _check_language(config: BuildConfig) -> None:
    if config.language and config.language != AUTO:
        read_codes(config.language)


def _seconds(workload: Workload) -> float:
    n_naming = min(workload.n_texts / 2, workload.n_top_texts)
    to_embed = workload.seconds_to_embed_strings(STRINGS_PER_TEXT * n_naming)
    return to_embed + SECONDS_PER_FEATURE * workload.n_features


STAGE = Stage(
    name="keywords",
    makes="keywords of every feature",
    make=make_keywords,
    grounds="top texts and keyword options",
    after=("ingest", "embed", "summarise"),
    options=("keyword_texts", "merge_at", "pair_at", "cluster_at", "keyword_embedder", "language"),
    version=4,
    check=_check_language,
    identity=identity,
    seconds=_seconds,
)


def _spread_texts(generation: Generation) -> list[str]:
    """Up to 20,000 texts, evenly spread over the corpus."""
    n_texts = pq.read_metadata(generation.need(TEXTS)).num_rows
    text_ids = np.unique(np.linspace(0, n_texts - 1, min(n_texts, LANGUAGE_TEXTS)).astype(np.int64))
    return read_texts(generation, text_ids)


def _top_texts(generation: Generation, limit: int) -> dict[int, np.ndarray]:
    """The ids of each live feature's `limit` strongest naming texts; of its top texts where none of these is one."""
    rows = pq.read_table(generation.need(TOP_TEXT_ROWS), columns=["feature_id", "rank", "text_id"])
    rows = rows.sort_by([("feature_id", "ascending"), ("rank", "ascending")])
    naming = pq.read_table(generation.need(LABEL_SPLIT))["part"].to_numpy() == NAMING
    feature_ids, starts = np.unique(rows["feature_id"].to_numpy(), return_index=True)
    ranked = np.split(rows["text_id"].to_numpy(), starts[1:]) if len(rows) else []
    return {
        feature_id: (text_ids[naming[text_ids]] if naming[text_ids].any() else text_ids)[:limit]
        for feature_id, text_ids in zip(feature_ids.tolist(), ranked, strict=True)
    }


class KeywordEmbedder:
    """The embedder of keywords: float32 unless a dtype is asked for, on the GPU too, so that scores keep 4 decimals."""

    def __init__(self, config: BuildConfig) -> None:
        from featurelib.embedder import load_embedder

        # the cosines of hidden states say little about meaning: keywords of such a run have a sentence encoder
        if config.keyword_embedder or config.layer is not None:
            self._embedder = load_embedder(config.keyword_embedder, device=config.device, dtype="float32")
        else:
            self._embedder = load_embedder(
                config.embedder,
                revision=config.revision,
                max_seq_length=config.max_seq_length,
                device=config.device,
                dtype=config.dtype or "float32",
            )
        self.facts, self.precision = self._embedder.facts, self._embedder.precision

    def embed(self, strings: Sequence[str], on_batch: Callable[[int], None] | None = None) -> np.ndarray:
        """Return float32 [n, d]; a prompt that the run puts before its texts is left out."""
        return self._embedder.embed(list(strings), with_prompt=False, on_batch=on_batch)


class _Terms(NamedTuple):
    by_text: dict[int, list[Term]]
    embed: Embed
    """From terms to their embeddings, which are all known."""


def _find_terms(
    job: Job, embedder: KeywordEmbedder, languages: Languages, text_ids: np.ndarray
) -> tuple[_Terms, dict[str, Any]]:
    """The terms of the texts with these ids, and counts of what was embedded and left out."""
    texts = read_texts(job.generation, text_ids)
    words_of_texts, left_out = _candidates(texts, languages)
    vectors = _text_vectors(job, embedder, text_ids, texts)
    distinct_words = _by_length(set().union(*words_of_texts))
    words = embed_in_parts(job, "keywords", "words", distinct_words, embedder.embed, STRINGS_PER_PART)
    merged = _merge_best_words(job, words_of_texts, vectors, words)
    distinct_pairs = _by_length({pair for of_text in merged for pair in keywords.pairs(of_text)})
    pairs = embed_in_parts(job, "keywords", "pairs", distinct_pairs, embedder.embed, STRINGS_PER_PART)
    by_text = {
        int(text_id): keywords.text_terms(of_text, vector, pairs.raw, job.config.pair_at)
        for text_id, of_text, vector in zip(text_ids, merged, vectors, strict=True)
    }
    counts: dict[str, Any] = {
        "n_texts": len(texts),
        "n_words": len(distinct_words),
        "n_pairs": len(distinct_pairs),
        "n_without_words": sum(not of_text for of_text in words_of_texts),
        "n_words_left_out": sum(left_out),
        "n_texts_cut": sum(map(bool, left_out)),
    }
    return _Terms(by_text, _embed_either(words, pairs)), counts


def _candidates(texts: list[str], languages: Languages) -> tuple[list[tuple[str, ...]], list[int]]:
    """The words of each text that may become keywords, and how many more there were; a word is in memory once."""
    words_of_texts, left_out = [], []
    for text in texts:
        of_text = keybert.candidates(text, languages.of(text))
        words_of_texts.append(tuple(map(sys.intern, of_text.words)))
        left_out.append(of_text.left_out)
    return words_of_texts, left_out


def _embed_either(words: EmbeddedStrings, pairs: EmbeddedStrings) -> Embed:
    """A lookup of words and pairs together: a pair has a space in it."""

    def embed(strings: Sequence[str]) -> np.ndarray:
        is_pair = np.array([" " in string for string in strings])
        if not is_pair.any():
            return words.raw(strings)
        vectors = np.empty((len(strings), words.raw([]).shape[1]), np.float32)
        vectors[~is_pair] = words.raw([string for string in strings if " " not in string])
        vectors[is_pair] = pairs.raw([string for string in strings if " " in string])
        return vectors

    return embed


def _by_length(strings: set[str]) -> list[str]:
    return sorted(strings, key=lambda string: (len(string), string))


def _merge_best_words(
    job: Job, words_of_texts: list[tuple[str, ...]], vectors: np.ndarray, words: EmbeddedStrings
) -> list[list[Term]]:
    """Each text's best words, those that nearly agree merged; the best words are kept in parts of 256 texts."""
    merged: list[list[Term]] = []
    folder = job.generation.work("keywords")
    with job.progress(len(words_of_texts), "texts") as bar:
        for start in range(0, len(words_of_texts), TEXTS_PER_PART):
            part = slice(start, start + TEXTS_PER_PART)
            path = folder / f"best-{start // TEXTS_PER_PART:05d}.json"
            if not path.is_file():
                files.write_json(path, keybert.text_words(words_of_texts[part], vectors[part], words.raw))
            best = [[Term(sys.intern(word), score) for word, score in of_text] for of_text in files.read_json(path)]
            merged += [keywords.merge(of_text, words.raw, job.config.merge_at) for of_text in best]
            bar.advance(len(best))
    return merged


def _text_vectors(job: Job, embedder: KeywordEmbedder, text_ids: np.ndarray, texts: list[str]) -> np.ndarray:
    """The embeddings of the texts, float32 [n, d]: the run's own where the keyword embedder gives the same, else new.

    They are not the same if the run has a prompt, stores float16 or has another embedder.
    """
    if not texts:
        return np.empty((0, embedder.facts.dimension), np.float32)
    stored = read_embeddings_of(job.generation, text_ids)
    if job.config.embedding_dtype == "float32" and _same_embeddings(stored, texts, embedder):
        return stored
    distinct = list(dict.fromkeys(texts))
    return embed_in_parts(job, "keywords", "texts", distinct, embedder.embed, TEXTS_PER_PART).raw(texts)


def _same_embeddings(stored: np.ndarray, texts: list[str], embedder: KeywordEmbedder) -> bool:
    if stored.shape[1] != embedder.facts.dimension:
        return False
    longest = np.argsort([-len(text) for text in texts], kind="stable")[:COMPARED]
    spread = np.linspace(0, len(texts) - 1, COMPARED).astype(np.int64)
    rows = np.unique(np.concatenate([longest, spread]))
    embedded = keybert.unit(embedder.embed([texts[row] for row in rows]))
    return bool(np.abs(embedded - keybert.unit(stored[rows])).max() < SAME_NUMBER[embedder.precision])

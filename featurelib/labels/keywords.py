"""Top texts → scored keywords, by the method of the seed tutorial; KeyBERT lives here only.

For each text: KeyBERT's five best words, those that nearly agree merged, and pairs of what remains that are close to
the text. For each feature: every term w of its top texts gets score(w) = (S/N)·ln(1+N), S being the sum of its scores
and N the number of texts that hold it; terms with similar embeddings form clusters, scored by the same formula.
Source: Yb1ku/SAEs-for-Sentence-BERT, docs/tutorials/keywords.md (MIT). Activations are not used as weights.

Embeddings come through `embed`: a function from n strings to float32 [n, d]. Called with everything at once or with a
lookup into embeddings made before, the scores are the same.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any, NamedTuple

import numpy as np

from featurelib.schema import Refusal

Embed = Callable[[Sequence[str]], np.ndarray]

MAX_CANDIDATES = 2000
"""Candidate words of one text: the first ones count, which changes nothing in a text under some 15 kB."""
MAX_WORD_LENGTH = 64
"""Longer unbroken strings (hashes, base64, unspaced scripts) are no candidates."""
ROUNDING = 4
"""Decimals of a word's score: KeyBERT rounds them."""
CLOSE = 4e-7
"""Cosines that differ less may change places when a text is embedded in another batch (measured: 2.6e-7 at most)."""
SAME = 1 - 1e-5
"""Words with a larger cosine have the same tokens (naïve, naive): which of them is named is left to chance."""
LABEL_KEYWORDS = 3
SEPARATOR = " · "
"""Between the keywords of a label."""
LABEL_TEXTS = 2
"""A word of one top text alone says little of the feature, however near to that text it is."""


@dataclass(frozen=True)
class Method:
    """The numbers of the tutorial's method."""

    merge_at: float = 0.9
    """Cosine from which two words of one text count as one; the better scored one stays."""
    pair_at: float = 0.4
    """Cosine to the text from which a pair of words counts as a term."""
    cluster_at: float = 0.75
    """Cosine from which a term joins the cluster of a better one (the seed's code has 0.8)."""
    n_words: int = 5
    """Words that KeyBERT gives for a text."""


class Term(NamedTuple):
    """A word or a pair of words of one text."""

    term: str
    score: float
    """Its cosine to the text, in -1 to 1; rounded to 4 decimals for words, not for pairs."""


class ScoredTerm(NamedTuple):
    """A term over the top texts of one feature."""

    term: str
    total: float
    """S: the sum of its scores."""
    texts: frozenset[int]
    """The positions of the texts that hold it; N is their number."""

    @property
    def score(self) -> float:
        """(S/N)·ln(1+N)."""
        return agreement(self.total, len(self.texts))


class Keyword(NamedTuple):
    """A cluster of terms, named by its best one."""

    keyword: str
    score: float
    """(S/N)·ln(1+N) with S and N summed over the cluster; ln 11 = 2.398 is one term, in ten texts, with cosine 1."""
    n_texts: int
    """The number of top texts that hold any term of the cluster (N may be larger: it counts each term's texts)."""


class Candidates(NamedTuple):
    """The words of a text that may become keywords."""

    words: tuple[str, ...]
    """Lower-cased, distinct, in the order of their first appearance."""
    left_out: int
    """How many more there were: too long ones, and those after the first 2,000."""


def agreement(total: float, count: int) -> float:
    """Return (S/N)·ln(1+N): a term's mean score S/N, times the logarithm of one more than its number of texts N."""
    return total / count * math.log(1 + count)


@functools.cache
def _analyzer() -> Callable[[str], list[str]]:
    from sklearn.feature_extraction.text import CountVectorizer

    return CountVectorizer(ngram_range=(1, 1), stop_words="english").build_analyzer()


def stop_words() -> frozenset[str]:
    """The English words that name nothing, as scikit-learn lists them."""
    from sklearn.feature_extraction.text import ENGLISH_STOP_WORDS

    return ENGLISH_STOP_WORDS


def candidates(text: str) -> Candidates:
    """Return the words of `text` that KeyBERT looks at: lower-cased, two characters or more, no English stop words."""
    distinct = list(dict.fromkeys(_analyzer()(text)))
    words = tuple(word for word in distinct if len(word) <= MAX_WORD_LENGTH)[:MAX_CANDIDATES]
    return Candidates(words, len(distinct) - len(words))


@functools.cache
def _keybert() -> Any:
    from keybert import KeyBERT
    from keybert.backend import BaseEmbedder

    return KeyBERT(model=BaseEmbedder())


def text_words(
    words: Sequence[Sequence[str]], text_vectors: np.ndarray, embed: Embed, n_words: int = 5
) -> list[list[Term]]:
    """Return the words of each text that are nearest to it, the nearest first, as `KeyBERT.extract_keywords` does.

    `words` are the candidates of each text, `text_vectors` float32 [n, d]. A text without candidates has no words.
    Raises Refusal for embeddings that KeyBERT would pass over in silence (NaN, wrong sizes).
    """
    vocabulary = sorted(set().union(*words))
    if not vocabulary:
        return [[] for _ in words]
    from sklearn.feature_extraction.text import CountVectorizer

    word_vectors = embed(vocabulary)
    _check_vectors(text_vectors, len(words), "texts")
    _check_vectors(word_vectors, len(vocabulary), "words")
    found = _keybert().extract_keywords(
        [" ".join(own) for own in words] + [""],
        vectorizer=CountVectorizer(analyzer=str.split, token_pattern=None, vocabulary=vocabulary),
        top_n=n_words,
        doc_embeddings=np.vstack([text_vectors, text_vectors[:1]]),
        word_embeddings=word_vectors,
    )
    listed = [[Term(word.lower(), score) for word, score in own] for own in found[: len(words)]]
    if [len(own) for own in listed] != [min(n_words, len(own)) for own in words]:
        raise RuntimeError("KeyBERT left out words of a text with candidates and gave no reason.")
    return listed


def _check_vectors(vectors: np.ndarray, rows: int, of: str) -> None:
    if vectors.ndim != 2 or len(vectors) != rows or not np.isfinite(vectors).all():
        raise Refusal(
            f"the keyword embedder gave {vectors.shape} numbers, or some that are not finite, for {rows} {of}; "
            "choose another with --keyword-embedder."
        )


def unit(vectors: np.ndarray) -> np.ndarray:
    """Return the rows of [n, d] at length 1; a row of zeros stays."""
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors / np.where(norms == 0, 1, norms).astype(np.float32)


def close_calls(words: Sequence[Sequence[str]], text_vectors: np.ndarray, embed: Embed, n_words: int = 5) -> list[int]:
    """Return the positions of the texts whose words depend on the last bits of an embedding.

    A cosine among the best `n_words` lies within 4e-7 of where its rounding changes, or of the next best one. Embedded
    alone, as the tutorial does, such a text may come out otherwise than in a batch; `settle` looks.
    """
    unsure = []
    for position, (own, vector) in enumerate(zip(words, unit(text_vectors), strict=True)):
        if not own:
            continue
        vectors = unit(embed(own))
        cosines = (vectors @ vector).astype(np.float64)
        best = np.argsort(-cosines, kind="stable")[: n_words + 1]
        scaled = cosines[best[:n_words]] * 10**ROUNDING
        at_rounding = np.abs(scaled - np.floor(scaled) - 0.5) < CLOSE * 10**ROUNDING
        twins = (vectors[best[:-1]] * vectors[best[1:]]).sum(axis=1) > SAME
        at_next = (-np.diff(cosines[best]) < CLOSE) & ~twins
        if at_rounding.any() or at_next.any():
            unsure.append(position)
    return unsure


def settle(text: str, words: Sequence[str], embed: Embed, n_words: int = 5) -> list[Term]:
    """Return the words of a text with it embedded alone and its candidates in one call, as the tutorial's loop does."""
    vectors = dict(zip(sorted(words), embed(sorted(words)), strict=True))
    return text_words([words], embed([text]), lambda strings: np.stack([vectors[one] for one in strings]), n_words)[0]


def merge(words: Sequence[Term], embed: Embed, merge_at: float) -> list[Term]:
    """Merge the words of a text greedily: of those with cosine >= `merge_at` to the first, the best scored stays."""
    if not words:
        return []
    cosines = _cosines(embed([word.term for word in words]))
    return [max((words[j] for j in group), key=lambda word: word.score) for group in _groups(cosines >= merge_at)]


def pairs(words: Sequence[Term]) -> list[str]:
    """Return all pairs "w1 w2" of merged words in their order; they need not be neighbours in the text."""
    return [f"{first.term} {second.term}" for first, second in combinations(words, 2)]


def text_terms(words: Sequence[Term], text_vector: np.ndarray, embed: Embed, pair_at: float) -> list[Term]:
    """Return the merged words of a text followed by its pairs with cosine >= `pair_at` to it; `text_vector` is [d]."""
    phrases = pairs(words)
    if not phrases:
        return list(words)
    cosines = unit(embed(phrases)) @ unit(text_vector[None])[0]
    kept = [Term(phrase, float(cosine)) for phrase, cosine in zip(phrases, cosines, strict=True) if cosine >= pair_at]
    return [*words, *kept]


def score_terms(terms_by_text: Sequence[Sequence[Term]]) -> list[ScoredTerm]:
    """Sum up the terms of a feature's top texts, the best scored first; equal scores keep the order of appearance."""
    totals: dict[str, float] = {}
    holders: dict[str, set[int]] = {}
    for position, terms in enumerate(terms_by_text):
        for term, score in terms:
            totals[term] = totals.get(term, 0.0) + score
            holders.setdefault(term, set()).add(position)
    scored = [ScoredTerm(term, total, frozenset(holders[term])) for term, total in totals.items()]
    return sorted(scored, key=lambda one: one.score, reverse=True)


def feature_keywords(terms_by_text: Sequence[Sequence[Term]], embed: Embed, cluster_at: float) -> list[Keyword]:
    """Cluster the terms of a feature's top texts and return the clusters as keywords, the best first.

    A term joins the first (best scored) term to which its cosine is >= `cluster_at`. Equal scores are ordered by
    keyword.
    """
    scored = score_terms(terms_by_text)
    if not scored:
        return []
    cosines = _cosines(embed([one.term for one in scored]))
    keywords = [_keyword([scored[j] for j in group]) for group in _groups(cosines >= cluster_at)]
    return sorted(keywords, key=lambda keyword: (-keyword.score, keyword.keyword))


def _keyword(cluster: list[ScoredTerm]) -> Keyword:
    total = sum(one.total for one in cluster)
    count = sum(len(one.texts) for one in cluster)
    best = max(cluster, key=lambda one: one.score)
    return Keyword(best.term, agreement(total, count), len(frozenset().union(*(one.texts for one in cluster))))


def _cosines(vectors: np.ndarray) -> np.ndarray:
    units = unit(vectors)
    return units @ units.T


def _groups(near: np.ndarray) -> list[list[int]]:
    """Group greedily: the first one that is free takes every later free one that is near it; `near` is bool [n, n]."""
    free = np.ones(len(near), dtype=bool)
    groups = []
    for first in range(len(near)):
        if free[first]:
            later = first + 1 + np.flatnonzero(near[first, first + 1 :] & free[first + 1 :])
            free[later] = False
            groups.append([first, *later.tolist()])
    return groups


def label_keywords(keywords: Sequence[Keyword]) -> list[str]:
    """Return the keywords of a feature's label: the first three that each add a word.

    Only keywords that two or more top texts hold are taken; where no two texts share one, the best of single texts are.
    """
    chosen: list[str] = []
    used: set[str] = set()
    for keyword in [one for one in keywords if one.n_texts >= LABEL_TEXTS] or keywords:
        words = set(keyword.keyword.split())
        if not words <= used:
            chosen.append(keyword.keyword)
            used |= words
        if len(chosen) == LABEL_KEYWORDS:
            break
    return chosen


def label(feature_id: int, keywords: Sequence[Keyword]) -> tuple[str, str]:
    """Return a feature's label by keywords alone and its source: "keywords" where texts share them, "single texts".

    Without any keyword it is "feature 12", source "none".
    """
    chosen = label_keywords(keywords)
    source = "keywords" if any(one.n_texts >= LABEL_TEXTS for one in keywords) else "single texts"
    return (SEPARATOR.join(chosen), source) if chosen else (f"feature {feature_id}", "none")


def keywords_of(texts: Sequence[str], embed: Embed, method: Method | None = None) -> list[Keyword]:
    """Return the keywords of one feature from its top texts, the strongest first: the whole method in one call."""
    method = method or Method()
    if not texts:
        return []
    vectors = embed(texts)
    found = text_words([candidates(text).words for text in texts], vectors, embed, method.n_words)
    merged = [merge(words, embed, method.merge_at) for words in found]
    terms = [text_terms(words, vector, embed, method.pair_at) for words, vector in zip(merged, vectors, strict=True)]
    return feature_keywords(terms, embed, method.cluster_at)

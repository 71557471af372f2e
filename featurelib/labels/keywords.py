"""Top texts → scored keywords, and the baseline's label: the method of the thesis' keyword tutorial.

For each text: KeyBERT's five best words (featurelib.labels.keybert), those that nearly agree merged, and pairs of the
rest that are close to the text. For each feature: every term w of its top texts gets score(w) = (S/N)·ln(1+N), S being
the sum of its scores and N the number of texts that contain it; terms with similar embeddings form clusters, scored by
the same formula. Source: Yb1ku/SAEs-for-Sentence-BERT, docs/tutorials/keywords.md (MIT). Activations are not used as
weights.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import combinations
from typing import NamedTuple

import numpy as np

from featurelib.labels.keybert import Embed, Term, unit

LABEL_KEYWORDS = 3
SEPARATOR = " · "
"""Between the keywords of a label."""
LONGEST_LABEL = 40
"""Characters of a label: it must be read at a glance."""
LABEL_TEXTS = 2
"""Top texts that must contain a keyword of a label: a word of a single text says little about the feature."""


class ScoredTerm(NamedTuple):
    """A term over the top texts of one feature."""

    term: str
    total: float
    """S: the sum of its scores."""
    texts: frozenset[int]
    """The positions of the texts that contain it; N is their number."""

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
    """The number of top texts that contain any term of the cluster (N may be larger: it counts each term's texts)."""


def agreement(total: float, count: int) -> float:
    """Return (S/N)·ln(1+N): a term's mean score S/N, times the logarithm of one more than its number of texts N."""
    return total / count * math.log(1 + count)


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
    close = [Term(phrase, float(cosine)) for phrase, cosine in zip(phrases, cosines, strict=True) if cosine >= pair_at]
    return [*words, *close]


def score_terms(terms_by_text: Sequence[Sequence[Term]]) -> list[ScoredTerm]:
    """Sum up the terms of a feature's top texts, the best scored first; equal scores keep the order of appearance."""
    totals: dict[str, float] = {}
    holders: dict[str, set[int]] = {}
    for position, terms in enumerate(terms_by_text):
        for term, score in terms:
            totals[term] = totals.get(term, 0.0) + score
            holders.setdefault(term, set()).add(position)
    scored = [ScoredTerm(term, total, frozenset(holders[term])) for term, total in totals.items()]
    return sorted(scored, key=lambda term: term.score, reverse=True)


def feature_keywords(terms_by_text: Sequence[Sequence[Term]], embed: Embed, cluster_at: float) -> list[Keyword]:
    """Cluster the terms of a feature's top texts and return the clusters as keywords, the best first.

    A term joins the first (best scored) term to which its cosine is >= `cluster_at`. Equal scores are ordered by
    keyword.
    """
    scored = score_terms(terms_by_text)
    if not scored:
        return []
    cosines = _cosines(embed([term.term for term in scored]))
    keywords = [_keyword([scored[j] for j in group]) for group in _groups(cosines >= cluster_at)]
    return sorted(keywords, key=lambda keyword: (-keyword.score, keyword.keyword))


def _keyword(cluster: list[ScoredTerm]) -> Keyword:
    total = sum(term.total for term in cluster)
    count = sum(len(term.texts) for term in cluster)
    best = max(cluster, key=lambda term: term.score)
    return Keyword(best.term, agreement(total, count), len(frozenset().union(*(term.texts for term in cluster))))


def _cosines(vectors: np.ndarray) -> np.ndarray:
    units = unit(vectors)
    cosines: np.ndarray = units @ units.T
    return cosines


def _groups(near: np.ndarray) -> list[list[int]]:
    """Group greedily: the first free row takes every later free row that is near it; `near` is bool [n, n]."""
    free = np.ones(len(near), dtype=bool)
    groups = []
    for first in range(len(near)):
        if free[first]:
            later = first + 1 + np.flatnonzero(near[first, first + 1 :] & free[first + 1 :])
            free[later] = False
            groups.append([first, *later.tolist()])
    return groups


def label_keywords(keywords: Sequence[Keyword]) -> list[str]:
    """Return the keywords of the baseline's label: the first three that each add a word.

    They are keywords that two or more top texts contain; where there is none, those of single texts.
    """
    chosen: list[str] = []
    used: set[str] = set()
    for keyword in [keyword for keyword in keywords if keyword.n_texts >= LABEL_TEXTS] or keywords:
        words = set(keyword.keyword.split())
        if not words <= used:
            chosen.append(keyword.keyword)
            used |= words
        if len(chosen) == LABEL_KEYWORDS:
            break
    return chosen


def is_short(keywords: Sequence[str]) -> bool:
    """Whether a label of these keywords has at most 40 characters."""
    return len(SEPARATOR.join(keywords)) <= LONGEST_LABEL


def label(feature_id: int, keywords: Sequence[Keyword]) -> tuple[str, str]:
    """Return the baseline's label of a feature and its source: "keywords" or "single texts", see `label_keywords`.

    Without any keyword the label is "feature 12", its source "none".
    """
    chosen = label_keywords(keywords)
    source = "keywords" if any(keyword.n_texts >= LABEL_TEXTS for keyword in keywords) else "single texts"
    return (SEPARATOR.join(chosen), source) if chosen else (f"feature {feature_id}", "none")

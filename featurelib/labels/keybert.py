"""Text → the words that KeyBERT finds nearest to it; KeyBERT is imported here only.

Embeddings come through `embed`: a function from n strings to float32 [n, d]. Called with everything at once or with a
lookup into embeddings made before, the scores are the same.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from featurelib.labels.stop_words import stop_words
from featurelib.language.characters import has_python_words
from featurelib.language.segmentation import pieces, says_something, words
from featurelib.schema import Refusal

Embed = Callable[[Sequence[str]], np.ndarray]

MAX_CANDIDATES = 2000
"""Candidate words of one text: the first ones count, which changes nothing in a text under some 15 kB."""
MAX_WORD_LENGTH = 64
"""Longer unbroken strings (hashes, base64) are no candidates."""

_SKLEARN_WORD = re.compile(r"\b\w\w+\b")


class Term(NamedTuple):
    """A word or a pair of words of one text."""

    term: str
    score: float
    """Its cosine to the text, in -1 to 1; rounded to 4 decimals for words, not for pairs."""


class Candidates(NamedTuple):
    """The words of a text that may become keywords."""

    words: tuple[str, ...]
    """Lower-cased, distinct, in the order of their first appearance."""
    left_out: int
    """How many more there were: too long ones, and those after the first 2,000."""


def _tokens(text: str) -> list[str]:
    """Words of two letters or more as scikit-learn divides them, or as `words` does where it would break them.

    Its own pattern breaks words at the vowel signs of Hindi or Thai, and takes a Chinese clause for one word.
    """
    if has_python_words(text):
        return _SKLEARN_WORD.findall(text)
    return [token for word in words(text) for token in pieces(word) if says_something(token)]


def candidates(text: str, language: str | None) -> Candidates:
    """Return the words of `text` that KeyBERT looks at: lower-cased, long enough, no stop words."""
    stop = stop_words(language)
    distinct = [token for token in dict.fromkeys(_tokens(text.lower())) if token not in stop]
    usable = tuple(word for word in distinct if len(word) <= MAX_WORD_LENGTH)[:MAX_CANDIDATES]
    return Candidates(usable, len(distinct) - len(usable))


@functools.cache
def _keybert() -> Any:
    from keybert import KeyBERT
    from keybert.backend import BaseEmbedder

    return KeyBERT(model=BaseEmbedder())


def text_words(
    candidates_of: Sequence[Sequence[str]], text_vectors: np.ndarray, embed: Embed, n_words: int = 5
) -> list[list[Term]]:
    """Return the words of each text that are nearest to it, the nearest first, as `KeyBERT.extract_keywords` does.

    `candidates_of` are the candidates of each text, `text_vectors` float32 [n, d]. A text without any has no words.
    Raises Refusal for embeddings that KeyBERT would pass over in silence (NaN, wrong sizes).
    """
    vocabulary = sorted(set().union(*candidates_of))
    if not vocabulary:
        return [[] for _ in candidates_of]
    from sklearn.feature_extraction.text import CountVectorizer

    word_vectors = embed(vocabulary)
    _check_vectors(text_vectors, len(candidates_of), "texts")
    _check_vectors(word_vectors, len(vocabulary), "words")
    extracted = _keybert().extract_keywords(
        [" ".join(own) for own in candidates_of] + [""],
        vectorizer=CountVectorizer(analyzer=str.split, token_pattern=None, vocabulary=vocabulary),
        top_n=n_words,
        doc_embeddings=np.vstack([text_vectors, text_vectors[:1]]),
        word_embeddings=word_vectors,
    )
    terms = [[Term(word.lower(), score) for word, score in scored] for scored in extracted[: len(candidates_of)]]
    if [len(own) for own in terms] != [min(n_words, len(own)) for own in candidates_of]:
        raise RuntimeError("KeyBERT left out words of a text with candidates and gave no reason.")
    return terms


def _check_vectors(vectors: np.ndarray, n_rows: int, of: str) -> None:
    if vectors.ndim != 2 or len(vectors) != n_rows or not np.isfinite(vectors).all():
        raise Refusal(
            f"the keyword embedder gave {vectors.shape} numbers, or some that are not finite, for {n_rows} {of}; "
            "choose another with --keyword-embedder."
        )


def unit(vectors: np.ndarray) -> np.ndarray:
    """Return the rows of [n, d] at length 1; a row of zeros stays."""
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors / np.where(norms == 0, 1, norms).astype(np.float32)

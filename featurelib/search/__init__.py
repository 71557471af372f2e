"""Texts and features by words (SQLite's FTS5), and texts by meaning (cosine of embeddings)."""

from featurelib.search.meaning import embedding_of, texts_by_meaning
from featurelib.search.wordquery import MARK_END, MARK_START, WordQuery, read_query
from featurelib.search.words import WordIndex, open_words

__all__ = [
    "MARK_END",
    "MARK_START",
    "WordIndex",
    "WordQuery",
    "embedding_of",
    "open_words",
    "read_query",
    "texts_by_meaning",
]

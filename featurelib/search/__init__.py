"""Texts and features by words (SQLite's FTS5), and texts by meaning (cosine of embeddings)."""

from featurelib.search.meaning import texts_by_meaning
from featurelib.search.wordquery import MARK_END, MARK_START, WordQuery, read_query
from featurelib.search.words import WordIndex, open_words

__all__ = ["MARK_END", "MARK_START", "WordIndex", "WordQuery", "open_words", "read_query", "texts_by_meaning"]

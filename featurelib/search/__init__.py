"""Search: texts and features by words (SQLite's FTS5), texts and labels by meaning (cosine of embeddings)."""

from featurelib.search.labels import labels_by_meaning, labels_by_some_words, words_of
from featurelib.search.meaning import RANKED, embedding_of, rankings, texts_by_meaning
from featurelib.search.word_index import WordIndex, is_indexed, open_words
from featurelib.search.word_query import MARK_END, MARK_START, WordQuery, read_query

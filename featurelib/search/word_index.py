"""Search in the word index of a run. The index holds no texts: snippets are cut from the run's own."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from featurelib.language.characters import DIVIDER
from featurelib.schema import KEYWORDS, LABELS, TEXTS, Refusal
from featurelib.search import word_index_file
from featurelib.search.word_query import MARK_END, MARK_START, WordQuery, read_query
from featurelib.storage.index.making import make_index
from featurelib.storage.runs import Generation, Run
from featurelib.storage.store import MEMORY_LIMIT, Store, open_store
from featurelib.storage.time_limits import limited, too_long

SNIPPET_TOKENS = 32


@dataclass(frozen=True)
class WordIndex:
    """The words of a run's texts, labels and keywords; any number of threads may search in it."""

    store: Store
    texts_file: Path
    features_file: Path | None
    """None until the stage labels is done."""

    def texts(self, query: str, *, limit: int = 20, offset: int = 0) -> pa.Table:
        """Return the texts that match, the best first: text_id, score (bm25, higher is better), snippet.

        In a snippet, what matches stands between MARK_START and MARK_END. A query without words has no match.
        """
        read = read_query(query)
        return self.store.remember(f"words {read.match} {limit} {offset}", lambda: self._texts(read, limit, offset))

    def _texts(self, query: WordQuery, limit: int, offset: int) -> pa.Table:
        rows = self._best(query.only_word, limit, offset) or _ask(
            self.texts_file,
            """
            select rowid, -bm25(words)
            from words
            where words match ?
            order by bm25(words), rowid
            limit ? offset ?""",
            query.match and (query.match, limit, offset),
            self.store.seconds,
        )
        snippets = self._snippets([row[0] for row in rows], query.match)
        return pa.table(
            {
                "text_id": pa.array([row[0] for row in rows], pa.int64()),
                "score": pa.array([row[1] for row in rows], pa.float64()),
                "snippet": pa.array([snippets.get(row[0], "") for row in rows], pa.string()),
            }
        )

    def _best(self, word: str, limit: int, offset: int) -> list[tuple[Any, ...]]:
        """Return rows of text_id and score of a common word, the best first; none where they are not listed."""
        if not word or offset + limit > word_index_file.BEST:
            return []
        sql = "select text_id, score from best where word = ? and place >= ? order by place limit ?"
        return _ask(self.texts_file, sql, (word, offset, limit), self.store.seconds)

    def count(self, query: str) -> int:
        """Return the number of texts that match."""
        read, seconds = read_query(query), self.store.seconds
        sql = "select n_texts from common where word = ?"
        rows = _ask(self.texts_file, sql, read.only_word and (read.only_word,), seconds)
        if not rows:
            sql = "select count(*) from words where words match ?"
            rows = _ask(self.texts_file, sql, read.match and (read.match,), seconds)
        return rows[0][0] if rows else 0

    def text_ids(self, query: str) -> np.ndarray:
        """Return all texts that match, ascending, int64 [n]."""
        sql, match = "select rowid from words where words match ? order by rowid", read_query(query).match
        rows = _ask(self.texts_file, sql, match and (match,), self.store.seconds)
        return np.fromiter((row[0] for row in rows), np.int64, len(rows))

    def features(self, query: str, *, limit: int = 20) -> pa.Table:
        """Return the features whose label and keywords match, the best first: feature_id, label, score."""
        match = read_query(query).match
        if self.features_file is None:
            self.store.generation.need(LABELS)
        rows = _ask(
            self.features_file or Path(),
            """
            select rowid, label, -bm25(words, 2.0, 1.0)
            from words
            where words match ?
            order by bm25(words, 2.0, 1.0), rowid
            limit ?""",
            match and (match, limit),
            self.store.seconds,
        )
        return pa.table(
            {
                "feature_id": pa.array([row[0] for row in rows], pa.int32()),
                "label": pa.array([row[1] for row in rows], pa.string()),
                "score": pa.array([row[2] for row in rows], pa.float64()),
            }
        )

    def _snippets(self, text_ids: list[int], match: str) -> dict[int, str]:
        """Return snippets by text, cut by FTS5 itself in a small index of these texts alone."""
        if not text_ids:
            return {}
        rows = self.store.look_up(
            "select text_id, text from texts where text_id in (select unnest($ids::bigint[])) order by text_id",
            ids=text_ids,
        )
        with contextlib.closing(sqlite3.connect(":memory:")) as con:
            con.execute(f'create virtual table words using fts5(text, tokenize="{word_index_file.TOKENS}")')
            con.executemany("insert into words(rowid, text) values (?, ?)", word_index_file.rows_of(rows))
            snippets = con.execute(
                "select rowid, snippet(words, 0, ?, ?, ' … ', ?) from words where words match ?",
                (MARK_START, MARK_END, SNIPPET_TOKENS, match),
            )
            return {text_id: snippet.replace(DIVIDER, "") for text_id, snippet in snippets}


def make_indexes(
    generation: Generation, say: Callable[[str], None] = lambda what: None, *, memory_limit: str = MEMORY_LIMIT
) -> None:
    """Make all indexes of a complete generation that are not there; `say` is told what comes next.

    Refusal for those that can be written nowhere; the word index takes less room than the other.
    """
    refusals = []
    for make in (
        lambda: make_index(generation, say, memory_limit=memory_limit),
        lambda: _make_words(generation, say, memory_limit),
    ):
        try:
            make()
        except Refusal as refusal:
            refusals.append(str(refusal))
    if refusals:
        raise Refusal(" ".join(refusals))


def _make_words(generation: Generation, say: Callable[[str], None], memory_limit: str) -> None:
    say("words")
    with contextlib.closing(open_store(generation, memory_limit=memory_limit)) as store:
        open_words(store, Run(generation.path.parent).cache_folder)


def is_indexed(store: Store, cache_folder: Path) -> bool:
    """Return whether the words of a run's texts are indexed; those of its features take no time."""
    store.need(TEXTS)
    return word_index_file.find(cache_folder, word_index_file.key(store.generation, "texts")) is not None


def open_words(store: Store, cache_folder: Path) -> WordIndex:
    """Open the word index of a run, and build it first where it is missing: seconds for 100,000 texts.

    RunNotReady before the stage ingest is done; Refusal when neither `cache_folder` nor the user's temporary folder can
    be written to.
    """
    generation = store.generation
    generation.need(TEXTS)
    texts_file = word_index_file.open_or_build(
        store, cache_folder, word_index_file.key(generation, "texts"), word_index_file.build_texts
    )
    features_file = None
    if store.has(LABELS) and store.has(KEYWORDS):
        name = word_index_file.key(generation, "features")
        features_file = word_index_file.open_or_build(store, cache_folder, name, word_index_file.build_features)
    return WordIndex(store, texts_file, features_file)


def _ask(path: Path, sql: str, values: tuple[object, ...] | str, seconds: float | None) -> list[tuple[Any, ...]]:
    """Return the rows of one query, asked on a connection of its own; none without values to bind.

    Refusal when it takes longer than `seconds`.
    """
    if not values:
        return []
    # immutable: the file never changes once it has its name, and may lie where SQLite cannot lock.
    address = f"{path.absolute().as_uri()}?mode=ro&immutable=1"
    with contextlib.closing(sqlite3.connect(address, uri=True)) as con:
        try:
            with limited(seconds, con.interrupt):
                return con.execute(sql, values).fetchall()
        except sqlite3.OperationalError as stopped:
            if seconds is None or "interrupted" not in str(stopped):
                raise
            raise too_long(seconds) from stopped

"""Building the word index, when it is first opened: once, as a whole, in the run's cache folder.

Where the run cannot be written to, it is kept in the user's temporary folder.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import pyarrow as pa

from featurelib.language.characters import DIVIDER, divided
from featurelib.schema import LABELS, TEXTS, Refusal
from featurelib.search.word_query import MARK_END, MARK_START, PLAIN_WORD
from featurelib.storage import files
from featurelib.storage.own_folder import known_temporary_folder, own_temporary_folder
from featurelib.storage.runs import Generation, Run
from featurelib.storage.store import Store

VERSION = 4
"""To be raised when the layout of the index changes."""
TOKENS = "unicode61 remove_diacritics 2 categories 'L* N* M*'"
"""With marks, which unicode61 leaves out by itself: it would divide the words of Hindi at their vowel signs."""
BATCH = 5000
COMMON, BEST = 2_000, 100
"""Of a word in more than `COMMON` texts, the `BEST` are listed: to score a thousand takes a millisecond."""
ABANDONED_SECONDS = 3600

_BUILDING = threading.Lock()


def key(generation: Generation, what: str) -> str:
    """Return the file name of the index of a generation's texts or features; it depends on their content."""
    done = generation.done("ingest" if what == "texts" else "labels")
    size = generation.file(TEXTS if what == "texts" else LABELS).stat().st_size
    return f"{what}-{files.fingerprint([VERSION, TOKENS, done and done.fingerprint, size])}.sqlite"


def find(cache_folder: Path, name: str) -> Path | None:
    """Return the index called `name`, None where it has not been built."""
    places = (cache_folder, known_temporary_folder())
    return next((place / name for place in places if place is not None and (place / name).is_file()), None)


def open_or_build(store: Store, cache_folder: Path, name: str, build: Callable[[Store, Path], None]) -> Path:
    """Return the index called `name`, built now if it is not there; Refusal when no folder can be written to."""
    found = find(cache_folder, name)
    if found is not None:
        return found
    refusals = []
    for folder in _folders(cache_folder):
        path = folder / name
        with _BUILDING:
            if path.is_file():
                return path
            try:
                _build_aside(path, lambda aside: build(store, aside))
                return path
            except (OSError, sqlite3.OperationalError) as refused:
                refusals.append(f"{folder}: {refused}")
    raise Refusal(
        f"the word index can be written nowhere ({'; '.join(refusals)}); make room or give the right to write."
    )


def _folders(cache_folder: Path) -> Iterator[Path]:
    yield cache_folder
    yield own_temporary_folder()  # which makes it, so only if the first one fails


def _build_aside(path: Path, build: Callable[[Path], None]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    _sweep(path.parent)
    # A random name: another process may be building the same index; the last one replaces it with an equal file.
    descriptor, aside_name = tempfile.mkstemp(prefix=path.name, suffix=files.ASIDE, dir=path.parent)
    os.close(descriptor)
    aside = Path(aside_name)
    try:
        build(aside)
        with aside.open("rb+") as opened:
            os.fsync(opened.fileno())
        with contextlib.suppress(PermissionError):
            os.replace(aside, path)
        if not path.is_file():
            raise OSError(f"{path.name} could not be put in its place")
    finally:
        aside.unlink(missing_ok=True)


def _sweep(folder: Path) -> None:
    """Remove the leftovers of killed builds, and indexes that no generation of the run can use."""
    usable = set()
    if folder.name == Run(folder.parent).cache_folder.name:
        for generation in Run(folder.parent).generations():
            for what in ("texts", "features"):
                with contextlib.suppress(OSError):
                    usable.add(key(generation, what))
    for path in folder.glob("*.sqlite*"):
        old = time.time() - path.stat().st_mtime > ABANDONED_SECONDS
        if old and (path.suffix == files.ASIDE or (usable and path.name not in usable)):
            path.unlink(missing_ok=True)


def build_texts(store: Store, path: Path) -> None:
    """Index all texts; rowid is the text_id."""
    with _writing(path) as con:
        con.execute(f'create virtual table words using fts5(text, content="", tokenize="{TOKENS}")')
        last = store.ask("select coalesce(max(text_id), -1) as last from texts")["last"][0].as_py()
        for first in range(0, last + 1, BATCH):
            rows = store.ask(
                "select text_id, text from texts where text_id >= $first and text_id < $after order by text_id",
                first=first,
                after=first + BATCH,
            )
            con.executemany("insert into words(rowid, text) values (?, ?)", rows_of(rows))
        con.execute("insert into words(words) values ('optimize')")
        _list_common(con)


def _list_common(con: sqlite3.Connection) -> None:
    """List the texts that fit best to each common word alone."""
    con.execute("create table common (word text primary key, n_texts integer) without rowid")
    con.execute(
        "create table best (word text, place integer, text_id integer, score real, primary key (word, place)) "
        "without rowid"
    )
    con.execute("create virtual table temp.vocabulary using fts5vocab(main, words, row)")
    for word, n_texts in con.execute("select term, doc from vocabulary where doc > ?", (COMMON,)).fetchall():
        if not PLAIN_WORD.fullmatch(word):
            continue
        con.execute("insert into common values (?, ?)", (word, n_texts))
        con.execute(
            """
            insert into best
            select ?, row_number() over (order by score desc, rowid) - 1, rowid, score
            from (select rowid, -bm25(words) as score from words where words match ?)
            order by score desc, rowid
            limit ?""",
            (word, f'"{word}"', BEST),
        )


def build_features(store: Store, path: Path) -> None:
    """Index all labels and keywords; rowid is the feature_id."""
    rows = store.ask(
        """
        with listed as (
            select feature_id, string_agg(keyword, ', ' order by rank) as keywords
            from keywords
            group by feature_id
        )
        select feature_id, label, coalesce(keywords, '') as keywords
        from labels
        left join listed using (feature_id)
        order by feature_id"""
    )
    with _writing(path) as con:
        con.execute(f'create virtual table words using fts5(label, keywords, tokenize="{TOKENS}")')
        con.executemany("insert into words(rowid, label, keywords) values (?, ?, ?)", rows_of(rows))


@contextlib.contextmanager
def _writing(path: Path) -> Iterator[sqlite3.Connection]:
    with contextlib.closing(sqlite3.connect(path)) as con:
        con.execute("pragma journal_mode = off")
        con.execute("pragma synchronous = off")
        with con:
            yield con


def rows_of(table: pa.Table) -> Iterable[tuple[object, ...]]:
    """Return rows for SQLite: without the characters that have a meaning here, and with DIVIDER where it belongs.

    NUL becomes a space: SQLite would end a text there.
    """
    removed = {ord(MARK_START): None, ord(MARK_END): None, ord(DIVIDER): None, 0: " "}
    columns = [
        [divided(value.translate(removed)) if isinstance(value, str) else value for value in column.to_pylist()]
        for column in table.columns
    ]
    return zip(*columns, strict=True)

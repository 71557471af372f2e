"""Whether an index holds what the files of its generation hold: every row of its tables, every activation by feature.

What is made of these (activations by text, codes, derived tables) and embeddings are compared by their hashes alone.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import numpy as np

from featurelib.schema import BY_FEATURE, TABLES, Refusal, Table
from featurelib.storage.index import arrays, whole
from featurelib.storage.index.making import batches
from featurelib.storage.index.opened import ROWS_FILE
from featurelib.storage.index.rows import KEYS, stored
from featurelib.storage.runs import Generation
from featurelib.storage.store import Store, open_store


def check_index(generation: Generation) -> Path | None:
    """Compare a generation's index with its files; returns its folder, or None where there is none.

    Refusal naming the table or the file that differs, and the mend.
    """
    place = whole.find(generation)
    if place is None:
        return None
    wrong = [name for name, is_changed in whole.changed(place) if is_changed] or _differences(generation, place)
    if wrong:
        raise Refusal(
            f"the index of run '{generation.path.parent.name}' does not hold what its files hold "
            f"({', '.join(wrong[:3])}); remove the folder {place}, and it is made anew."
        )
    return place


def _differences(generation: Generation, place: Path) -> list[str]:
    store = open_store(generation)
    try:
        with closing(sqlite3.connect(f"{(place / ROWS_FILE).absolute().as_uri()}?mode=ro", uri=True)) as con:
            wrong = [table.view for table in TABLES if table.view in KEYS and not _same_rows(store, con, table)]
        return wrong if _same_activations(store, place) else [*wrong, arrays.FEATURE_ACTIVATIONS]
    finally:
        store.close()


def _same_rows(store: Store, con: sqlite3.Connection, table: Table) -> bool:
    rows = con.execute(f'select * from "{table.view}" order by rowid')
    for batch in batches(store, table):
        wanted = list(zip(*map(stored, batch.columns), strict=True))
        if rows.fetchmany(len(wanted)) != wanted:
            return False
    return rows.fetchone() is None


def _same_activations(store: Store, place: Path) -> bool:
    mapped = [np.load(place / f"{name}.npy", mmap_mode="r", allow_pickle=False) for name in _NAMES]
    at = 0
    for columns in _columns(store):
        here = slice(at, at + len(columns[0]))
        if not all(np.array_equal(held[here], column) for held, column in zip(mapped, columns, strict=True)):
            return False
        at += len(columns[0])
    return at == len(mapped[0])


_NAMES = (arrays.FEATURE_TEXTS, arrays.FEATURE_ACTIVATIONS)


def _columns(store: Store) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    for batch in batches(store, BY_FEATURE):
        yield batch["text_id"].to_numpy(), batch["activation"].to_numpy()

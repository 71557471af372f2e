"""Texts of a run by their ids: their names, as entries of a list, and the texts nearest to an embedding."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from featurelib import queries, search
from featurelib.storage.store import Store
from featurelib.ui.kit.elements import opening
from featurelib.ui.texts.text_list import ShownText, count_texts, text_of


def name_of(store: Store, text_id: int) -> str:
    """The title of a text, or its beginning."""
    row = queries.text(store, text_id)
    return opening(row.title or row.text, length=90)


def example_texts(store: Store) -> list[tuple[int, str]]:
    """The id and the name of four texts, taken at equal distances from the corpus; none where there are no texts."""
    n_texts = count_texts(store)
    text_ids = [n_texts * quarter // 4 for quarter in range(4)] if n_texts else []
    return [(text_id, name_of(store, text_id)) for text_id in text_ids]


def nearest_texts(
    store: Store, embedding: np.ndarray, *, limit: int, without: int | None = None
) -> list[tuple[int, float]]:
    """The texts nearest to an embedding, float32 [d], one of them left out: text_id and cosine, nearest first."""
    rows = search.texts_by_meaning(store, embedding, limit=limit + (without is not None))
    pairs = zip(rows["text_id"].to_pylist(), rows["cosine"].to_pylist(), strict=True)
    return [pair for pair in pairs if pair[0] != without][:limit]


def texts_of(store: Store, nearest: Sequence[tuple[int, float]]) -> list[ShownText]:
    """Texts, given as text_id and cosine, as a list shows them."""
    cosines = dict(nearest)
    return [replace(shown, value=cosines[shown.text_id]) for shown in shown_texts(store, list(cosines))]


def shown_texts(store: Store, text_ids: Sequence[int]) -> list[ShownText]:
    """Some texts as a list shows them, in the order of `text_ids`."""
    return [replace(text_of(row, store), split="") for row in queries.texts(store, text_ids).to_pylist()]


def names_of(store: Store, text_ids: Sequence[int]) -> dict[int, str]:
    """The name of each text: its title, or its beginning."""
    title = queries.title_column(store)
    rows = queries.texts(store, text_ids).to_pylist()
    return {row["text_id"]: _name(row, title) for row in rows}


def _name(row: Mapping[str, Any], title: str | None) -> str:
    return opening(str(row.get(title) or "") if title else "", length=120) or opening(row["text"], length=120)

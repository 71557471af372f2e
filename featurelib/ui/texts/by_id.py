"""Texts of a run by their ids: as entries of a list, and what they are called."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from featurelib import queries
from featurelib.storage.store import Store
from featurelib.ui.kit.elements import opening
from featurelib.ui.texts.text_list import ShownText, text_of, title_column


def name_of(store: Store, text_id: int) -> str:
    """The title of a text, or its beginning."""
    row = queries.text(store, text_id)
    return opening(row.title or row.text, length=90)


def texts_of(store: Store, found: Sequence[tuple[int, float]]) -> list[ShownText]:
    """Texts with their cosines."""
    cosines = dict(found)
    return [replace(one, value=cosines[one.text_id]) for one in shown_texts(store, list(cosines))]


def shown_texts(store: Store, text_ids: Sequence[int]) -> list[ShownText]:
    """Some texts as a list shows them, in the order of their ids."""
    return [replace(text_of(row, store), split="") for row in queries.texts(store, text_ids).to_pylist()]


def names_of(store: Store, text_ids: Sequence[int]) -> dict[int, str]:
    """What each text is called: its title, or its beginning."""
    title = title_column(store)
    rows = queries.texts(store, text_ids).to_pylist()
    return {row["text_id"]: _name(row, title) for row in rows}


def _name(row: Mapping[str, Any], title: str | None) -> str:
    return opening(str(row.get(title) or "") if title else "", length=120) or opening(row["text"], length=120)

"""The conditions of a slice, all of which its texts meet, in the address: a column's value, words, a list of texts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import streamlit as st

from featurelib import queries, search
from featurelib.schema import Refusal
from featurelib.ui.kit.address import choice_box, text_box
from featurelib.ui.kit.elements import count, heading, html, tag
from featurelib.ui.kit.session import Opened, make_beside
from featurelib.ui.texts.id_list import list_param, read

ANY, REST = "(any)", "the rest"
AT_ONCE = 50_000
"""Texts whose words are indexed while the reader waits."""


@dataclass(frozen=True)
class Side:
    """What the texts of a slice have in common; a field left empty is no condition."""

    name: str
    """a or b."""
    column: str = ""
    value: str = ""
    words: str = ""
    listed: str = ""
    """Texts by their ids, see `id_list`."""

    @property
    def is_empty(self) -> bool:
        """Whether nothing is asked for."""
        return not (self.column or self.words or self.listed)

    @property
    def title(self) -> str:
        """The conditions in words."""
        n_listed = count(len(read(self.listed))) if self.listed else ""
        said = [
            f"{self.column} {self.value}" if self.column else "",
            f"with “{self.words}”" if self.words else "",
            f"{n_listed} listed texts" if self.listed else "",
        ]
        return ", ".join(filter(None, said)) or REST


def side_boxes(opened: Opened, name: str, columns: Sequence[str], *, title: str, note: str) -> Side:
    """Draw the controls of a slice under a title; the slice that they ask for."""
    heading(title, note)
    listed = list_param(f"{name}_texts")
    with st.container(horizontal=True, vertical_alignment="bottom", key=f"slice-{name}"):
        column = choice_box("Column", f"{name}_column", [ANY, *columns], resets=("page", f"{name}_value"), width=130)
        value = ""
        if column != ANY:
            value = choice_box("Value", f"{name}_value", queries.column_values(opened.store, column), width=170)
        words = text_box("Words", f"{name}_words", placeholder="any", type="search", width=130)
    if listed:
        html(tag("span", f"and are among {count(len(read(listed)))} listed texts", cls="muted"))
    return Side(name, "" if column == ANY else column, value, words, listed)


def texts_of_side(opened: Opened, side: Side) -> np.ndarray | None:
    """The texts of a slice, ascending; None for one without conditions."""
    if side.is_empty:
        return None
    found: np.ndarray | None = None
    if side.column:
        found = queries.texts_having(opened.store, side.column, side.value)
    if side.words:
        found = _both(found, _with_words(opened, side.words))
    if side.listed:
        ids = np.array(read(side.listed), np.int64)
        if len(ids) and ids.max() >= opened.store.n_texts:
            raise Refusal(
                f"the address lists text {ids.max()}; this run has the texts 0 to {opened.store.n_texts - 1}."
            )
        found = _both(found, ids)
    return found


def _both(found: np.ndarray | None, others: np.ndarray) -> np.ndarray:
    return others if found is None else np.intersect1d(found, others)


def _with_words(opened: Opened, words: str) -> np.ndarray:
    folder = opened.run.cache_folder
    if (
        opened.store.n_texts > AT_ONCE
        and not search.is_indexed(opened.store, folder)
        and make_beside(opened.generation)
    ):
        raise Refusal(
            f"The words of {count(opened.store.n_texts)} texts are being indexed, once; try again in minutes."
        )
    return search.open_words(opened.store, folder).text_ids(words)

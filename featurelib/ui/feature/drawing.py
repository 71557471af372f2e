"""Drawing texts of one feature, their words coloured where that is wanted."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import streamlit as st

from featurelib.queries import Feature
from featurelib.ui.kit.elements import count, sentence
from featurelib.ui.kit.session import Opened
from featurelib.ui.texts import word_colours
from featurelib.ui.texts.text_list import ShownText, text_list, with_features


@dataclass(frozen=True)
class _Drawn:
    """A list as it is drawn; some of its texts may be plain until the worker has been asked."""

    place: Any
    """Where it is drawn."""
    key: str
    texts: Sequence[ShownText]
    before: str


@dataclass
class Drawing:
    """The texts of one feature on a page."""

    opened: Opened
    """The run."""
    feature: Feature
    """The feature."""
    colours: bool
    """Whether words are to be coloured."""
    plain: list[_Drawn] = field(default_factory=list)
    """The lists that are to be drawn again."""
    reason_place: Any = None
    """Where it is said why some words are not coloured."""

    def draw(self, key: str, shown: Sequence[ShownText], *, before: str) -> None:
        """Draw a list of texts, each with the other features that fire on it after the words `before`."""
        if self.colours and self.reason_place is None:
            self.reason_place = st.empty()
        drawn = _Drawn(st.empty(), key, list(shown), before)
        if self._draw(drawn):
            self.plain.append(drawn)

    def colour_later(self) -> None:
        """Ask the worker about the texts that are still plain, and draw their lists again, and nothing else.

        To be called when the rest of the page is drawn: nobody waits for an embedder that has to start.
        """
        texts = [text for drawn in self.plain for text in drawn.texts]
        if texts:
            word_colours.ask(self.opened, self.feature, texts)
        for drawn in self.plain:
            self._draw(drawn)
        self.plain = []

    def _draw(self, drawn: _Drawn) -> bool:
        """Draw a list; whether some of its texts are plain until the worker has been asked."""
        texts, later = list(drawn.texts), False
        if self.colours:
            coloured = word_colours.coloured(self.opened, self.feature, texts)
            texts, later = coloured.texts, bool(coloured.later)
            if coloured.reason:
                with self.reason_place:
                    sentence(f"Some words are not coloured: {coloured.reason}")
        with_others = with_features(texts, self.opened.store, without=self.feature.feature_id)
        with drawn.place:
            text_list(drawn.key, with_others, before=drawn.before, feature_id=self.feature.feature_id)
        return later


def with_copies(shown: ShownText, row: Mapping[str, Any]) -> ShownText:
    """A text that says for how many copies and near copies it stands."""
    n = row.get("n_copies") or 0
    note = f"shown for {count(n)} more {'copy' if n == 1 else 'copies'} among these texts"
    return dataclasses.replace(shown, about=(*shown.about, note)) if n else shown

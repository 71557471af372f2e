"""Drawing texts of one feature, their words coloured where that is wanted."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from featurelib.queries import Feature
from featurelib.ui.kit.elements import count, sentence
from featurelib.ui.kit.session import Opened
from featurelib.ui.texts import word_colours
from featurelib.ui.texts.text_list import ShownText, text_list, with_features


@dataclass
class Drawing:
    """The texts of one feature on a page."""

    opened: Opened
    """The run."""
    feature: Feature
    """The feature."""
    colours: bool
    """Whether words are to be coloured."""
    later: list[ShownText] = field(default_factory=list)
    """The texts that are drawn plain until the worker has been asked."""
    reason_said: bool = False
    """Whether the reason why some stay plain has been said."""

    def draw(self, key: str, shown: Sequence[ShownText], *, before: str) -> None:
        """Draw a list of texts, each with the other features that fire on it after the words `before`."""
        texts = list(shown)
        if self.colours:
            coloured = word_colours.coloured(self.opened, self.feature, texts)
            texts = coloured.texts
            self.later += coloured.later
            if coloured.reason and not self.reason_said:
                self.reason_said = True
                sentence(f"Some words are not coloured: {coloured.reason}")
        with_others = with_features(texts, self.opened.store, without=self.feature.feature_id)
        text_list(key, with_others, before=before, feature_id=self.feature.feature_id)


def with_copies(shown: ShownText, row: Mapping[str, Any]) -> ShownText:
    """A text that says for how many copies and near copies it stands."""
    n = row.get("n_copies") or 0
    note = f"shown for {count(n)} more {'copy' if n == 1 else 'copies'} among these texts"
    return dataclasses.replace(shown, about=(*shown.about, note)) if n else shown

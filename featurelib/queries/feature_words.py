"""The features whose labels, keywords or explanations hold some words, found in one text in memory."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

from featurelib.storage.answers import once_per_generation
from featurelib.storage.derived import card_words
from featurelib.storage.store import Store

WHOLE = re.compile("0|[1-9][0-9]{0,9}")
"""A feature's id, as it is typed."""


@dataclass(frozen=True)
class _Searched:
    """What is searched of all features, as one text: Python finds a word in 4 MB of it in a millisecond."""

    feature_ids: list[int]
    text: str
    """That of one feature after the other, a line break after each."""
    starts: list[int]
    """Where that of each feature begins, and the end."""

    def holding(self, words: Sequence[str]) -> list[int]:
        """Return the features of which all words, in lower case and without white space, are part."""
        longest = max(words, key=len)
        found = []
        at = self.text.find(longest)
        while at >= 0:
            place = bisect_right(self.starts, at) - 1
            first, after = self.starts[place : place + 2]
            if all(self.text.find(word, first, after) >= 0 for word in words):
                found.append(self.feature_ids[place])
            at = self.text.find(longest, after)
        return found


@once_per_generation
def _searched(store: Store) -> _Searched:
    rows = store.look_up(f"select feature_id, searched from {card_words(store)} order by feature_id")
    lines = [f"{line}\n" for line in rows["searched"].to_pylist()]
    return _Searched(rows["feature_id"].to_pylist(), "".join(lines), list(accumulate(map(len, lines), initial=0)))


def features_holding(store: Store, words: Sequence[str]) -> list[int]:
    """Return the features whose label, keywords or explanation hold all words, and the one whose id is the only one."""
    searched = _searched(store)
    found = set(searched.holding(words))
    if len(words) == 1 and WHOLE.fullmatch(words[0]) and int(words[0]) in searched.feature_ids:
        found.add(int(words[0]))
    return sorted(found)

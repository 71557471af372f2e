"""The one order of features wherever words find them: by where the words stand, then by how sure the name is.

A name that is the words and nothing else comes first; then words in the name before in the keywords before in an
explanation, there exact before the beginning of a word before inside one; of several words that do not all stand in the
name, the more do the earlier; then the AUROC of the name, then the density, then the id. A feature whose id is the only
word comes before all others.
"""

from __future__ import annotations

from typing import NamedTuple

from featurelib.queries.feature_words import features_holding
from featurelib.storage.answers import once_per_generation, remembered
from featurelib.storage.derived import card_words, cards
from featurelib.storage.store import Store

ELSEWHERE = 6
"""The step of words that stand in an explanation only; 0 to 2 are those of the name, 3 to 5 those of keywords."""
IN_NAME = 3


class Ranked(NamedTuple):
    """Features that hold some words, the most relevant first."""

    feature_ids: list[int]
    n_in_name: int
    """How many of them hold all words in their name; they are the first ones."""


class _Known(NamedTuple):
    """What of a feature the order depends on."""

    in_name: str
    """The words of its name in lower case, each between two spaces."""
    in_all: str
    """The same of its name and keywords."""
    auroc: float
    density: float


@once_per_generation
def _known(store: Store) -> dict[int, _Known]:
    rows = store.look_up(
        f"""
        select w.feature_id, coalesce(w.label_words, '') as label_words, coalesce(w.all_words, '') as all_words,
            coalesce(c.auroc, q.auroc) as auroc, c.density
        from {card_words(store)} w
        join {cards(store)} c on c.feature_id = w.feature_id
        left join maybe.fidelity q on q.feature_id = w.feature_id and q.method = 'ours' and q.predictor = 'contains'
        order by w.feature_id"""
    )
    return {
        row["feature_id"]: _Known(
            f" {row['label_words'].strip()} ",
            f" {row['all_words'].strip()} ",
            -1.0 if row["auroc"] is None else row["auroc"],
            row["density"],
        )
        for row in rows.to_pylist()
    }


@remembered
def ranked(store: Store, typed: str) -> Ranked:
    """Return the features whose name, keywords or explanation hold all words of `typed`, the most relevant first."""
    words = store.lowered(typed).split()
    if not words:
        return Ranked([], 0)
    known = _known(store)
    steps = {
        feature_id: [_step(known[feature_id], word) for word in words] for feature_id in features_holding(store, words)
    }
    own_id = typed.strip()

    def order(feature_id: int) -> tuple[object, ...]:
        of_feature, of_words = known[feature_id], steps[feature_id]
        is_other = of_feature.in_name.split() != words
        n_elsewhere = sum(step >= IN_NAME for step in of_words)
        certain = (-of_feature.auroc, -of_feature.density, feature_id)
        return (str(feature_id) != own_id, is_other, n_elsewhere, max(of_words), *certain)

    n_in_name = sum(max(of_words) < IN_NAME for of_words in steps.values())
    return Ranked(sorted(steps, key=order), n_in_name)


def _step(known: _Known, word: str) -> int:
    """Where a word stands: 0 to 2 in the name (whole, at a beginning, inside), 3 to 5 in keywords, or elsewhere."""
    for first, text in ((0, known.in_name), (IN_NAME, known.in_all)):
        if f" {word} " in text:
            return first
        if f" {word}" in text:
            return first + 1
        if word in text:
            return first + 2
    return ELSEWHERE

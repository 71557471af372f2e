"""Choosing features that must fire and features that must not; both lists live in the address."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import streamlit as st

from featurelib import queries
from featurelib.queries import CombinedCounts
from featurelib.storage.store import Store
from featurelib.ui.kit.address import WHOLE, param, text_box
from featurelib.ui.kit.anchors import link
from featurelib.ui.kit.elements import Html, Number, count, heading, html, number, percent, sentence, strip, tag

PRESENT, ABSENT = "with", "without"
"""The names of the two lists in the address."""
TITLES = {PRESENT: "All of these fire", ABSENT: "None of these fires"}
FOUND = 6
ORDER = "strongest first"
STRENGTH = (
    "The number is the least of the activations of the features that must fire, each over its maximum on the corpus: "
    "1 where all are at their strongest."
)
EXPECTED = (
    "If the features fired independently of each other, so many texts would be expected: the number of texts times the "
    "densities of those that fire, times 1 - density of those that do not."
)


@dataclass(frozen=True)
class Combination:
    """Features that must fire and features that must not."""

    present: tuple[int, ...]
    absent: tuple[int, ...]

    def address(self, **lists: Sequence[int]) -> dict[str, str]:
        """The parameters of this page with one of the lists replaced."""
        replaced = {PRESENT: self.present, ABSENT: self.absent} | lists
        return {name: ",".join(map(str, ids)) for name, ids in replaced.items()}

    def ids(self, name: str) -> tuple[int, ...]:
        """One of the two lists."""
        return self.present if name == PRESENT else self.absent


def combination_param(store: Store) -> Combination:
    """The combination in the address; an id that the run has not is left out with a sentence."""
    ids = {name: _ids(name) for name in (PRESENT, ABSENT)}
    every = [*ids[PRESENT], *ids[ABSENT]]
    known = queries.labels(store, every)
    for feature_id in dict.fromkeys(every):
        if feature_id not in known:
            sentence(f"There is no feature {feature_id} in this run, so it is left out.")
    present, absent = (tuple(feature_id for feature_id in ids[name] if feature_id in known) for name in ids)
    return Combination(present, absent)


def _ids(name: str) -> list[int]:
    words = [word.strip() for word in param(name, longest=400).split(",") if word.strip()]
    wrong = [word for word in words if not WHOLE.fullmatch(word)]
    if wrong:
        sentence(
            f"The address says {name}={wrong[0][:40]}; ids of features are expected, such as {name}=7,12: left out."
        )
    return list(dict.fromkeys(int(word) for word in words if WHOLE.fullmatch(word)))


def lists(chosen: Combination, labels: Mapping[int, str]) -> None:
    """The two lists side by side, each name a link, each with a way out of the list."""
    for column, name in zip(st.columns(2, gap="large"), (PRESENT, ABSENT), strict=True):
        with column:
            heading(TITLES[name])
            if not chosen.ids(name):
                sentence("No feature yet.")
            rows = [_chosen_row(name, feature_id, labels[feature_id], chosen) for feature_id in chosen.ids(name)]
            html(tag("div", *rows, cls="choices"))


def _chosen_row(name: str, feature_id: int, label: str, chosen: Combination) -> Html:
    other = ABSENT if name == PRESENT else PRESENT
    rest = [other_id for other_id in chosen.ids(name) if other_id != feature_id]
    swap = _link("swap", chosen, **{name: rest, other: [*chosen.ids(other), feature_id]})
    return _row(feature_id, label, swap, _link("remove", chosen, **{name: rest}))


def _row(feature_id: int, label: str, *others: Html) -> Html:
    return tag("div", link("feature.py", label, {"feature": feature_id}), *others, cls="choice")


def _link(words: str, chosen: Combination, **changed: Sequence[int]) -> Html:
    return link("combine.py", words, chosen.address(**changed))


def picker(store: Store, chosen: Combination) -> None:
    """A box to find features by words or id; each match has links that add it to one of the two lists."""
    words = text_box("Add a feature", "find", placeholder="words of labels and keywords, or an id", type="search")
    if not words.strip():
        return
    rows = [
        row
        for row in queries.find_features(store, words, limit=FOUND + queries.MOST_COMBINED).to_pylist()
        if row["feature_id"] not in chosen.present + chosen.absent
    ]
    if not rows:
        sentence(f"No other feature's label or keywords contain “{words}”.")
    found = []
    for row in rows[:FOUND]:
        feature_id, fires = row["feature_id"], tag("span", percent(row["density"]), cls="muted")
        added = _link("with", chosen, **{PRESENT: [*chosen.present, feature_id]})
        barred = _link("without", chosen, **{ABSENT: [*chosen.absent, feature_id]})
        found.append(_row(feature_id, row["label"], fires, added, barred))
    html(tag("div", *found, cls="choices"))


def counts_strip(counts: CombinedCounts, chosen: Combination, densities: Mapping[int, float]) -> None:
    """How many texts match, and how many would if the features fired independently."""
    expected = float(counts.n_texts)
    for name in (PRESENT, ABSENT):
        for feature_id in chosen.ids(name):
            expected *= densities[feature_id] if name == PRESENT else 1 - densities[feature_id]
    numbers = [Number(count(counts.n_matching), f"of {count(counts.n_texts)} texts", aside=percent(_share(counts)))]
    if chosen.present and chosen.absent:
        numbers.append(Number(count(counts.n_present), "on which all that must fire do"))
    several = len(chosen.present + chosen.absent) > 1
    if several:
        numbers.append(Number(number(expected), "expected by chance", EXPECTED))
    if several and expected:
        numbers.append(Number(f"×{number(counts.n_matching / expected)}", "as many as by chance"))
    strip(numbers)


def _share(counts: CombinedCounts) -> float:
    return counts.n_matching / counts.n_texts if counts.n_texts else 0.0

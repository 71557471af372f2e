"""Two features side by side: their names, the texts of both and of each alone, the neighbours that they share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import streamlit as st

from featurelib import queries
from featurelib.queries import Feature
from featurelib.schema import NEIGHBOUR_ROWS, Refusal
from featurelib.storage.store import Store
from featurelib.ui.kit.address import text_box, whole_number_param
from featurelib.ui.kit.anchors import link
from featurelib.ui.kit.elements import Number, count, heading, html, number, percent, sentence, strip, tag
from featurelib.ui.kit.lists import feature_line, line_list
from featurelib.ui.texts.text_list import text_list, text_of, with_features

SHOWN = 5
FOUND = 6
COSINE = "Between the directions (decoder rows) of the two; it is known where one is among the 50 nearest of the other."
JACCARD = "Texts on which both fire, of those on which either does."
LIFT = "How many times as many texts have both as if the two fired independently of each other."


@dataclass(frozen=True)
class Pair:
    """The two features of the page."""

    first: Feature
    second: Feature


def pair_param(store: Store) -> Pair | None:
    """The two features of the address, a and b; None where one is missing. Refusal for an unknown one."""
    asked = whole_number_param("a"), whole_number_param("b")
    if None in asked:
        return None
    if asked[0] == asked[1]:
        raise Refusal(f"feature {asked[0]} is compared with itself; choose another one for b.")
    first, second = (queries.feature(store, feature_id) for feature_id in asked if feature_id is not None)
    return Pair(first, second)


def choose(store: Store) -> None:
    """Two boxes that find the features to compare, for an address that does not name both."""
    chosen = {name: whole_number_param(name) for name in ("a", "b")}
    for place, (name, feature_id) in zip(st.columns(2, gap="large"), chosen.items(), strict=True):
        with place:
            if feature_id is not None:
                sentence(f"{name.upper()}: {next(iter(queries.labels(store, [feature_id]).values()), 'unknown')}")
            words = text_box(f"Feature {name.upper()}", f"find_{name}", placeholder="words of names, or an id")
            rows = queries.find_features(store, words, limit=FOUND).to_pylist() if words.strip() else []
            others = {other: value for other, value in chosen.items() if other != name and value is not None}
            links = [link("compare.py", row["label"], others | {name: row["feature_id"]}) for row in rows]
            html(tag("div", *(tag("div", one, cls="choice") for one in links), cls="choices"))


def heads(store: Store, pair: Pair) -> None:
    """Both names, each with how often it fires and how sure the name is."""
    for place, feature in zip(st.columns(2, gap="large"), (pair.first, pair.second), strict=True):
        with place:
            name = link("feature.py", feature.label, {"feature": feature.feature_id})
            fires = f"fires on {count(feature.n_active)} of {count(feature.n_texts)} texts"
            sure = queries.certainty(store, feature)
            line = tag("p", f"feature {feature.feature_id} · {sure} · {fires}", cls="muted")
            html(tag("h2", name, cls="compared"), line)


def numbers(store: Store, pair: Pair) -> None:
    """How many texts have both, and each alone; how near the directions are."""
    first, second = pair.first, pair.second
    both = queries.count_combined(store, [first.feature_id, second.feature_id]).n_matching
    either = first.n_active + second.n_active - both
    chance = first.n_active * second.n_active / max(first.n_texts, 1)
    cosine = queries.cosine_of(store, first.feature_id, second.feature_id) if store.has(NEIGHBOUR_ROWS) else None
    strip(
        [
            Number(count(both), "texts with both"),
            Number(count(first.n_active - both), "with the first alone"),
            Number(count(second.n_active - both), "with the second alone"),
            Number(percent(both / either) if either else "–", "of either have both", JACCARD),
            Number(f"×{number(both / chance)}" if chance else "–", "as many as by chance", LIFT),
            Number("< nearest 50" if cosine is None else number(cosine), "cosine of directions", COSINE),
        ]
    )


def texts(store: Store, key: str, title: str, present: Sequence[int], absent: Sequence[int] = ()) -> None:
    """The strongest texts of a combination of the two."""
    counted = queries.count_combined(store, present, absent)
    heading(title, f"{count(counted.n_matching)} texts, strongest first")
    if not counted.n_matching:
        sentence("None.")
        return
    rows = queries.combined_texts(store, present, absent, limit=SHOWN).to_pylist()
    shown = [text_of(row | {"activation": row["strength"]}, store, 1.0) for row in rows]
    text_list(key, with_features(shown, store))


def common_neighbours(store: Store, pair: Pair) -> None:
    """The features whose directions are near to both."""
    rows = queries.common_neighbours(store, pair.first.feature_id, pair.second.feature_id).to_pylist()
    lines = [feature_line(row["feature_id"], row["label"], *map(number, (row["first"], row["second"]))) for row in rows]
    if lines:
        line_list("common", lines, title="Near to both", names=("to the first", "to the second"))
    else:
        heading("Near to both")
        sentence("No feature is among the 50 nearest directions of both.")

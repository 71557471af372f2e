"""The parts of the page of one feature: its name, numbers, filters, related features and metadata values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import streamlit as st

from featurelib import queries
from featurelib.live.results import FeatureOnText
from featurelib.queries import Coverage, Feature
from featurelib.storage.store import Store
from featurelib.ui.kit.address import choice_box, param, text_box
from featurelib.ui.kit.elements import (
    apart,
    chip,
    count,
    facts,
    heading,
    html,
    number,
    page,
    percent,
    sentence,
    tag,
)
from featurelib.ui.kit.lists import Line, feature_line, line_list
from featurelib.ui.kit.navigation import moves

Rows = Sequence[Mapping[str, Any]]


@dataclass(frozen=True)
class Judged:
    """What is known of a feature's name."""

    word: str
    """How sure it is: a key of SURE."""
    coverage: Coverage | None
    """How many strong test texts hold it."""

    @property
    def is_rare(self) -> bool:
        """Whether it cannot be judged, so that it is drawn in grey."""
        return self.word in ("too rare to judge", "no name", "no single theme", "not named yet")


def judge(store: Store, feature: Feature) -> Judged:
    """Return how sure a feature's name is; a run of an older version knows less of it."""
    return Judged(queries.certainty(store, feature), queries.coverage(store, feature.feature_id))


BANDS = ("Strongest quarter", "Second quarter", "Third quarter", "Weakest quarter")
SOURCES = {
    "single texts": "Named from keywords of single top texts, because no two share one: a weak name.",
    "tokens": "Named by the words on which it fires most, counted on the texts that names are made from.",
    "form": "Named by the form of words: in nearly all of its strongest texts a word that adds most begins or ends so, "
    "and these words go on in different ways (the letter stands by itself where that is the name).",
    "evidence": "Named by the words that best predict where it fires, on texts that they were not taken from.",
    "keywords": "Named from KeyBERT keywords of its top texts; their fidelity was not compared.",
    "none": "It has no keywords, so its number is its name.",
    "not yet": "No name yet: the stage labels is not done.",
}
SURE = {
    "reliable": "On texts that it was not made from, the name tells where the feature fires: the AUROC's interval "
    "begins at .80 or above.",
    "fair": "On texts that it was not made from, the name tells something about where the feature fires: the AUROC's "
    "interval begins between .65 and .80.",
    "weak": "On texts that it was not made from, the name tells little about where the feature fires: the AUROC's "
    "interval begins below .65. Read its texts.",
    "too rare to judge": "It fires on fewer than ten texts, so whether its name is right cannot be measured. Read its "
    "texts.",
    "not measured": "Too few label test texts make it fire (or leave it silent) to measure whether its name is right. "
    "Read its texts.",
    "no name": "No phrase sets its texts apart and stands in two of them, so it has only its number. Read its texts.",
    "no single theme": "It fires on more than a tenth of the texts, and no phrase sets these apart from the others.",
    "not named yet": "The stage labels is not done yet.",
}
COVERAGE = (
    "Of its strongest label test texts (up to twenty, which its name was not made from), how many hold a part of the "
    "name as whole words; a plural counts as its singular."
)
THEMES = (
    "Its texts fall into {n} groups by their embeddings (k-means, tried on texts that they were not made from). Each "
    "has the phrase that tells it from the others and from the corpus, and its share of the texts."
)
THEME_HOLDS = "{n_holding} of the {n_tested} label test texts nearest to this theme hold the phrase."
ALL = "-"
FIRST = 7
"""Keywords that are shown before a click."""
DEAD = "Dead: it fires on none of the {} texts of this corpus. Its direction still has neighbours."
DENSITY = "The share of texts on which it fires."
MEAN = "The mean activation over the texts on which it fires."
THRESHOLD = "The feature fires where its pre-activation exceeds the threshold; below it, the activation is 0."
TEST = "The sentence is embedded and encoded as the texts of the corpus were."
HISTOGRAM = "Texts by activation, from the threshold to the maximum; texts below the threshold are not counted."
SCORES = (
    "Words of its top texts, each with its score (S/N)·ln(1+N): N of these texts contain the word, S is the sum of its "
    "cosines to them (KeyBERT)."
)
COSINE = "Cosine between the directions (decoder rows) of the two features: 1 the same, 0 unrelated, -1 opposite."
WHERE = (
    "Share: of the texts on which it fires, how many have this value, with a 95 % interval (Wilson). Lift: that share "
    "over the value's share of the whole corpus. Click to see these texts."
)


def feature_head(run: str, feature: Feature, judged: Judged, *, last: int, drawn: int) -> None:
    """The feature's name, how sure it is, how often the feature fires, and the ways on."""
    name, onward = st.columns([2, 1], gap="medium")
    with name:
        lead = tag("span", *_how_sure(feature, judged))
        page(feature.label, lead, crumbs=f"{run} · feature {feature.feature_id}", faint=judged.is_rare)
    with onward:
        moves("feature.py", "feature", feature.feature_id, last=last, drawn=drawn, view=param("view"))


def _how_sure(feature: Feature, judged: Judged) -> list[object]:
    """The line under the name: a word for how sure it is, how often the feature fires, how many texts hold the name."""
    if feature.dead:
        return [SOURCES.get(feature.label_source, "")]
    fires = f"fires on {count(feature.n_active)} of {count(feature.n_texts)} texts"
    line: list[object] = [tag("span", judged.word, cls="term sure", help=SURE[judged.word]), " · ", fires]
    if judged.coverage is not None and judged.coverage.n_strongest and feature.label_source != "none":
        holding, strongest = judged.coverage.n_holding, judged.coverage.n_strongest
        held = f"its name is in {holding} of {strongest} strong test texts"
        line += [" · ", tag("span", held, cls="term", help=COVERAGE)]
    return line


def themes(rows: Rows) -> None:
    """The themes of a feature whose texts are of two or three, each with its share."""
    if not rows:
        return
    head = tag("span", f"texts of {len(rows)} themes", cls="term muted", help=THEMES.format(n=len(rows)))
    parts = [
        tag(
            "span",
            row["label"],
            tag("small", f"{_whole(row['share'])} %"),
            cls="chip term",
            help=THEME_HOLDS.format(**row),
        )
        for row in rows
    ]
    html(tag("div", head, *parts, cls="chips"))


def keywords(rows: Rows) -> None:
    """Its keywords with their scores, the best first; those after the first few open on a click."""
    if not rows:
        return
    chips = [chip(row["keyword"], number(row["score"])) for row in rows]
    more = [tag("details", tag("summary", f"{len(rows) - FIRST} more"), *chips[FIRST:])] if len(rows) > FIRST else []
    head = tag("span", "keywords", cls="term muted", help=SCORES)
    html(tag("div", head, *chips[:FIRST], *more, cls="chips"))


def feature_numbers(feature: Feature) -> None:
    """Density, maximum, mean and threshold."""
    of = f"{count(feature.n_active)} of {count(feature.n_texts)} texts"
    facts(
        [
            (tag("span", "density", cls="term", help=DENSITY), f"{percent(feature.density)} · {of}"),
            ("maximum activation", number(feature.max_activation)),
            (tag("span", "mean activation where it fires", cls="term", help=MEAN), number(feature.mean_activation)),
            (tag("span", "threshold", cls="term", help=THRESHOLD), number(feature.threshold)),
        ]
    )


def column_box(columns: Sequence[str]) -> str:
    """A list of metadata columns to narrow the texts by; ALL for none of them."""
    return choice_box(
        "Filter by",
        "column",
        [ALL, *columns],
        show=lambda name: "all texts" if name == ALL else f"filter: {name}",
        resets=("value", "page"),
        label_visibility="collapsed",
        width=150,
    )


def value_box(counted: Mapping[str, int]) -> str | None:
    """A list of the values of that column, each with its number of texts; None when no text has one."""
    if not counted:
        sentence("None of its texts has a value in this column.")
        return None

    def shown(value: str) -> str:
        return f"{value or '(empty)'} ({count(counted[value])})"

    return choice_box("Value", "value", list(counted), show=shown, label_visibility="collapsed", width=230)


def band_head(rows: Rows, unit: str) -> None:
    """The head of one quarter of the activations: its range, how many of its texts are shown."""
    first = rows[0]
    span = f"{number(first['low'])} to {number(first['high'])}"
    heading(BANDS[first["band"] - 1], f"{span} · {len(rows)} of its {count(first['n_band'])} {unit}, drawn at random")


def test_line() -> str:
    """The box for a sentence to test."""
    heading("Test a sentence", help=TEST)
    hint = "type a sentence, then Enter"
    return text_box("Test a sentence", "test", resets=(), label_visibility="collapsed", placeholder=hint)


def verdict(tested: FeatureOnText) -> None:
    """Whether the feature fires on a tested sentence, and how far it is from its threshold."""
    reached, threshold = apart(tested.activation if tested.fires else tested.pre_activation, tested.threshold)
    words = f"{reached}, threshold {threshold}" if tested.fires else f"{reached} is below the threshold {threshold}"
    html(tag("p", tag("b", "fires: " if tested.fires else "does not fire: "), words, cls="read-verdict"))


def cosines(key: str, title: str, rows: Rows) -> None:
    """Features by the cosine of their directions."""
    lines = [feature_line(row["feature_id"], row["label"], f"{row['cosine']:.2f}") for row in rows]
    line_list(key, lines, title=title, help=COSINE, names=("cosine",))


def _whole(share: float) -> str:
    return f"{100 * share:.0f}"


def values_list(feature_id: int, column: str, rows: Rows) -> None:
    """Metadata values among a feature's texts; each leads to the texts that have it."""
    lines = [
        Line(
            row["value"] or "(empty)",
            {"feature": feature_id, "column": column, "value": row["value"]},
            (f"{_whole(row['share'])} % ({_whole(row['low'])}–{_whole(row['high'])})", f"×{number(row['lift'], 2)}"),
        )
        for row in rows
    ]
    line_list("values", lines, title="Where it fires", note=f"by {column}", help=WHERE, names=("share", "lift"))

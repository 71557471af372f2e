"""The parts of the page of one feature: its name, numbers, filters, related features and metadata values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import streamlit as st

from featurelib.live.results import FeatureOnText
from featurelib.queries import Feature
from featurelib.ui.kit.address import choice_box, param, text_box
from featurelib.ui.kit.elements import (
    Number,
    apart,
    chip,
    count,
    heading,
    html,
    number,
    page,
    percent,
    sentence,
    strip,
    tag,
)
from featurelib.ui.kit.lists import Line, feature_line, line_list
from featurelib.ui.kit.navigation import moves

Rows = Sequence[Mapping[str, Any]]

BANDS = ("Strongest quarter", "Second quarter", "Third quarter", "Weakest quarter")
SOURCES = {
    "single texts": "Named from keywords of single top texts, because no two share one: a weak name.",
    "tokens": "Named by the words on which it fires most, counted on the texts that names are made from.",
    "evidence": "Named by the words that best predict where it fires, on texts that they were not taken from.",
    "keywords": "Named from KeyBERT keywords of its top texts; their fidelity was not compared.",
    "none": "It has no keywords, so its number is its name.",
    "not yet": "No name yet: the stage labels is not done.",
}
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


def feature_head(run: str, feature: Feature, *, last: int, drawn: int) -> None:
    """The feature's name, how it was named, and the ways on."""
    name, onward = st.columns([2, 1], gap="medium")
    with name:
        source = SOURCES.get(feature.label_source, f"Named by {feature.label_source}.")
        page(feature.label, source, crumbs=f"{run} · feature {feature.feature_id}")
    with onward:
        moves("feature.py", "feature", feature.feature_id, last=last, drawn=drawn, view=param("view"))


def keywords(rows: Rows) -> None:
    """Its keywords with their scores, the best first; those after the first few open on a click."""
    if not rows:
        return
    chips = [chip(row["keyword"], number(row["score"])) for row in rows]
    more = [tag("details", tag("summary", f"{len(rows) - FIRST} more"), *chips[FIRST:])] if len(rows) > FIRST else []
    head = tag("span", "keywords", cls="term muted", help=SCORES)
    html(tag("div", head, *chips[:FIRST], *more, cls="chips"))


def feature_strip(feature: Feature) -> None:
    """Density, maximum, mean and threshold."""
    of = f"{count(feature.n_active)} of {count(feature.n_texts)} texts"
    strip(
        [
            Number(percent(feature.density), f"density · {of}", DENSITY),
            Number(number(feature.max_activation), "maximum activation"),
            Number(number(feature.mean_activation), "mean activation where it fires", MEAN),
            Number(number(feature.threshold), "threshold", THRESHOLD),
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

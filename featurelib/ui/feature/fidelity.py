"""How well a feature's name predicts firing, and the candidates that its keywords were chosen from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import streamlit as st

from featurelib import queries
from featurelib.queries import Feature, Fidelity
from featurelib.schema import Refusal
from featurelib.storage.store import Store
from featurelib.ui.feature.header import SOURCES
from featurelib.ui.feature.header import keywords as keyword_chips
from featurelib.ui.kit.elements import (
    Html,
    chip,
    count,
    html,
    number,
    tag,
)
from featurelib.ui.kit.metrics import AP, AUROC

LEAST = 5
"""Judged texts that must fire for a name to be measured (precompute.stages.labels.fidelity)."""
FIRST = 5
"""Candidates that are shown before a click."""
PREDICTORS = {"resembles": "similarity", "contains": "words"}
CONTAINS = (
    "The same for another predictor: how many of the name's keywords the text contains, as whole words, in upper or "
    "lower case; a plural counts as its singular."
)
CANDIDATES = (
    "Words and phrases of the naming texts (half of the corpus). Each number is the AUROC of the candidate alone on "
    "the choosing texts (a quarter); the best of many are shown, so it is too high for a test."
)
ORIGINS = {
    "top texts": "top texts, KeyBERT",
    "active texts": "all its texts",
    "encoder": "the SAE",
    "tokens": "words it fires on",
}
"""Where a candidate comes from, in words of the table's note."""
HEADS = ("keyword", "fires alone", "pre-activation", "AUROC", "AP", "KeyBERT", "source")
NOTE = (
    "Fires alone, pre-activation: the keyword by itself, embedded and encoded like a text. AUROC, AP: how well its "
    "similarity to texts predicts firing, on the choosing texts. KeyBERT: the baseline's score. Source: KeyBERT on the "
    "top texts, words that distinguish all its texts from others, or the largest pre-activation."
)


def name(store: Store, feature: Feature) -> None:
    """How the name was judged, behind a click: how well it predicts firing, its keywords and the other candidates."""
    with st.expander("How this name was judged"):
        html(tag("p", SOURCES.get(feature.label_source, f"Named by {feature.label_source}."), cls="muted"))
        _judged(store, feature)


def _judged(store: Store, feature: Feature) -> None:
    try:
        measured = queries.fidelity(store, feature.feature_id)
        candidates = queries.keyword_evidence(store, feature.feature_id).to_pylist()
    except Refusal:
        keyword_chips(queries.keywords(store, feature.feature_id).to_pylist())
        raise
    ours = [row for row in measured if row.method == "ours"]
    if ours:
        html(tag("p", *_fidelity(ours), cls="evidence"))
    if candidates:
        _candidates(candidates)
    else:
        keyword_chips(queries.keywords(store, feature.feature_id).to_pylist())


def _fidelity(ours: Sequence[Fidelity]) -> list[object]:
    """The line under the name."""
    first = ours[0]
    if first.auroc is None:
        return [_not_measured(first)]
    texts = f" on {count(first.n_texts)} label test texts, it fires on {count(first.n_fires)}"
    line: list[object] = [
        "How well this name predicts firing: by ",
        PREDICTORS[first.predictor],
        ": ",
        *_numbers(first),
        texts,
    ]
    for other in ours[1:]:
        if other.auroc is not None and other.ap is not None:
            by = f"by {PREDICTORS[other.predictor]}"
            values = f"{_two(other.auroc)}, AP {_two(other.ap)}"
            line += ["; ", tag("span", by, cls="term", help=CONTAINS), Html(f" AUROC&nbsp;{values}")]
    return line


def _numbers(measured: Fidelity) -> list[Html]:
    auroc = tag("b", f"{_two(measured.auroc)}"), f" ({_two(measured.auroc_low)}–{_two(measured.auroc_high)}), "
    ap = (
        tag("b", f"{_two(measured.ap)}"),
        f" ({_two(measured.ap_low)}–{_two(measured.ap_high)}; chance {number(measured.chance, 2)})",
    )
    names = [tag("span", "AUROC", cls="term", help=AUROC), tag("span", "AP", cls="term", help=AP)]
    return [names[0], Html(" "), *_pieces(auroc), names[1], Html(" "), *_pieces(ap)]


def _pieces(children: Sequence[object]) -> list[Html]:
    return [child if isinstance(child, Html) else tag("span", child) for child in children]


def _not_measured(fidelity: Fidelity) -> str:
    """Why a name has no number."""
    if fidelity.n_fires < LEAST:
        few = (
            f"{count(fidelity.n_fires)} of {count(fidelity.n_texts)} label test texts make it fire, {LEAST} are needed"
        )
        return f"Whether this name predicts firing could not be measured: {few}."
    if fidelity.n_texts - fidelity.n_fires < LEAST:
        return "Whether this name predicts firing could not be measured: it fires on nearly all label test texts."
    return (
        "Whether this name predicts firing could not be measured: none of its top texts is a "
        "naming text, so its keywords come from the texts that would have to test them."
    )


def _candidates(rows: Sequence[Mapping[str, Any]]) -> None:
    """The keywords of the name, outlined, then the best others; all of them in a table behind a click."""
    chosen = [row for row in rows if row["chosen"]]
    others = [row for row in rows if not row["chosen"]]
    shown = [_chip(row) for row in [*chosen, *others[: max(0, FIRST - len(chosen))]]]
    head = tag("span", "candidates", cls="term muted", help=CANDIDATES)
    more = tag("details", tag("summary", f"compare all {len(rows)}"), _table(rows))
    html(tag("div", head, *shown, more, cls="chips"))


def _chip(row: Mapping[str, Any]) -> Html:
    value = "" if row["auroc"] is None else _two(row["auroc"])
    if not row["chosen"]:
        return chip(row["keyword"], value)
    small = tag("small", value) if value else Html("")
    return tag("span", row["keyword"], small, cls="chip evidence-chosen")


def _table(rows: Sequence[Mapping[str, Any]]) -> Html:
    head = tag("tr", *(tag("th", name) for name in HEADS))
    table = tag("div", tag("table", tag("tbody", head, *map(_row, rows))), cls="evidence-wide")
    return Html(table + tag("p", NOTE, cls="evidence-note"))


def _row(row: Mapping[str, Any]) -> Html:
    fires = {True: "fires", False: "no", None: "–"}[row["fires"]]
    measures = (row["pre_activation"], row["auroc"], row["ap"], row["score"])
    numbers = [
        "–" if value is None else f"{value:.3f}" if place == 0 else _two(value) for place, value in enumerate(measures)
    ]
    cells = [fires, *numbers, ORIGINS.get(row["origin"], row["origin"])]
    keyword = tag("b", row["keyword"]) if row["chosen"] else tag("span", row["keyword"])
    return tag("tr", tag("td", keyword), *(tag("td", cell) for cell in cells))


def _two(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}"

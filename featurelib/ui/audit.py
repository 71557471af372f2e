"""What a feature may fire by instead of meaning, as chips and sentences; texts it only just refuses; drawn ones."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import streamlit as st

from featurelib import queries
from featurelib.queries import Feature
from featurelib.storage.store import Store
from featurelib.ui.kit.address import count_param, set_params
from featurelib.ui.kit.elements import Html, count, html, number, percent, sentence, tag
from featurelib.ui.texts.text_list import ShownText, text_list, text_of, with_features

DRAWN = 10
FAR = 0.5
"""A dead feature that reaches less than this share of what it needs stays far below it."""
WORDS = {
    "length": "fires by length",
    "truncation": "fires on texts that were cut",
    "language": "fires by language",
    "script": "fires by script",
    "boilerplate": "fires on boilerplate",
    "copies": "fires on copies",
}
"""What a flag says, by check."""
CHIP = {"cls": "chip term", "style": "background: light-dark(#f6efdc, #322c1c); text-decoration: none"}


def thresholds(store: Store) -> dict[str, Any]:
    """What the flags of this run were set by, empty before the stage audit."""
    done = store.generation.done("audit")
    return dict(done.facts) if done else {}


def told(check: str, facts: Mapping[str, Any]) -> str:
    """One sentence on what a check measures and from where on it flags, with the numbers of this run."""
    at = facts.get("thresholds") or {}
    if not at:
        return ""
    share = f"flagged from {_whole(at['share'])} % of them on, {_whole(at['excess'])} points above the corpus's share"
    column = facts.get("language_column")
    return {
        "length": f"AUROC of a text's number of {facts.get('unit', 'tokens')} against firing (0.5 where length says "
        f"nothing); flagged from {at['auroc']:g} on, or up to {1 - at['auroc']:.2g}.",
        "truncation": f"The share of its texts that were longer than the embedder reads; {share}.",
        "language": f"The value of the column '{column}' whose share of its texts is furthest above the corpus's; "
        f"{share}.",
        "script": "The Unicode script (of most letters of a text) whose share of its texts is furthest above the "
        f"corpus's share; {share}.",
        "boilerplate": f"The share of its different texts (of {count(facts.get('sampled'))} drawn ones) that have one "
        "passage in common: 8 words in a row, or a whole sentence of 3 to 7; flagged from "
        f"{_whole(at['segment_share'])} % on, {_whole(at['segment_excess'])} points above the corpus's share, in "
        f"{at['segment_texts']} texts or more.",
        "copies": "The share of its top texts of which another top text is a copy, exact but for case and white space, "
        f"or near (cosine from {at['cosine']:g} and {_whole(at['same_words'])} % of all runs of 3 words in common); "
        f"{share}.",
    }.get(check, "")


def _whole(share: float) -> str:
    return f"{100 * share:.0f}"


def rule(facts: Mapping[str, Any]) -> str:
    """What all flags have in common, in one sentence."""
    least = (facts.get("thresholds") or {}).get("min_texts")
    return (
        f"A feature is flagged where it fires on at least {least} texts, the effect is that large, and an interval "
        "that holds for all features together (95 %, Bonferroni) leaves out what is expected; the intervals shown are "
        "the plain ones of 95 %. A flag is a reason to look, not a verdict: topics differ in length too."
    )


def checks_list(names: Sequence[str], facts: Mapping[str, Any]) -> None:
    """Every check of this run with its sentence."""
    pieces: list[Html] = []
    for name in names:
        pieces += [tag("dt", name), tag("dd", told(name, facts))]
    html(tag("dl", *pieces, cls="audit-checks"), tag("p", rule(facts), cls="audit-rule"))


def flags(rows: Sequence[Mapping[str, Any]]) -> None:
    """The flags of one feature (rows of `queries.feature_audit`) as chips, their numbers on hover; nothing if none."""
    chips = [
        tag("span", WORDS.get(row["check"], row["check"]), tag("small", _shown(row)), **CHIP, help=_hover(row))
        for row in rows
        if row["flagged"]
    ]
    if chips:
        html(tag("div", *chips, cls="chips audit-flags"))


def _shown(row: Mapping[str, Any]) -> str:
    return number(row["value"], 2) if row["check"] == "length" else percent(row["value"])


def _hover(row: Mapping[str, Any]) -> str:
    show = number if row["check"] == "length" else percent
    what = "AUROC of length" if row["check"] == "length" else "share"
    lines = [
        f"{what} {show(row['value'])} (95 %: {show(row['low'])} to {show(row['high'])}), expected "
        f"{show(row['expected'])}; {count(row['n_texts'])} texts",
        row["detail"] or "",
    ]
    return "\n".join(line for line in lines if line)


def with_copies(shown: ShownText, row: Mapping[str, Any]) -> ShownText:
    """A text that says for how many copies and near copies it stands."""
    n = row.get("n_copies") or 0
    note = f"stands for {count(n)} more {'copy' if n == 1 else 'copies'} among these texts"
    return dataclasses.replace(shown, about=(*shown.about, note)) if n else shown


def near_misses(store: Store, feature: Feature) -> None:
    """The texts that a feature only just refuses, and what fires on them instead; a dead feature has them too."""
    rows = queries.near_misses(store, feature.feature_id).to_pylist()
    if not rows:
        sentence("It fires on every text, so it refuses none.")
        return
    html(tag("p", _how_near(store, feature, rows[0]), cls="muted"))
    shown = [_missed(row, store) for row in rows]
    text_list("near-misses", with_features(shown, store, without=feature.feature_id), before="fires instead:")


def _missed(row: Mapping[str, Any], store: Store) -> ShownText:
    shown = with_copies(text_of(row, store), row)
    short = f"needed {number(row['needed'], 4)}, {number(row['needed'] - row['pre_activation'], 2)} short"
    return dataclasses.replace(
        shown, value=row["pre_activation"], maximum=row["needed"] or 1.0, about=(short, *shown.about)
    )


def _how_near(store: Store, feature: Feature, nearest: Mapping[str, Any]) -> str:
    words = (
        "Texts on which it does not fire, the nearest first: the number is the pre-activation, its bar the share of "
        "what it had to exceed on that text."
    )
    if not feature.dead or nearest["needed"] <= 0:
        return words
    reached = max(nearest["pre_activation"] / nearest["needed"], 0.0)
    done = store.generation.done("near_misses")
    nearly = done.facts.get("nearly", 1.0) if done else 1.0
    verdict = "it nearly fires" if reached >= nearly else "it stays below" if reached >= FAR else "it stays far below"
    return f"Its nearest text reaches {percent(reached)} of what it needs, so {verdict}. {words}"


def random_texts(store: Store, feature: Feature) -> None:
    """Texts drawn from all on which a feature fires, each with the same chance; the draw lives in the address."""
    draw = count_param("draw", 0) or 0
    rows = queries.random_texts(store, feature.feature_id, limit=DRAWN, seed=draw).to_pylist()
    with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"):
        of = f"{len(rows)} of {count(feature.n_active)} texts on which it fires, drawn at random, the strongest first."
        html(tag("p", of, cls="muted"), width="content")
        if len(rows) < feature.n_active and st.button("Draw others", key="draw others", type="tertiary"):
            set_params(draw=draw + 1)
            st.rerun()
    shown = [text_of(row, store, feature.max_activation) for row in rows]
    text_list("random", with_features(shown, store, without=feature.feature_id), before="also active:")

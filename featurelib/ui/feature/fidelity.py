"""What stands beside a feature's name: how well it predicts firing, what spoke for its keywords, the seed's name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import streamlit as st

from featurelib import charts, queries
from featurelib.queries import Feature, Fidelity
from featurelib.schema import Refusal
from featurelib.storage.store import Store
from featurelib.ui.feature.header import keywords as seed_chips
from featurelib.ui.kit.elements import (
    Html,
    Number,
    chart,
    chip,
    count,
    heading,
    html,
    number,
    percent,
    sentence,
    strip,
    tag,
)
from featurelib.ui.kit.session import Opened
from featurelib.ui.kit.theme import colours

LEAST = 5
"""Judged texts that must fire for a name to be measured (precompute.stages.labels.fidelity)."""
FIRST = 5
"""Candidates that are shown before a click."""
PREDICTORS = {"resembles": "resemblance", "contains": "its words"}
AUROC = (
    "The chance that a text on which the feature fires is more like the name than a text on which it does not: 0.5 "
    "says nothing, 1 all. Like: the cosine between the text's embedding and the mean of the keywords' embeddings. "
    "Measured once, on texts that neither gave the name nor chose it; 95 % interval by Newcombe."
)
AP = (
    "Average precision of the same ranking: how pure its top is. A name that says nothing has the share of texts that "
    "fire, which is called chance here; 95 % interval by Wilson."
)
CONTAINS = (
    "The same for another predictor: how many of the name's keywords the text holds, all words of a keyword as whole "
    "words, in any case."
)
SEED = (
    "The name that the seed method's keywords alone give (KeyBERT on top texts of the same half), measured on the same "
    "texts in the same way."
)
CANDIDATES = (
    "Words and phrases of the half of the texts that names features. Each number is the AUROC of the candidate alone "
    "on the quarter that chooses; it is no held-out number, for the best of many are shown."
)
ORIGINS = {"top texts": "top texts, KeyBERT", "active texts": "all its texts", "encoder": "the SAE"}
"""Where a candidate comes from, in words of the table's note."""
HEADS = ("keyword", "fires alone", "pre-activation", "AUROC", "AP", "KeyBERT", "found by")
NOTE = (
    "Fires alone, pre-activation: the keyword by itself, embedded and encoded like a text. AUROC, AP: what its "
    "resemblance to texts tells of firing, on the quarter that chooses. KeyBERT: the seed method's score. Found by: "
    "KeyBERT on its top texts, words that set all its texts apart from others, or the largest pre-activation."
)


def name(store: Store, feature: Feature) -> None:
    """How well the name predicts firing, its keywords and the other candidates, and the seed method's name."""
    try:
        measured = queries.fidelity(store, feature.feature_id)
        candidates = queries.keyword_evidence(store, feature.feature_id).to_pylist()
    except Refusal:
        seed_chips(queries.keywords(store, feature.feature_id).to_pylist())
        raise
    ours = [one for one in measured if one.method == "ours"]
    if ours:
        html(tag("p", *_fidelity(ours), cls="evidence"))
    if candidates:
        _candidates(candidates)
    else:
        seed_chips(queries.keywords(store, feature.feature_id).to_pylist())
    seed = [one for one in measured if one.method == "seed"]
    if seed:
        html(tag("p", *_seed(seed[0], ours), cls="evidence"))


def _fidelity(ours: Sequence[Fidelity]) -> list[object]:
    """The line under the name."""
    first = ours[0]
    if first.auroc is None:
        return [_not_measured(first)]
    texts = f" on {count(first.n_texts)} held-out texts, {count(first.n_fires)} of them firing"
    line: list[object] = ["predicts firing by ", PREDICTORS[first.predictor], ": ", *_numbers(first), texts]
    for other in ours[1:]:
        if other.auroc is not None and other.ap is not None:
            by = f"by {PREDICTORS[other.predictor]}"
            told = f"{_two(other.auroc)}, AP {_two(other.ap)}"
            line += ["; ", tag("span", by, cls="term", help=CONTAINS), Html(f" AUROC&nbsp;{told}")]
    return line


def _numbers(one: Fidelity) -> list[Html]:
    auroc = tag("b", f"{_two(one.auroc)}"), f" ({_two(one.auroc_low)}–{_two(one.auroc_high)}), "
    ap = tag("b", f"{_two(one.ap)}"), f" ({_two(one.ap_low)}–{_two(one.ap_high)}; chance {number(one.chance, 2)})"
    names = [tag("span", "AUROC", cls="term", help=AUROC), tag("span", "AP", cls="term", help=AP)]
    return [names[0], Html(" "), *_pieces(auroc), names[1], Html(" "), *_pieces(ap)]


def _pieces(children: Sequence[object]) -> list[Html]:
    return [child if isinstance(child, Html) else tag("span", child) for child in children]


def _not_measured(one: Fidelity) -> str:
    """Why a name has no number."""
    if one.n_fires < LEAST:
        few = f"{count(one.n_fires)} of {count(one.n_texts)} held-out texts fire it, {LEAST} are needed"
        return f"Whether this name predicts firing could not be measured: {few}."
    if one.n_texts - one.n_fires < LEAST:
        return "Whether this name predicts firing could not be measured: nearly all held-out texts fire it."
    return (
        "Whether this name predicts firing could not be measured: none of its strongest texts is of the half that "
        "names features, so its keywords come from the texts that would judge them."
    )


def _candidates(rows: Sequence[Mapping[str, Any]]) -> None:
    """The keywords of the name, outlined, then the best others; all of them in a table behind a click."""
    chosen = [row for row in rows if row["chosen"]]
    others = [row for row in rows if not row["chosen"]]
    shown = [_chip(row) for row in [*chosen, *others[: max(0, FIRST - len(chosen))]]]
    head = tag("span", "candidates", cls="term muted", help=CANDIDATES)
    more = tag("details", tag("summary", f"all {len(rows)} compared"), _table(rows))
    html(tag("div", head, *shown, more, cls="chips"))


def _chip(row: Mapping[str, Any]) -> Html:
    value = "" if row["auroc"] is None else _two(row["auroc"])
    if not row["chosen"]:
        return chip(row["keyword"], value)
    small = tag("small", value) if value else Html("")
    return tag("span", row["keyword"], small, cls="chip evidence-chosen")


def _table(rows: Sequence[Mapping[str, Any]]) -> Html:
    head = tag("tr", *(tag("th", one) for one in HEADS))
    table = tag("div", tag("table", tag("tbody", head, *map(_row, rows))), cls="evidence-wide")
    return Html(table + tag("p", NOTE, cls="evidence-note"))


def _row(row: Mapping[str, Any]) -> Html:
    fires = {True: "fires", False: "no", None: "–"}[row["fires"]]
    measures = (row["pre_activation"], row["auroc"], row["ap"], row["score"])
    numbers = ["–" if one is None else f"{one:.3f}" if place == 0 else _two(one) for place, one in enumerate(measures)]
    cells = [fires, *numbers, ORIGINS.get(row["origin"], row["origin"])]
    keyword = tag("b", row["keyword"]) if row["chosen"] else tag("span", row["keyword"])
    return tag("tr", tag("td", keyword), *(tag("td", cell) for cell in cells))


def _seed(seed: Fidelity, ours: Sequence[Fidelity]) -> list[object]:
    """The seed method's name and how well that predicts, on the same texts."""
    term = tag("span", "the seed method's name", cls="term", help=SEED)
    if ours and seed.label == ours[0].label:
        return [term, " is the same"]
    line: list[object] = [term, ": ", tag("span", seed.label)]
    return line if seed.auroc is None else [*line, Html(f" · AUROC {_two(seed.auroc)}, AP {_two(seed.ap)}")]


def _two(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}"


def summary(run: Opened) -> None:
    """How well the names of a run predict firing: ours beside the seed method's, over all features measured."""
    done = run.generation.done("labels")
    rows = {(row["predictor"], row["method"]): row for row in queries.fidelity_summary(run.store).to_pylist()}
    predictor = "resembles" if ("resembles", "ours") in rows else "contains"
    heading("How well names predict firing", _ground(rows.get((predictor, "ours"))), help=AUROC)
    if (predictor, "ours") not in rows or done is None:
        sentence("no feature of this run fires on enough held-out texts for its name to be measured.")
        return
    facts = done.facts
    told = facts.get("fidelity", {}).get(predictor, {})
    strip([*_means(told), *_distinct(facts)])
    names = {"ours": "features, our names", "seed": "features, the seed method's"}
    for place, (measure, title, explained) in zip(
        st.columns(2, gap="large"), (("auroc", "AUROC", AUROC), ("ap", "Average precision", AP)), strict=True
    ):
        with place:
            heading(title, "our names as bars, the seed method's as a line", help=explained)
            bins = queries.fidelity_bins(run.store, measure, predictor=predictor)
            chart(charts.text_spread(bins, title, names, accent=colours().accent), key=f"fidelity {measure}")


def _ground(row: Mapping[str, Any] | None) -> str:
    return f"{count(row['n_features'])} features, on texts their names were not made from" if row else ""


def _means(told: Mapping[str, Any]) -> list[Number]:
    """Mean AUROC and average precision of both methods, with their intervals over features."""
    numbers = []
    for measure, title in (("auroc", "AUROC"), ("ap", "average precision")):
        for method, whose in (("ours", "our names"), ("seed", "seed method's names")):
            mean, median = (told.get(method, {}).get(f"{measure}_{kind}") for kind in ("mean", "median"))
            if mean and median:
                help = (
                    f"Median {median['value']:.3f} ({median['low']:.3f}–{median['high']:.3f}). Intervals of 95 %: the "
                    "features drawn again 1,000 times (bootstrap)."
                )
                aside = f"{mean['low']:.3f}–{mean['high']:.3f}"
                numbers.append(Number(f"{mean['value']:.3f}", f"mean {title}, {whose}", help, aside))
    return numbers


def _distinct(facts: Mapping[str, Any]) -> list[Number]:
    """The share of names that are nobody else's."""
    named, distinct = facts.get("n_named", {}), facts.get("n_distinct", {})
    if not named.get("ours"):
        return []
    seed = percent(distinct["seed"] / named["seed"]) if named.get("seed") else "–"
    help = "Two names with the same words, in any order and case, are one name."
    return [Number(percent(distinct["ours"] / named["ours"]), f"of names distinct (seed method's {seed})", help)]

"""How well the labels of a run predict firing, ours beside the baseline."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pyarrow as pa
import streamlit as st

from featurelib import charts, queries
from featurelib.storage.store import Store
from featurelib.ui.kit.elements import Number, chart, count, heading, percent, sentence, strip
from featurelib.ui.kit.metrics import AP, AUROC
from featurelib.ui.kit.session import Opened
from featurelib.ui.kit.theme import remembered


def summary(run: Opened) -> None:
    """How well the labels of a run predict firing: ours beside the baseline's, over all features measured."""
    done = run.generation.done("labels")
    rows = {(row["predictor"], row["method"]): row for row in queries.fidelity_summary(run.store).to_pylist()}
    predictor = "resembles" if ("resembles", "ours") in rows else "contains"
    heading("How well names predict firing", _ground(rows.get((predictor, "ours"))), help=AUROC)
    if (predictor, "ours") not in rows or done is None:
        sentence("no feature of this run fires on enough label test texts for its name to be measured.")
        return
    facts = done.facts
    intervals = facts.get("fidelity", {}).get(predictor, {})
    strip([*_means(intervals), *_distinct(facts)])
    names = {"ours": "features, our names", "seed": "features, the baseline's"}
    for place, (measure, title, explained) in zip(
        st.columns(2, gap="large"), (("auroc", "AUROC", AUROC), ("ap", "Average precision", AP)), strict=True
    ):
        with place:
            heading(title, "our names as bars, the baseline's as a line", help=explained)
            bins = queries.fidelity_bins(run.store, measure, predictor=predictor)
            _spread(run.store, bins, title, names, f"fidelity {measure}")


def _spread(store: Store, bins: pa.Table, title: str, names: dict[str, str], name: str) -> None:
    figure = remembered(store, name, lambda seen: charts.text_spread(bins, title, names, accent=seen.accent))
    chart(figure, key=name)


def _ground(row: Mapping[str, Any] | None) -> str:
    return f"{count(row['n_features'])} features, on label test texts" if row else ""


def _means(intervals: Mapping[str, Any]) -> list[Number]:
    """Mean AUROC and average precision of both methods, with their intervals over features."""
    numbers = []
    for measure, title in (("auroc", "AUROC"), ("ap", "average precision")):
        for method, whose in (("ours", "our names"), ("seed", "baseline's names")):
            mean, median = (intervals.get(method, {}).get(f"{measure}_{kind}") for kind in ("mean", "median"))
            if mean and median:
                help = (
                    f"Median {median['value']:.3f} ({median['low']:.3f}–{median['high']:.3f}). Intervals of 95 %: the "
                    "features drawn again 1,000 times (bootstrap)."
                )
                aside = f"{mean['low']:.3f}–{mean['high']:.3f}"
                numbers.append(Number(f"{mean['value']:.3f}", f"mean {title}, {whose}", help, aside))
    return numbers


def _distinct(facts: Mapping[str, Any]) -> list[Number]:
    """The share of names that no other feature has."""
    named, distinct = facts.get("n_named", {}), facts.get("n_distinct", {})
    if not named.get("ours"):
        return []
    baseline = percent(distinct["seed"] / named["seed"]) if named.get("seed") else "–"
    help = "Two names with the same words, in any order and case, are one name."
    return [Number(percent(distinct["ours"] / named["ours"]), f"of names distinct (baseline's {baseline})", help)]

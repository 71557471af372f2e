"""What was measured of the SAE: the numbers of one split beside those of another, and how texts differ."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import pyarrow as pa
import streamlit as st

from featurelib import queries
from featurelib.queries import Metric
from featurelib.ui.kit.downloads import download
from featurelib.ui.kit.elements import Html, count, heading, html, number, percent, strip, tag
from featurelib.ui.kit.metrics import OF_TEXTS, OF_WEIGHTS, SPLITS, metric_help, metric_number
from featurelib.ui.kit.session import Opened
from featurelib.ui.kit.tables import Column, number_column, order_of_address, sorted_rows, table, text_column

FIRST = ("held_out", "unknown", "all", "train")
"""The splits, those first whose numbers may be trusted most."""
SHARES = ("dead_share", "dense_share_10", "dense_share_50")
QUANTILES = ("05", "25", "50", "75", "95")

COLUMNS = {
    "metric": text_column("metric", sort="metric"),
    "value": Column("value", show=lambda value: number(value, 4), sort="value"),
    "interval": text_column("95 % interval", phone=False),
    "split": text_column("split", sort="split"),
    "space": text_column("space", sort="space", phone=False),
    "n_texts": number_column("texts", sort="n_texts", phone=False),
    "formula": text_column("formula", sort="formula", phone=False),
}


def splits_of(metrics: Mapping[tuple[str, str], Metric]) -> dict[str, str]:
    """The split that the SAE is measured on and, where there is one, the split beside it: their names in words."""
    measured = {split for _, split in metrics}
    there = [split for split in FIRST if split in measured]
    shown = there[:1] + [split for split in ("train",) if split in there[1:]]
    return {split: SPLITS[split] for split in shown}


def lead(metrics: Mapping[tuple[str, str], Metric], split: str) -> str:
    """One sentence of what the numbers are measured on."""
    n = f"{max(metric.n_texts for metric in metrics.values() if metric.split == split):,}"
    if split == "held_out":
        return f"How well the features describe texts that the SAE was not trained on: {n} held-out texts."
    if split == "unknown":
        return (
            f"How well the features describe {n} texts of this run; which of them the SAE was trained on is not known, "
            "so no number here is a held-out one."
        )
    return f"How well the features describe the {n} texts that the SAE was trained on; none were held out."


def head(metrics: Mapping[tuple[str, str], Metric], split: str) -> None:
    """The strip of the numbers that matter; its FVU, L0 and shares are of one split."""
    usual, of_tokens = metrics.get(("fvu_usual", split)), ("features_of_text_q50", split) in metrics
    second = metric_number(metrics.get(("explained_variance", split)), "explained variance", percent)
    strip(
        [
            metric_number(metrics.get(("fvu", split)), "FVU, fraction of variance unexplained"),
            second if usual is None else metric_number(usual, "FVU of tokens of usual length"),
            metric_number(metrics.get(("l0", split)), f"L0, active features per {'token' if of_tokens else 'text'}"),
            metric_number(metrics.get(("dead_share", split)), "of features dead", percent),
            metric_number(metrics.get(("dense_share_10", split)), "of features dense (> 10 %)", percent),
        ]
    )


def dead(metrics: Mapping[tuple[str, str], Metric]) -> bool:
    """Whether no feature fires on any text of the run."""
    share = metrics.get(("dead_share", "all"))
    return share is not None and share.value == 1


def beside(metrics: Mapping[tuple[str, str], Metric], splits: Mapping[str, str]) -> None:
    """A table of the numbers measured on texts, a column for each split, with intervals; the formula on hover."""
    rows = [tag("tr", tag("th", ""), *(tag("th", name) for name in splits.values()), cls="head")]
    for metric, name in OF_TEXTS.items():
        cells = [metrics.get((metric, split)) for split in splits]
        first = next((cell for cell in cells if cell is not None), None)
        if first is not None:
            rows.append(tag("tr", _named(name, first), *(_cell(cell) for cell in cells)))
    html(tag("table", tag("tbody", *rows), cls="measures"))


def of_weights(metrics: Mapping[tuple[str, str], Metric]) -> None:
    """The numbers that need no texts."""
    measured = [(name, metrics.get((key, "weights"))) for key, name in OF_WEIGHTS.items()]
    thresholds = {
        metric.value for _, metric in measured if metric is not None and metric.metric.startswith("threshold")
    }
    rows = []
    for name, metric in measured:
        if metric is None or (len(thresholds) == 1 and metric.metric in ("threshold_min", "threshold_max")):
            continue
        name = "threshold of all features" if len(thresholds) == 1 and metric.metric == "threshold_median" else name
        rows.append(tag("tr", _named(name, metric), _cell(metric)))
    if rows:
        html(tag("table", tag("tbody", *rows), cls="measures"))


def _named(name: str, metric: Metric) -> Html:
    return tag("th", tag("span", name, cls="term", help=metric_help(metric)))


def _cell(metric: Metric | None) -> Html:
    if metric is None:
        return tag("td", "–")
    show = percent if metric.metric in SHARES else number
    if metric.low is None or not math.isfinite(metric.low):
        return tag("td", show(metric.value))
    return tag("td", show(metric.value), tag("small", f"{show(metric.low)} – {show(metric.high)}"))


def quantiles_of(metrics: Mapping[tuple[str, str], Metric], name: str, split: str) -> list[Metric]:
    """The quantiles of one number per text; none in a run that was encoded before they were kept."""
    return [quantile for share in QUANTILES if (quantile := metrics.get((f"{name}_q{share}", split))) is not None]


def quantile_row(quantiles: Sequence[Metric]) -> None:
    """Quantiles in a row, for under a chart."""
    show = "{:g}".format if quantiles and quantiles[0].metric.startswith(("text_l0", "features_of_text")) else number
    cells = [tag("span", tag("b", show(quantile.value)), f"{int(quantile.metric[-2:])} %") for quantile in quantiles]
    if cells:
        html(tag("div", *cells, cls="quantiles"))


def quantiles_help(quantiles: Sequence[Metric]) -> str:
    """How quantiles were measured, with their intervals, for the help of a heading."""
    if not quantiles:
        return ""
    first = quantiles[0]
    ends = "\n".join(
        f"{int(quantile.metric[-2:])} %: {number(quantile.low)} – {number(quantile.high)}" for quantile in quantiles
    )
    texts = f"{count(first.n_texts)} {SPLITS.get(first.split, first.split)}"
    return f"\nUnder the chart: quantiles over {texts}; their 95 % intervals, from order statistics:\n{ends}"


def all_rows(run: Opened) -> None:
    """All rows of the evaluation, each with its formula."""
    rows = queries.evaluation(run.store)
    with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute", key="all-rows"):
        heading("Every number", f"{rows.num_rows} rows, each with its formula")
        download(f"{run.name}-evaluation", lambda: rows, key="evaluation", what="Download")
    order = order_of_address(
        ["table", *(name for name in COLUMNS if name != "interval")], rising=("metric", "split", "space", "formula")
    )
    shown = _with_intervals(rows)
    table(
        shown if order.sort == "table" else sorted_rows(shown, order.sort, order),
        COLUMNS,
        page="evaluation.py",
        key="every",
        order=order,
    )


def _with_intervals(rows: pa.Table) -> pa.Table:
    """The rows of the evaluation with their intervals in words."""
    ends = zip(rows["low"].to_pylist(), rows["high"].to_pylist(), strict=True)
    known = [low is not None and math.isfinite(low) for low in rows["low"].to_pylist()]
    words = [f"{number(a)} – {number(b)}" if there else "" for (a, b), there in zip(ends, known, strict=True)]
    return rows.append_column("interval", pa.array(words))

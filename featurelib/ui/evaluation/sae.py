"""What was measured of the SAE: the numbers of one split beside those of another, and how texts differ."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import pyarrow as pa

from featurelib.queries import Metric
from featurelib.ui.kit.elements import Html, count, html, number, percent, strip, tag
from featurelib.ui.kit.metrics import SPLITS, metric_number, metric_told

FIRST = ("held_out", "unknown", "all", "train")
"""The splits by how honestly they judge the SAE."""
OF_TEXTS = {
    "fvu": "FVU, fraction of variance unexplained",
    "explained_variance": "explained variance",
    "fvu_normalised": "FVU where the SAE normalises embeddings",
    "cosine": "cosine to the reconstruction, mean",
    "norm_ratio": "length of the reconstruction, as a share",
    "l0": "L0, active features per text",
    "dead_share": "features that fire on none of them",
    "dense_share_10": "features that fire on > 10 %",
    "dense_share_50": "features that fire on > 50 %",
}
OF_WEIGHTS = {
    "redundancy": "cosine to the nearest other direction, mean",
    "alignment": "cosine of encoder and direction, mean",
    "threshold_min": "threshold, least",
    "threshold_median": "threshold, median",
    "threshold_max": "threshold, largest",
}
SHARES = ("dead_share", "dense_share_10", "dense_share_50")
QUANTILES = ("05", "25", "50", "75", "95")


def splits_of(found: Mapping[tuple[str, str], Metric]) -> dict[str, str]:
    """The split that judges the SAE and, where there is one, the one beside it: their names in words."""
    measured = {split for _, split in found}
    there = [split for split in FIRST if split in measured]
    shown = there[:1] + [split for split in ("train",) if split in there[1:]]
    return {split: SPLITS[split] for split in shown}


def lead(found: Mapping[tuple[str, str], Metric], split: str) -> str:
    """One sentence of what the numbers are measured on."""
    n = f"{max(one.n_texts for one in found.values() if one.split == split):,}"
    if split == "held_out":
        return f"How well the features describe texts that the SAE was not trained on: {n} held-out texts."
    if split == "unknown":
        return (
            f"How well the features describe {n} texts of this run; which of them the SAE was trained on is not known, "
            "so no number here is a held-out one."
        )
    return f"How well the features describe the {n} texts that the SAE was trained on; none were held out."


def head(found: Mapping[tuple[str, str], Metric], split: str) -> None:
    """The strip of the numbers that matter; its FVU, L0 and shares are of one split."""
    strip(
        [
            metric_number(found.get(("fvu", split)), "FVU, fraction of variance unexplained"),
            metric_number(found.get(("explained_variance", split)), "explained variance", percent),
            metric_number(found.get(("l0", split)), "L0, active features per text"),
            metric_number(found.get(("dead_share", split)), "of features dead", percent),
            metric_number(found.get(("dense_share_10", split)), "of features dense (> 10 %)", percent),
        ]
    )


def dead(found: Mapping[tuple[str, str], Metric]) -> bool:
    """Whether no feature fires on any text of the run."""
    share = found.get(("dead_share", "all"))
    return share is not None and share.value == 1


def beside(found: Mapping[tuple[str, str], Metric], splits: Mapping[str, str]) -> None:
    """Each number of texts, split beside split, with its interval; the formula on hover."""
    rows = [tag("tr", tag("th", ""), *(tag("th", name) for name in splits.values()), cls="head")]
    for metric, name in OF_TEXTS.items():
        cells = [found.get((metric, split)) for split in splits]
        first = next((one for one in cells if one is not None), None)
        if first is not None:
            rows.append(tag("tr", _named(name, first), *(_cell(one) for one in cells)))
    html(tag("table", tag("tbody", *rows), cls="measures"))


def of_weights(found: Mapping[tuple[str, str], Metric]) -> None:
    """The numbers that need no texts."""
    held = [(name, found.get((metric, "weights"))) for metric, name in OF_WEIGHTS.items()]
    thresholds = {one.value for _, one in held if one is not None and one.metric.startswith("threshold")}
    rows = []
    for name, one in held:
        if one is None or (len(thresholds) == 1 and one.metric in ("threshold_min", "threshold_max")):
            continue
        name = "threshold of all features" if len(thresholds) == 1 and one.metric == "threshold_median" else name
        rows.append(tag("tr", _named(name, one), _cell(one)))
    if rows:
        html(tag("table", tag("tbody", *rows), cls="measures"))


def _named(name: str, metric: Metric) -> Html:
    return tag("th", tag("span", name, cls="term", help=metric_told(metric)))


def _cell(metric: Metric | None) -> Html:
    if metric is None:
        return tag("td", "–")
    show = percent if metric.metric in SHARES else number
    if metric.low is None or not math.isfinite(metric.low):
        return tag("td", show(metric.value))
    return tag("td", show(metric.value), tag("small", f"{show(metric.low)} – {show(metric.high)}"))


def quantiles_of(found: Mapping[tuple[str, str], Metric], name: str, split: str) -> list[Metric]:
    """The quantiles of one number per text; none in a run that was encoded before they were kept."""
    return [one for share in QUANTILES if (one := found.get((f"{name}_q{share}", split))) is not None]


def quantile_row(held: Sequence[Metric]) -> None:
    """Quantiles in a row, for under a chart."""
    show = "{:g}".format if held and held[0].metric.startswith("text_l0") else number
    cells = [tag("span", tag("b", show(one.value)), f"{int(one.metric[-2:])} %") for one in held]
    if cells:
        html(tag("div", *cells, cls="quantiles"))


def quantiles_told(held: Sequence[Metric]) -> str:
    """How quantiles were measured, with their intervals, for the help of a heading."""
    if not held:
        return ""
    one = held[0]
    ends = "\n".join(f"{int(each.metric[-2:])} %: {number(each.low)} – {number(each.high)}" for each in held)
    texts = f"{count(one.n_texts)} {SPLITS.get(one.split, one.split)}"
    return f"\nUnder the chart: quantiles over {texts}; their 95 % intervals, from order statistics:\n{ends}"


def table(rows: pa.Table) -> pa.Table:
    """The rows of the evaluation with their intervals in words."""
    ends = zip(rows["low"].to_pylist(), rows["high"].to_pylist(), strict=True)
    known = [low is not None and math.isfinite(low) for low in rows["low"].to_pylist()]
    words = [f"{number(a)} – {number(b)}" if there else "" for (a, b), there in zip(ends, known, strict=True)]
    return rows.append_column("interval", pa.array(words))

"""Measured numbers of the SAE as pages show them: the number, its interval, its formula on hover."""

from __future__ import annotations

import math
from collections.abc import Callable

from featurelib.queries import Metric
from featurelib.ui.kit.elements import Number, count, number

OF_TEXTS = {
    "fvu": "FVU, fraction of variance unexplained",
    "fvu_usual": "FVU of tokens of usual length",
    "explained_variance": "explained variance",
    "fvu_normalised": "FVU where the SAE normalises embeddings",
    "cosine": "cosine to the reconstruction, mean",
    "norm_ratio": "length of the reconstruction, as a share",
    "l0": "L0, active features",
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
SPLITS = {
    "held_out": "held-out texts",
    "train": "training texts",
    "all": "all texts",
    "unknown": "texts of unknown split",
}
SPACES = {
    "raw": "in the embedder's own space",
    "normalised": "in the space to which the SAE normalises embeddings",
    "activations": "on activations",
    "pre-activations": "on the thresholds of the features",
    "decoder": "on the directions of the features",
    "weights": "on the weights of the SAE",
}

AUROC = (
    "The probability that a text on which the feature fires is more similar to the name than a text on which it does "
    "not: 0.5 is chance, 1 perfect. Similarity: the cosine between the text's embedding and the mean of the keywords' "
    "embeddings. Measured once, on texts that the name was neither made from nor chosen on; 95 % interval by Newcombe."
)
AP = (
    "Average precision of the same ranking. Chance is the share of these texts on which the feature fires; 95 % "
    "interval by Wilson."
)


def metric_help(metric: Metric) -> str:
    """How a metric was measured, in words: its formula, the texts, the space."""
    where = SPACES.get(metric.space, f"in the space of {metric.space}")
    texts = f"{count(metric.n_texts)} {SPLITS.get(metric.split, metric.split)}"
    measured = f"Measured on {texts}, {where}." if metric.n_texts else f"Measured {where}."
    return f"{metric.formula}\n{measured}"


def metric_number(metric: Metric | None, name: str, show: Callable[[float], str] = number) -> Number:
    """A metric for the strip, with its interval, and with its formula, split, space and number of texts on hover."""
    if metric is None:
        return Number("–", name, "Not measured in this run yet.")
    name, help = f"{name}, {SPLITS.get(metric.split, metric.split)}", metric_help(metric)
    if metric.low is None or metric.high is None or not math.isfinite(metric.low):
        return Number(show(metric.value), name, help)
    interval = f"{show(metric.low)} – {show(metric.high)}"
    return Number(show(metric.value), name, f"{help}\nIn small: its 95 % interval.", interval)

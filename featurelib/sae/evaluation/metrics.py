"""What is reported of an SAE: each number with its formula, its split, its space and its 95 % interval."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from featurelib.stats import Estimate, quantile_interval

QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
"""The quantiles that are reported of a distribution."""
_MEAN = "interval: normal approximation"
_COUNT = "a count, so without interval"
_WEIGHTS = "a property of the weights, so without interval"

FORMULAS = {
    "fvu": "Σ‖x−x̂‖² / Σ‖x−x̄‖², x̄ the mean of the split's texts; interval: delta method for a ratio of sums over texts",
    "explained_variance": "1 − FVU, sums over all texts before the ratio; not the mean over texts of "
    "1 − ‖x−x̂‖²/‖x−x̄‖² (SAELens' legacy one), nor 1 − ΣVar(x−x̂)/ΣVar(x), which a constant error escapes "
    "(dictionary_learning); interval: delta method",
    "fvu_normalised": "Σ‖xn−r‖² / Σ‖xn−x̄n‖², xn the embedding as the SAE normalises it, r = a·W_dec + b_dec before the "
    "way back, x̄n the mean of the split's xn; interval: delta method",
    "fvu_usual": "FVU over the tokens that are at most 5 times as long as the median token, x̄ the mean of all the "
    "split's tokens; interval: delta method for a ratio of sums over texts",
    "cosine": f"mean over texts of cos(x, x̂); {_MEAN}",
    "norm_ratio": f"mean over texts of ‖x̂‖/‖x‖; where it is below the cosine, reconstructions are too short; {_MEAN}",
    "l0": f"mean over texts of the number of active features; {_MEAN}",
    "dead_share": f"share of features that are active on none of the split's texts; {_COUNT}",
    "dense_share_10": f"share of features active on more than 10 % of the split's texts; {_COUNT}",
    "dense_share_50": f"share of features active on more than 50 % of the split's texts; {_COUNT}",
    "redundancy": f"mean over features of the largest cosine between its direction and another's; {_WEIGHTS}",
    "alignment": f"mean over features of cos(W_enc[:, f], W_dec[f]), 0 where one of them is 0; {_WEIGHTS}",
    "threshold_min": f"least over features of the pre-activation that each must pass to fire; {_WEIGHTS}",
    "threshold_median": f"median over features of the pre-activation that each must pass to fire; {_WEIGHTS}",
    "threshold_max": f"largest over features of the pre-activation that each must pass to fire; {_WEIGHTS}",
}
_OF_TEXTS = "interval: delta method for a ratio of sums over texts"
TOKEN_FORMULAS = {
    "fvu": f"Σ‖x−x̂‖² / Σ‖x−x̄‖² over tokens, x̄ the mean of the split's tokens; {_OF_TEXTS}",
    "explained_variance": "1 − FVU, sums over all tokens before the ratio; not 1 − E‖x−x̂‖² / (E‖x‖² − (mean of "
    f"E[x²])²), which is nearly the variance about zero (SAELens 6.18); {_OF_TEXTS}",
    "cosine": f"mean over tokens of cos(x, x̂); {_OF_TEXTS}",
    "norm_ratio": f"mean over tokens of ‖x̂‖/‖x‖; {_OF_TEXTS}",
    "l0": f"mean over tokens of the number of active features; {_OF_TEXTS}",
}
"""The formulas of a token run, whose SAE reads the hidden state of each token."""
PER_TEXT = {
    "text_fvu": "‖x−x̂‖²/‖x−x̄‖², x̄ the mean of all the run's texts; texts that are that mean are left out",
    "text_cosine": "cos(x, x̂)",
    "text_l0": "the number of active features",
    "token_fvu": "Σ‖x−x̂‖²/Σ‖x−x̄‖² over a text's tokens, x̄ the mean of all the run's tokens",
    "features_of_text": "the number of features whose pooled activation is above 0",
}
"""The distributions over texts, of which quantiles are reported."""
SPACES = {
    "fvu": "raw",
    "fvu_usual": "raw",
    "explained_variance": "raw",
    "fvu_normalised": "normalised",
    "cosine": "raw",
    "norm_ratio": "raw",
    "redundancy": "decoder",
    "alignment": "weights",
    "threshold_min": "pre-activations",
    "threshold_median": "pre-activations",
    "threshold_max": "pre-activations",
    "text_fvu": "raw",
    "token_fvu": "raw",
    "text_cosine": "raw",
}
"""The space in which a metric is measured; of the others that is activations."""


class Metric(NamedTuple):
    """One row of the evaluation: the columns of schema.EVALUATION."""

    metric: str
    """Its name: a key of FORMULAS, or one of PER_TEXT with its quantile, such as text_cosine_q05."""
    value: float
    """What was measured."""
    low: float | None
    """The lower end of the 95 % interval, None for a count."""
    high: float | None
    """The upper end."""
    split: str
    """train, held_out, unknown, all, or weights."""
    space: str
    """raw (embeddings), normalised (embeddings as the SAE normalises them), activations, pre-activations, decoder or
    weights (encoder and decoder)."""
    n_texts: int
    """How many texts it was measured on; 0 for the weights."""
    formula: str
    """What was computed, and how the interval was."""


def estimated(name: str, estimate: Estimate, split: str, n_texts: int) -> Metric:
    """Return the row of a metric with its interval."""
    return Metric(name, *estimate, split, SPACES.get(name, "activations"), n_texts, FORMULAS[name])


def counted(name: str, value: float, split: str, n_texts: int = 0) -> Metric:
    """Return the row of a metric that has no interval."""
    return Metric(name, value, None, None, split, SPACES.get(name, "activations"), n_texts, FORMULAS[name])


def quantile_name(name: str, share: float) -> str:
    """Return the name of a quantile's metric, such as text_fvu_q05."""
    return f"{name}_q{round(100 * share):02d}"


def distribution(name: str, values: np.ndarray, split: str) -> list[Metric]:
    """Return the quantiles of one number per text, of the texts where it is finite; nothing where it is nowhere."""
    values = np.sort(values[np.isfinite(values)].astype(np.float64))
    if not len(values):
        return []
    description = f"over texts of {PER_TEXT[name]}; linear between neighbours; interval: order statistics"
    return [
        Metric(
            quantile_name(name, share),
            *quantile_interval(values, share),
            split,
            SPACES.get(name, "activations"),
            len(values),
            f"{100 * share:.0f} % quantile {description}",
        )
        for share in QUANTILES
    ]

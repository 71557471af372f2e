"""What is reported of losses: cross-entropy with each replacement, what of it is recovered, where it hurts most."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from featurelib.language_model.cross_entropy import Losses
from featurelib.schema.records import LossMetric
from featurelib.stats import ratio_interval

MOST_HURT = 100
"""Tokens that are kept of those whose loss rises most."""
_MEAN = "mean over predicted tokens of"
_WITH = "in place of the hidden states of the text's tokens, in nats; interval: delta method for a ratio over texts"
_SUMS = "sums over all predicted tokens before the ratio; interval: delta method for a ratio of sums over texts"

FORMULAS = {
    "ce_clean": f"{_MEAN} −log p(token), the model left alone, in nats; interval: delta method for a ratio over texts",
    "ce_sae": f"{_MEAN} −log p(token) with the SAE's reconstruction {_WITH}",
    "ce_zero": f"{_MEAN} −log p(token) with zeros {_WITH}",
    "ce_mean": f"{_MEAN} −log p(token) with the mean hidden state of these texts' tokens {_WITH}",
    "ce_increase": f"{_MEAN} CE_sae − CE_clean, in nats; interval: delta method for a ratio over texts",
    "ce_recovered": "(CE_zero − CE_sae) / (CE_zero − CE_clean): 1 is as good as the model, 0 as zeros; not given where "
    f"zeros cost nothing; {_SUMS}",
    "ce_recovered_mean": "(CE_mean − CE_sae) / (CE_mean − CE_clean): 1 is as good as the model, 0 as the mean; not "
    f"given where the mean costs nothing; {_SUMS}",
    "kl": f"{_MEAN} KL(clean ‖ SAE) = Σ p·log(p/q) over the vocabulary, in nats; interval: delta method for a ratio "
    "over texts",
}


class HurtToken(NamedTuple):
    """A token whose loss rises: the columns of schema.TOKEN_LOSSES."""

    rank: int
    """1 where it rises most."""
    text_id: int
    """The text it is of."""
    position: int
    """Its place among the tokens of that text."""
    token_id: int
    """Its number in the vocabulary."""
    start: int
    """Its first character in its text."""
    end: int
    """The character after its last."""
    clean: float
    """−log p of it with the model left alone."""
    reconstructed: float
    """With the reconstruction."""


def evaluate_losses(losses: Losses, split: str) -> list[LossMetric]:
    """Return the metrics of the tokens of some texts; none where nothing was predicted.

    Nothing is recovered, so no share of it is given, where zeros or the mean cost the model nothing.
    """
    _, of_text = np.unique(losses.texts, return_inverse=True)
    counts = np.bincount(of_text).astype(np.float64)
    clean, sae, zero, mean, divergence = (
        np.bincount(of_text, column.astype(np.float64)) for column in losses[Losses._fields.index("clean") :]
    )
    ratios = {
        "ce_clean": (clean, counts),
        "ce_sae": (sae, counts),
        "ce_zero": (zero, counts),
        "ce_mean": (mean, counts),
        "ce_increase": (sae - clean, counts),
        "ce_recovered": (zero - sae, zero - clean),
        "ce_recovered_mean": (mean - sae, mean - clean),
        "kl": (divergence, counts),
    }
    return [
        LossMetric(name, *ratio_interval(above, below), split, len(counts), len(losses.texts), FORMULAS[name])
        for name, (above, below) in ratios.items()
        if below.sum() > 0
    ]


def hurt_most(losses: Losses, most: int = MOST_HURT) -> list[HurtToken]:
    """Return the tokens whose loss the reconstruction raises most, first the worst; equal ones in the texts' order."""
    rise = losses.sae - losses.clean
    order = np.lexsort((losses.positions, losses.texts, -rise))[:most]
    columns = (*losses[:5], losses.clean, losses.sae)
    rows = zip(*(column[order].tolist() for column in columns), strict=True)
    return [HurtToken(rank, *row) for rank, row in enumerate(rows, start=1) if row[-1] > row[-2]]

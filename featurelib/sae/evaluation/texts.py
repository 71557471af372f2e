"""How well each text is reconstructed, and from that how well a split of the texts is.

A split's FVU takes the mean of that split's texts as its x̄; a single text's FVU takes that of all the run's texts, so
that texts can be compared.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from featurelib.sae.evaluation.metrics import TOKEN_FORMULAS, Metric, distribution, estimated
from featurelib.stats import Estimate, mean_interval, ratio_interval

if TYPE_CHECKING:
    from featurelib.sae.model import SAE
    from featurelib.storage.embeddings import EmbeddingParts

EQUAL = 1e-14
"""A text that is nearer to the mean than this share of its own squared length is the mean, but for rounding."""


class Moments(NamedTuple):
    """The sums that a mean and a total variance are made of."""

    n: int
    """Rows."""
    total: np.ndarray
    """Σx, float64 [d]."""

    @classmethod
    def none(cls, d: int) -> Moments:
        """Return the sums of no rows."""
        return cls(0, np.zeros(d))

    def add(self, x: np.ndarray) -> Moments:
        """Return the sums with rows x [n, d] added."""
        return Moments(self.n + len(x), self.total + x.sum(axis=0, dtype=np.float64))

    @property
    def mean(self) -> np.ndarray:
        """x̄, float64 [d]; zeros of no rows."""
        mean: np.ndarray = self.total / max(1, self.n)
        return mean


@dataclass(frozen=True)
class Quality:
    """How well texts are reconstructed; arrays of one length, an entry per text."""

    n_active: np.ndarray
    """Active features, int32."""
    error: np.ndarray
    """‖x − x̂‖², float64."""
    spread: np.ndarray
    """‖x − x̄‖² with x̄ the mean of all the run's texts, float64."""
    split_spread: np.ndarray
    """‖x − x̄‖² with x̄ the mean of the texts of the same split, float64."""
    cosine: np.ndarray
    """cos(x, x̂), float64; 0 where x or x̂ is 0."""
    norm_ratio: np.ndarray
    """‖x̂‖/‖x‖, float64; NaN where x is 0."""

    @property
    def fvu(self) -> np.ndarray:
        """‖x − x̂‖² / ‖x − x̄‖² of each text, float64; infinite where a text is the mean itself."""
        with np.errstate(divide="ignore", invalid="ignore"):
            shares: np.ndarray = self.error / self.spread
        return shares


def measure_texts(
    x: np.ndarray, rebuilt: np.ndarray, n_active: np.ndarray, mean: np.ndarray, split_means: np.ndarray
) -> Quality:
    """Compare embeddings x [n, d] with their reconstructions; `split_means` [n, d] holds each text's split's mean."""
    x, rebuilt = x.astype(np.float64), rebuilt.astype(np.float64)
    length, rebuilt_length = np.linalg.norm(x, axis=1), np.linalg.norm(rebuilt, axis=1)
    products, lengths = (x * rebuilt).sum(axis=1), length * rebuilt_length
    rounding = EQUAL * (x**2).sum(axis=1)
    return Quality(
        n_active=n_active.astype(np.int32),
        error=((x - rebuilt) ** 2).sum(axis=1),
        spread=_above(((x - mean) ** 2).sum(axis=1), rounding),
        split_spread=_above(((x - split_means) ** 2).sum(axis=1), rounding),
        cosine=np.divide(products, lengths, out=np.zeros_like(products), where=lengths > 0),
        norm_ratio=np.divide(rebuilt_length, length, out=np.full_like(length, np.nan), where=length > 0),
    )


def _above(spread: np.ndarray, rounding: np.ndarray) -> np.ndarray:
    return np.where(spread > rounding, spread, 0.0)


def measure_sae(sae: SAE, embeddings: EmbeddingParts) -> dict[str, float | None]:
    """Return FVU (raw space, x̄ the mean of these texts), L0 and the share of features that fire on none of them.

    There is no FVU (None) of texts that are all the same.
    """
    mean = sum((Moments.none(embeddings.d).add(rows).total for rows in embeddings.in_order()), np.zeros(embeddings.d))
    mean = mean / max(1, embeddings.n)
    error, spread, n_active = 0.0, 0.0, 0
    fired = np.zeros(sae.n_features, bool)
    for rows in embeddings.in_order():
        sparse = sae.encode_sparse(rows)
        rebuilt = sae.rebuild(rows, sparse).cpu().numpy()
        error += float(((rows.astype(np.float64) - rebuilt) ** 2).sum())
        rounding = EQUAL * (rows.astype(np.float64) ** 2).sum(axis=1)
        spread += float(_above(((rows - mean) ** 2).sum(axis=1), rounding).sum())
        n_active += len(sparse.rows)
        fired[sparse.feature_ids.numpy()] = True
    return {
        "fvu": error / spread if spread else None,
        "l0": n_active / max(1, embeddings.n),
        "dead_share": float(1 - fired.mean()),
    }


def evaluate_texts(quality: Quality, split: str) -> list[Metric]:
    """Return what holds of the texts of one split: FVU, explained variance, cosine, lengths, L0, and distributions."""
    n = len(quality.error)
    fvu, low, high = ratio_interval(quality.error, quality.split_spread)
    lengths = quality.norm_ratio[np.isfinite(quality.norm_ratio)]
    rows = [
        estimated("fvu", Estimate(fvu, low, high), split, n),
        estimated("explained_variance", Estimate(1 - fvu, 1 - high, 1 - low), split, n),
        estimated("cosine", mean_interval(quality.cosine), split, n),
        estimated("l0", mean_interval(quality.n_active.astype(np.float64)), split, n),
    ]
    if len(lengths):
        rows.append(estimated("norm_ratio", mean_interval(lengths), split, len(lengths)))
    rows += distribution("text_fvu", quality.fvu, split)
    rows += distribution("text_cosine", quality.cosine, split)
    return rows + distribution("text_l0", quality.n_active, split)


def evaluate_tokens(quality: Quality, n_tokens: np.ndarray, n_fired: np.ndarray, split: str) -> list[Metric]:
    """Return what holds of the tokens of one split's texts.

    `quality` holds for each text the sums of errors and spreads over its tokens, and the means of cosine and lengths;
    n_tokens and n_fired [n_texts] count its tokens and the features that fire on them, token by token. Intervals take
    texts as what was drawn, because the tokens of a text resemble each other.
    """
    n = len(quality.error)
    fvu, low, high = ratio_interval(quality.error, quality.split_spread)
    ratios = {
        "fvu": Estimate(fvu, low, high),
        "explained_variance": Estimate(1 - fvu, 1 - high, 1 - low),
        "cosine": ratio_interval(quality.cosine * n_tokens, n_tokens),
        "l0": ratio_interval(n_fired, n_tokens),
        "norm_ratio": ratio_interval(quality.norm_ratio * n_tokens, n_tokens),
    }
    total = f"{int(n_tokens.sum()):,} tokens"
    rows = [
        estimated(name, estimate, split, n)._replace(formula=f"{TOKEN_FORMULAS[name]}; {total}")
        for name, estimate in ratios.items()
    ]
    for name, values in (("token_fvu", quality.fvu), ("features_of_text", quality.n_active)):
        rows += distribution(name, values, split)
    return rows


def evaluate_usual_tokens(
    error: np.ndarray, spread: np.ndarray, n_usual: np.ndarray, n_tokens: int, split: str
) -> list[Metric]:
    """Return the FVU of one split's tokens of usual length, from each text's sums; nothing where all are usual.

    A few tokens with a state tens of times as long as the others' (attention sinks) hold most of the variance, so the
    FVU over all tokens says little of the others.
    """
    n = int(n_usual.sum())
    if n == n_tokens:
        return []
    metric = estimated("fvu_usual", ratio_interval(error, spread), split, len(error))
    return [metric._replace(formula=f"{metric.formula}; {n:,} of {n_tokens:,} tokens")]


def evaluate_normalised(error: np.ndarray, spread: np.ndarray, split: str) -> list[Metric]:
    """Return the FVU of one split in the space in which a normalising SAE works, from ‖xn−r‖² and ‖xn−x̄n‖²."""
    return [estimated("fvu_normalised", ratio_interval(error, spread), split, len(error))]

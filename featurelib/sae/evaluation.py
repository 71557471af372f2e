"""How good a SAE is, and how sure we are: every number with its formula, its split and a 95 % interval.

The errors are those of the raw embedding space. A split's FVU takes the mean of that split's texts as its x̄; a single
text's FVU takes that of all the run's texts, so that texts can be compared.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from featurelib.sae.embeddings import EmbeddingParts
    from featurelib.sae.model import SAE

NORMAL_95 = 1.959963984540054
EQUAL = 1e-14
"""A text that is nearer to the mean than this share of its own squared length is the mean, but for rounding."""
BLOCK = 512
"""Features whose cosines with all others are held at a time."""

FORMULAS = {
    "fvu": "Σ‖x−x̂‖² / Σ‖x−x̄‖², x̄ the mean of the split's texts; interval: delta method for a ratio of sums over texts",
    "explained_variance": "1 − FVU; interval: delta method",
    "cosine": "mean over texts of cos(x, x̂); interval: normal approximation",
    "l0": "mean over texts of the number of active features; interval: normal approximation",
    "dead_share": "share of features that are active on none of the split's texts; a count, so without interval",
    "dense_share_10": "share of features active on more than 10 % of the split's texts; a count, so without interval",
    "dense_share_50": "share of features active on more than 50 % of the split's texts; a count, so without interval",
    "redundancy": "mean over features of the largest cosine between its direction and another's; a property of the "
    "weights, so without interval",
}
SPACES = {"fvu": "raw", "explained_variance": "raw", "cosine": "raw", "redundancy": "decoder"}


class Metric(NamedTuple):
    """One row of the evaluation: the columns of schema.EVALUATION."""

    metric: str
    """Its name, a key of FORMULAS."""
    value: float
    """What was measured."""
    low: float | None
    """The lower end of the 95 % interval, None for a count."""
    high: float | None
    """The upper end."""
    split: str
    """train, held_out, unknown, all, or weights."""
    space: str
    """raw (embeddings), activations or decoder."""
    n_texts: int
    """How many texts it was measured on."""
    formula: str
    """What was computed, and how the interval was."""


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
        return self.total / max(1, self.n)


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

    @property
    def fvu(self) -> np.ndarray:
        """‖x − x̂‖² / ‖x − x̄‖² of each text, float64; infinite where a text is the mean itself."""
        with np.errstate(divide="ignore", invalid="ignore"):
            return self.error / self.spread


def measure_texts(
    x: np.ndarray, rebuilt: np.ndarray, n_active: np.ndarray, mean: np.ndarray, split_means: np.ndarray
) -> Quality:
    """Compare embeddings x [n, d] with their reconstructions; `split_means` [n, d] holds each text's split's mean."""
    x, rebuilt = x.astype(np.float64), rebuilt.astype(np.float64)
    lengths = np.linalg.norm(x, axis=1) * np.linalg.norm(rebuilt, axis=1)
    products = (x * rebuilt).sum(axis=1)
    rounding = EQUAL * (x**2).sum(axis=1)
    return Quality(
        n_active=n_active.astype(np.int32),
        error=((x - rebuilt) ** 2).sum(axis=1),
        spread=_above(((x - mean) ** 2).sum(axis=1), rounding),
        split_spread=_above(((x - split_means) ** 2).sum(axis=1), rounding),
        cosine=np.divide(products, lengths, out=np.zeros_like(products), where=lengths > 0),
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
        rebuilt = sae.decode(sparse, sae.scale(rows), n=len(rows)).numpy()
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


def mean_interval(values: np.ndarray) -> tuple[float, float, float]:
    """Return the mean and its 95 % interval by the normal approximation; the interval of one value is itself."""
    mean = float(values.mean())
    half = NORMAL_95 * float(values.std(ddof=1)) / len(values) ** 0.5 if len(values) > 1 else 0.0
    return mean, mean - half, mean + half


def ratio_interval(above: np.ndarray, below: np.ndarray) -> tuple[float, float, float]:
    """Return Σabove / Σbelow and its 95 % interval by the delta method; NaN where Σbelow is 0."""
    total = float(below.sum())
    if total == 0:
        return float("nan"), float("nan"), float("nan")
    ratio = float(above.sum()) / total
    rest = above - ratio * below
    n = len(rest)
    half = NORMAL_95 * float(np.sqrt((rest**2).sum() / max(1, n - 1) * n)) / total if n > 1 else 0.0
    return ratio, ratio - half, ratio + half


def evaluate_texts(
    error: np.ndarray, spread: np.ndarray, cosine: np.ndarray, n_active: np.ndarray, split: str
) -> list[Metric]:
    """Return FVU, explained variance, cosine and L0 of the texts of one split."""
    fvu, low, high = ratio_interval(error, spread)
    rows = {
        "fvu": (fvu, low, high),
        "explained_variance": (1 - fvu, 1 - high, 1 - low),
        "cosine": mean_interval(cosine),
        "l0": mean_interval(n_active.astype(np.float64)),
    }
    return [
        Metric(name, *values, split, SPACES.get(name, "activations"), len(error), FORMULAS[name])
        for name, values in rows.items()
    ]


def evaluate_features(n_active: np.ndarray, n_texts: int, split: str) -> list[Metric]:
    """Return the shares of dead and dense features; n_active [n_features] counts the texts each is active on."""
    density = n_active / max(1, n_texts)
    shares = {
        "dead_share": float((n_active == 0).mean()),
        "dense_share_10": float((density > 0.1).mean()),
        "dense_share_50": float((density > 0.5).mean()),
    }
    return [
        Metric(name, value, None, None, split, "activations", n_texts, FORMULAS[name]) for name, value in shares.items()
    ]


def evaluate_weights(sae: SAE) -> list[Metric]:
    """Return how much the directions repeat each other."""
    if sae.n_features < 2:
        return []
    largest = np.concatenate([cosines.max(axis=1) for _, cosines in direction_cosines(sae)])
    return [
        Metric(
            "redundancy", float(largest.mean()), None, None, "weights", SPACES["redundancy"], 0, FORMULAS["redundancy"]
        )
    ]


def direction_cosines(sae: SAE) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield feature_ids [b] and their directions' cosines with all, float64 [b, n_features], −2 with themselves."""
    directions = sae.W_dec.numpy().astype(np.float64)
    lengths = np.linalg.norm(directions, axis=1, keepdims=True)
    directions /= np.where(lengths > 0, lengths, 1)
    for start in range(0, len(directions), BLOCK):
        ids = np.arange(start, min(start + BLOCK, len(directions)))
        cosines = directions[ids] @ directions.T
        cosines[np.arange(len(ids)), ids] = -2
        yield ids, cosines


class Nearest(NamedTuple):
    """For each feature its nearest others: columns of schema.NEIGHBOUR_ROWS."""

    feature_id: np.ndarray
    """int32."""
    rank: np.ndarray
    """int32, from 1."""
    neighbour_id: np.ndarray
    """int32."""
    cosine: np.ndarray
    """float32."""


def nearest_directions(sae: SAE, limit: int, *, opposite: bool = False) -> Nearest:
    """Return each feature's `limit` nearest directions (`opposite`: farthest), by cosine, then by feature_id."""
    limit = min(limit, sae.n_features - 1)
    order, values = [], []
    for _, cosines in direction_cosines(sae):
        itself = cosines == -2
        near = np.where(itself, np.float32(np.inf), (cosines if opposite else -cosines).astype(np.float32))
        chosen = _smallest(near, limit)
        order.append(chosen)
        values.append(np.take_along_axis(near, chosen, axis=1) * (1 if opposite else -1))
    n = sae.n_features
    return Nearest(
        np.repeat(np.arange(n, dtype=np.int32), limit),
        np.tile(np.arange(1, limit + 1, dtype=np.int32), n),
        np.concatenate(order).astype(np.int32).ravel(),
        np.concatenate(values).astype(np.float32).ravel() + np.float32(0),
    )


def _smallest(values: np.ndarray, limit: int) -> np.ndarray:
    """Return the columns of each row's smallest values, ties by column."""
    return np.argsort(values, axis=1, kind="stable")[:, :limit]

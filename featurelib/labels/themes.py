"""The texts of one feature → the two or three themes that they are of, where they clearly are.

Unit embeddings, the corpus' mean taken off, are clustered by k-means into two and into three. A division counts where
texts that it was not made from lie in it as well: their mean silhouette by cosine is at least .15, each cluster holds
at least a fifth of both sets of texts, and four or five clusters do not fit them better. Silhouette of a text:
(a − b) / (1 − min(a, b)), a being its mean cosine to the other texts of its own cluster and b to those of the nearest
other (Rousseeuw, Journal of Computational and Applied Mathematics 20, 1987, 53, with distance 1 − cosine).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

LEAST_TEXTS, LEAST_OTHERS = 20, 8
"""Texts from which themes are made, and others on which they are tried."""
NUMBERS, MORE = (2, 3), (4, 5)
LEAST_SHARE = 0.2
SILHOUETTE = 0.15
LEAST_HELD, HOLDING, LIFT = 0.25, 3, 3.0
"""A theme's phrase stands in at least this share of its texts and so many; its share is so many times the others'."""
NEARER = 0.1
"""A theme's phrase is nearer to the theme than to the others by at least this cosine."""


def find_themes(units: np.ndarray, others: np.ndarray, seed: int = 0) -> np.ndarray | None:
    """Return the centres of a feature's themes, float32 [k, d] at length 1, k being 2 or 3; None where it has others.

    With several threads sums run in any order: for equal centres from equal texts, limit them to one.

    `units` are the centred unit embeddings of its texts, float32 [n, d]; `others` those of texts on which it is tried.
    """
    if len(units) < LEAST_TEXTS or len(others) < LEAST_OTHERS:
        return None
    values = {number: _divided(units, others, number, seed) for number in NUMBERS}
    value, centres = max(values.values(), key=lambda division: division[0])
    if value < SILHOUETTE:
        return None
    # where more clusters fit better, two or three are not what the texts are of
    finer = max(_divided(units, others, number, seed, least_share=0.0)[0] for number in MORE)
    return None if finer > value else centres


def _divided(
    units: np.ndarray, others: np.ndarray, number: int, seed: int, least_share: float = LEAST_SHARE
) -> tuple[float, np.ndarray]:
    """The silhouette of the others, -1 where a cluster is too small, and the centres."""
    from sklearn.cluster import KMeans

    centres = KMeans(number, n_init=4, random_state=seed).fit(units).cluster_centers_.astype(np.float32)
    centres /= np.maximum(np.linalg.norm(centres, axis=1, keepdims=True), 1e-12)
    nearest = of_theme(others, centres)
    least = min(min(shares(nearest, number)), min(shares(of_theme(units, centres), number)))
    return (silhouette(others, nearest, number) if least >= least_share else -1.0), centres


def of_theme(units: np.ndarray, centres: np.ndarray) -> np.ndarray:
    """Return the theme whose centre is nearest to each text, int64 [n]."""
    nearest: np.ndarray = (units @ centres.T).argmax(axis=1)
    return nearest


def silhouette(units: np.ndarray, clusters: np.ndarray, n_clusters: int) -> float:
    """Return the mean silhouette of texts in clusters, by cosine; see above. A text alone in its cluster counts 0.

    It is -1 where all texts are in one cluster.
    """
    if len(np.unique(clusters)) < 2:
        return -1.0
    member = np.eye(n_clusters)[clusters]
    sizes = member.sum(axis=0)
    totals = units @ (units.T @ member)
    rows = np.arange(len(units))
    own_size = sizes[clusters]
    own = (totals[rows, clusters] - (units**2).sum(axis=1)) / np.maximum(own_size - 1, 1)
    means = totals / np.maximum(sizes, 1)
    means[rows, clusters] = -np.inf
    means[:, sizes == 0] = -np.inf
    other = means.max(axis=1)
    values = (own - other) / np.maximum(1 - np.minimum(own, other), 1e-12)
    return float(np.where(own_size > 1, values, 0.0).mean())


@dataclass(frozen=True)
class HeldPhrases:
    """Phrases, and which texts of a feature hold them."""

    held: np.ndarray
    """Which of its texts hold each phrase, bool [n_phrases, n]."""
    themes: np.ndarray
    """The theme of each of its texts, int64 [n]."""
    everywhere: np.ndarray
    """The share of all texts that hold each phrase, float [n_phrases]."""
    cosines: np.ndarray
    """Of each phrase to the centre of each theme, float [n_phrases, n_themes]."""

    def contrast(self, theme: int) -> np.ndarray:
        """Return how well each phrase tells a theme's texts apart, p·ln(p/q); 0 where it does not tell them.

        p is its share of the theme's texts, q the larger of its shares of the other themes' texts and of all.
        """
        own, others = self.held[:, self.themes == theme], self.held[:, self.themes != theme]
        p = own.mean(axis=1)
        q = np.maximum(np.maximum(others.mean(axis=1), self.everywhere), 0.5 / self.held.shape[1])
        nearest_other = np.delete(self.cosines, theme, axis=1).max(axis=1)
        tells = (p >= LEAST_HELD) & (p >= LIFT * q) & (own.sum(axis=1) >= HOLDING)
        tells &= self.cosines[:, theme] >= nearest_other + NEARER
        return np.where(tells, p * np.log(np.maximum(p, 1e-12) / q), 0.0)


def theme_phrases(phrases: HeldPhrases) -> list[int] | None:
    """Return the place of the phrase that tells each theme's texts apart; None if a theme has none.

    Of the phrases the one with the greatest contrast times cosine to the theme's centre is taken.
    """
    chosen: list[int] = []
    for theme in range(phrases.cosines.shape[1]):
        worth = phrases.contrast(theme) * phrases.cosines[:, theme]
        if not worth.max(initial=0) > 0:
            return None
        chosen.append(int(worth.argmax()))
    return chosen


def shares(themes: np.ndarray, n_themes: int) -> Sequence[float]:
    """Return the share of the texts that each theme holds."""
    values: list[float] = (np.bincount(themes, minlength=n_themes) / max(len(themes), 1)).tolist()
    return values

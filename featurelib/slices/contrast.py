"""Features that fire oftener in one set of texts than in another, with the chance of such a difference.

The chance is that of the number of texts of A on which a feature fires, when the texts on which it fires are drawn at
random among texts of the same length (`stats.excess_chance`); lengths are those of `Units.strata`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from featurelib.slices.ranked import rank
from featurelib.slices.tested import Tested, rates_of
from featurelib.slices.units import STRATA, Units
from featurelib.stats import auroc_of_rank_sum, excess_chance

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

    from featurelib.storage.fired import FeatureBlock


@dataclass(frozen=True)
class Contrast(Tested):
    """Every feature in a set of texts A and in another set B; arrays are [n_features]."""

    n_a: int
    """Texts of A, each different text once."""
    n_b: int
    """Texts of B."""
    active_a: np.ndarray
    """Texts of A on which it fires."""
    active_b: np.ndarray
    """Texts of B on which it fires."""
    expected: np.ndarray
    """Texts of A on which it would fire if only the length of a text mattered, float64."""
    auroc: np.ndarray
    """P(its activation is higher on a text of A than on one of B) + ½ P(equal), float64."""
    chance: np.ndarray
    """P(such a difference or a larger one | only the length of a text matters), float64."""

    @property
    def density_a(self) -> np.ndarray:
        """The share of the texts of A on which it fires."""
        return self.active_a / max(self.n_a, 1)

    @property
    def density_b(self) -> np.ndarray:
        """The share of the texts of B on which it fires."""
        return self.active_b / max(self.n_b, 1)


@dataclass(frozen=True)
class Sets:
    """Sets of texts, each of which is held against the rest of `counted`."""

    counted: np.ndarray
    """The texts that count, ascending, int64 [n]."""
    members: Sequence[np.ndarray]
    """The texts of each set, as places in `counted`, ascending."""
    strata: np.ndarray
    """Their groups of length, int8 [n]."""

    @classmethod
    def of(cls, sets: Sequence[np.ndarray], counted: np.ndarray, units: Units) -> Sets:
        """Take what counts of some sets of texts, each text_ids [n] ascending; `counted` is bool [n_texts]."""
        counted = units.different(counted)
        before = np.cumsum(counted) - 1
        members = [before[text_ids[counted[text_ids]]] for text_ids in sets]
        chosen = np.flatnonzero(counted)
        return cls(chosen, members, units.strata(counted)[chosen])

    def indicator(self) -> csr_matrix:
        """Return 1 where a text is of a set and of a length, [n, n_sets · STRATA]; the last set is that of all."""
        from scipy.sparse import csr_matrix

        every = [*self.members, np.arange(len(self.counted))]
        rows = np.concatenate(every)
        columns = np.repeat(np.arange(len(every)) * STRATA, [len(places) for places in every]) + self.strata[rows]
        return csr_matrix((np.ones(len(rows)), (rows, columns)), shape=(len(self.counted), len(every) * STRATA))


def contrasts(blocks: Iterable[FeatureBlock], sets: Sets, n_texts: int) -> list[Contrast]:
    """Hold each set against the other texts that count; the features come in blocks."""
    place = np.full(n_texts, -1, np.int64)
    place[sets.counted] = np.arange(len(sets.counted))
    indicator = sets.indicator()
    sizes = np.asarray(indicator.sum(axis=0)).reshape(-1, STRATA)
    active, rank_sums = [], []
    for block in blocks:
        ranked = rank(block, place, len(sets.counted))
        active.append(_by_set(ranked.fires() @ indicator))
        above = _by_set(ranked.above_silence() @ indicator).sum(axis=2)
        rank_sums.append(above + ranked.silent_rank[:, None] * sizes.sum(axis=1))
    fires, ranks = np.concatenate(active), np.concatenate(rank_sums)
    return [
        _contrast(fires[:, number], fires[:, -1], ranks[:, number], sizes[[number, -1]])
        for number in range(len(sets.members))
    ]


def _by_set(product: csr_matrix) -> np.ndarray:
    """The columns of a product with the indicator as [n_features, n_sets + 1, STRATA]."""
    dense: np.ndarray = product.toarray()
    return dense.reshape(len(dense), -1, STRATA)


def _contrast(own: np.ndarray, every: np.ndarray, rank_sum: np.ndarray, sizes: np.ndarray) -> Contrast:
    """One set against the rest: on how many texts features fire, [n_features, STRATA], in it and in all.

    `sizes` [2, STRATA] are those of the set and of all.
    """
    active_a, n_active = own.sum(axis=1), every.sum(axis=1)
    n_a, n = int(sizes[0].sum()), int(sizes[1].sum())
    share = np.divide(sizes[0], sizes[1], out=np.zeros(STRATA), where=sizes[1] > 0)
    expected, most = every @ share, np.minimum(n_active, n_a)
    chance = excess_chance(active_a, expected, most)
    crude = excess_chance(active_a, n_active * (n_a / max(n, 1)), most)
    tested = (n_active > 0) & (0 < n_a < n)
    auroc = auroc_of_rank_sum(rank_sum, np.full(len(own), n_a), np.full(len(own), n - n_a))
    return Contrast(
        n_a=n_a,
        n_b=n - n_a,
        active_a=active_a.astype(np.int64),
        active_b=(n_active - active_a).astype(np.int64),
        expected=expected,
        auroc=auroc,
        chance=np.where(tested, chance, 1.0),
        rate=rates_of(chance, tested),
        crude_rate=rates_of(crude, tested),
    )

"""Near misses: the texts on which a feature does not fire though its pre-activation comes nearest to its gate."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from featurelib.sae.model import BLOCK

if TYPE_CHECKING:
    from featurelib.sae.model import SAE, AtGate

PER_FEATURE = 10
"""Near misses that are kept of a feature."""


class Misses(NamedTuple):
    """Texts on which features do not fire: arrays of one length."""

    feature_ids: np.ndarray
    """int32."""
    text_ids: np.ndarray
    """int64."""
    pre_activations: np.ndarray
    """float32."""
    thresholds: np.ndarray
    """What the pre-activation would have to exceed on that text, float32."""

    @classmethod
    def none(cls) -> Misses:
        """Return no misses."""
        return cls(np.empty(0, np.int32), np.empty(0, np.int64), np.empty(0, np.float32), np.empty(0, np.float32))

    @property
    def margins(self) -> np.ndarray:
        """How far each pre-activation lies above what it had to exceed, float32: 0 or less."""
        margins: np.ndarray = self.pre_activations - self.thresholds
        return margins


class NearMisses:
    """The `kept` nearest misses of each feature among the texts seen so far.

    The nearest has the margin nearest to 0; equal margins are in the order of text_id. Memory is bounded by a block
    of 256 texts and by n_features · kept.
    """

    def __init__(self, n_features: int, per_feature: int = PER_FEATURE) -> None:
        self.per_feature = per_feature
        self.misses = Misses.none()
        """Ordered by feature_id, nearest first."""
        self.n_fires = np.zeros(n_features, np.int64)
        """The number of texts on which each feature fires, [n_features]."""
        self._floor = np.full(n_features, -np.inf, np.float32)

    def add(self, sae: SAE, x: np.ndarray, first: int) -> None:
        """Look at embeddings x [n, d_in] of the texts from text_id `first` on; texts come in the order of text_id."""
        for number, block in enumerate(sae.at_gate(x)):
            self.n_fires += block.fires.sum(0).numpy()
            self._keep(_candidates(block, self._floor, self.per_feature), first + number * BLOCK)

    def add_tokens(self, sae: SAE, x: np.ndarray, text_ids: np.ndarray) -> None:
        """Look at the tokens' states x [n, d_in] of consecutive whole texts; text_ids [n] ascend.

        A text fires where one of its tokens does, however they are pooled; else the token nearest to the gate stands
        for it. Memory is bounded by a block of tokens and the number of these texts, times n_features.
        """
        firsts = np.flatnonzero(np.diff(text_ids, prepend=-1))
        lasts = [*firsts[1:], len(text_ids)]
        texts = _stacked([nearest_at_gate(sae, x[first:last]) for first, last in zip(firsts, lasts, strict=True)])
        self.n_fires += texts.fires.sum(0).numpy()
        self._keep(_candidates(texts, self._floor, self.per_feature), int(text_ids[0]))

    def resume(self, misses: Misses, n_fires: np.ndarray) -> None:
        """Go on from what another one had found."""
        self.n_fires = n_fires.copy()
        self._keep(misses, 0)

    def _keep(self, more: Misses, first: int) -> None:
        if not len(more.text_ids):
            return
        more = more._replace(text_ids=more.text_ids + first)
        joined = Misses(*(np.concatenate(pair) for pair in zip(self.misses, more, strict=True)))
        order = np.lexsort((joined.text_ids, -joined.margins, joined.feature_ids))
        ids = joined.feature_ids[order]
        place = np.arange(len(ids)) - np.searchsorted(ids, ids)
        self.misses = Misses(*(column[order[place < self.per_feature]] for column in joined))
        last = order[place == self.per_feature - 1]
        self._floor[joined.feature_ids[last]] = joined.margins[last]


def _stacked(texts: list[AtGate]) -> AtGate:
    import torch

    return type(texts[0])(*(torch.cat(columns) for columns in zip(*texts, strict=True)))


def nearest_at_gate(sae: SAE, x: np.ndarray) -> AtGate:
    """Return what happens at the gate for a text's tokens x [n, d_in] together, each [1, n_features].

    Whether one of them fires, and the pre-activation and threshold of the one that is nearest to firing.
    """
    nearest = [_nearest(block) for block in sae.at_gate(x)]
    return nearest[0] if len(nearest) == 1 else _nearest(_stacked(nearest))


def _nearest(block: AtGate) -> AtGate:
    """The nearest row of a block, each [1, n_features]; of equally near ones the first."""
    best = (block.pre_activations - block.thresholds).argmax(0, keepdim=True)
    pre_activations, thresholds = (column.gather(0, best) for column in block[:2])
    return block._replace(
        pre_activations=pre_activations, thresholds=thresholds, fires=block.fires.any(0, keepdim=True)
    )


def ranks(misses: Misses) -> np.ndarray:
    """Return the rank of each miss among its feature's, the nearest 1, int32; `found` is ordered by feature_id."""
    return (np.arange(len(misses.feature_ids)) - np.searchsorted(misses.feature_ids, misses.feature_ids) + 1).astype(
        np.int32
    )


def _candidates(block: AtGate, floor: np.ndarray, per_feature: int) -> Misses:
    """Return the misses of a block that may be among the nearest, text_ids counted from its first row.

    A text as near as the last one kept is none: it has the higher text_id.
    """
    import torch

    margins = torch.where(block.fires, -torch.inf, block.pre_activations - block.thresholds)
    above = margins > torch.from_numpy(floor)
    if np.isneginf(floor).any() and len(margins) > per_feature:
        # Without a floor all would be sorted: that of the block itself leaves about `kept` of each feature.
        above &= margins >= margins.T.contiguous().topk(per_feature, dim=1).values[:, -1]
    rows, feature_ids = above.nonzero(as_tuple=True)
    pre_activations, thresholds = block.pre_activations[rows, feature_ids], block.thresholds[rows, feature_ids]
    return Misses(
        feature_ids.numpy().astype(np.int32),
        rows.numpy(),
        pre_activations.numpy(),
        thresholds.numpy().astype(np.float32),
    )

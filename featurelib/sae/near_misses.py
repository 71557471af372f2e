"""Near misses: the texts on which a feature does not fire though its pre-activation comes nearest to its gate."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from featurelib.sae.device import find_true, take

if TYPE_CHECKING:
    import torch

    from featurelib.sae.gates import Gate
    from featurelib.sae.model import SAE, AtGate

PER_FEATURE = 10
"""Near misses that are kept of a feature."""
ROUNDING = 2.0**-20
"""More than the relative error of two float32 additions: what a bound is lowered by, so that it leaves nothing out."""


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
    of texts and by n_features · kept. Candidates are gathered until they are as many as what is kept, and then sorted
    into it: each time about twice as many texts have been seen.
    """

    def __init__(self, n_features: int, per_feature: int = PER_FEATURE) -> None:
        self.per_feature = per_feature
        self._kept = Misses.none()
        self._more: list[Misses] = []
        self._n_more = 0
        self.n_fires = np.zeros(n_features, np.int64)
        """The number of texts on which each feature fires, [n_features]."""
        self._floor = np.full(n_features, -np.inf, np.float32)

    def add(self, sae: SAE, x: np.ndarray, first: int) -> None:
        """Look at embeddings x [n, d_in] of the texts from text_id `first` on; texts come in the order of text_id."""
        for z in sae.gate_inputs(x):
            self._look(_Seen.of(sae.gate, z), first)
            first += len(z)

    def add_tokens(self, sae: SAE, x: np.ndarray, text_ids: np.ndarray) -> None:
        """Look at the tokens' states x [n, d_in] of consecutive whole texts; text_ids [n] ascend.

        A text fires where one of its tokens does, however they are pooled; else the token nearest to the gate stands
        for it. Memory is bounded by a block of tokens and the number of these texts, times n_features.
        """
        texts: list[AtGate] = []
        start = 0
        for block in sae.at_gate(x):
            own = text_ids[start : start + len(block.fires)]
            firsts = np.flatnonzero(np.diff(own, prepend=-1))
            nearest = [_nearest(text) for text in _cut(block, firsts)]
            if start and own[0] == text_ids[start - 1]:
                nearest[0] = _nearest(_stacked([texts.pop(), nearest[0]]))
            texts += nearest
            start += len(own)
        if texts:
            self._look(_Seen(*_stacked(texts)), int(text_ids[0]))

    def resume(self, misses: Misses, n_fires: np.ndarray) -> None:
        """Go on from what another one had found."""
        self.n_fires = n_fires.copy()
        self._keep(misses, 0)

    @property
    def misses(self) -> Misses:
        """Those kept, ordered by feature_id, nearest first."""
        self._sort()
        return self._kept

    def _look(self, seen: _Seen, first: int) -> None:
        """Count what fires and keep what may be among the nearest of some texts, of which `first` is the first."""
        candidates, fired = _candidates(seen, self._floor, self.per_feature)
        self.n_fires += fired
        self._keep(candidates, first)

    def _keep(self, more: Misses, first: int) -> None:
        if not len(more.text_ids):
            return
        self._more.append(more._replace(text_ids=more.text_ids + first))
        self._n_more += len(more.text_ids)
        if self._n_more >= len(self._floor) * self.per_feature:
            self._sort()

    def _sort(self) -> None:
        """Sort the candidates gathered so far into what is kept, and raise the floor."""
        if not self._more:
            return
        joined = Misses(*(np.concatenate(columns) for columns in zip(self._kept, *self._more, strict=True)))
        # Stable, and texts come in their order: of equal margins the lower text_id stays first.
        order = np.argsort(_sort_keys(joined), kind="stable")
        ids = joined.feature_ids[order]
        starts = np.flatnonzero(np.diff(ids, prepend=-1))
        place = np.arange(len(ids)) - np.repeat(starts, np.diff(starts, append=len(ids)))
        self._kept = Misses(*(column[order[place < self.per_feature]] for column in joined))
        self._more, self._n_more = [], 0
        last = order[place == self.per_feature - 1]
        self._floor[joined.feature_ids[last]] = joined.margins[last]


def _sort_keys(misses: Misses) -> np.ndarray:
    """Return numbers that ascend with feature_id, then with falling margin, int64 [misses].

    Sorting by one whole number takes a quarter of sorting by three columns. The bits of a float without its sign, read
    as a whole number, are in the order of what they stand for.
    """
    bits = misses.margins.view(np.int32).astype(np.int64)
    rising = np.where(bits < 0, -(bits & 0x7FFFFFFF), bits)
    return (misses.feature_ids.astype(np.int64) << 32) - rising


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


class _Seen(NamedTuple):
    """What was seen at the gate of some rows, [n, n_features], on the device of the SAE."""

    pre_activations: torch.Tensor
    """float32."""
    thresholds: torch.Tensor
    """What each must exceed, float32; [1, 1] or [1, n_features] where it is the same for all rows."""
    fires: torch.Tensor | None
    """Whether it does, bool; None where that is just what the other two say."""

    @classmethod
    def of(cls, gate: Gate, z: torch.Tensor) -> _Seen:
        """What a gate makes of z."""
        return cls(gate.pre_activations(z), gate.row_thresholds(z), None if gate.by_threshold else gate(z) > 0)

    def margins(self, columns: torch.Tensor) -> torch.Tensor:
        """How far some features lie above their thresholds, −∞ where they fire: [n, columns]."""
        margins = self.pre_activations[:, columns] - self.thresholds.expand_as(self.pre_activations)[:, columns]
        return margins.masked_fill_(margins > 0 if self.fires is None else self.fires[:, columns], -np.inf)

    def above(self, floor: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Rows and features of all margins above a floor [n_features], and of some more."""
        if len(self.thresholds) > 1:
            return find_true(self.pre_activations - self.thresholds > floor)
        # One comparison with a bound for each feature; what it lets through is compared again, exactly.
        bound = self.thresholds + floor - ROUNDING * (self.thresholds.abs() + floor.abs())
        return find_true(self.pre_activations > bound)


def _candidates(seen: _Seen, floor: np.ndarray, per_feature: int) -> tuple[Misses, np.ndarray]:
    """Return the misses that may be among the nearest, text_ids counted from the first row, and how often all fire.

    A text as near as the last one kept is none: it has the higher text_id.
    """
    raised = _first_floor(seen, floor, per_feature)
    places = seen.above(raised)
    pre_activations = take(seen.pre_activations, *places).cpu().numpy()
    thresholds = take(seen.thresholds.expand_as(seen.pre_activations), *places).cpu().numpy()
    rows, feature_ids = (column.cpu().numpy() for column in places)
    margins = pre_activations - thresholds
    if seen.fires is None:
        # All that fires has passed the bound, because no floor is above 0.
        fires = margins > 0
        n_fires = np.bincount(feature_ids[fires], minlength=len(floor))
    else:
        fires = take(seen.fires, *places).cpu().numpy()
        n_fires = seen.fires.sum(0).cpu().numpy()
    near = ~fires & (margins > raised.cpu().numpy()[feature_ids])
    columns = (feature_ids.astype(np.int32), rows, pre_activations, thresholds)
    return Misses(*(column[near] for column in columns)), n_fires


def _first_floor(seen: _Seen, floor: np.ndarray, per_feature: int) -> torch.Tensor:
    """Return the floor [n_features], for features that have none yet just under a margin that enough rows reach.

    The rows are split into twice as many groups as are kept; in so many groups the largest margin is at least the
    `per_feature`-th largest of those largest ones.
    """
    import torch

    raised = torch.from_numpy(floor).to(seen.pre_activations.device, copy=True)
    without = torch.from_numpy(np.flatnonzero(np.isneginf(floor))).to(raised.device)
    n = len(seen.pre_activations)
    if n > per_feature and len(without):
        groups = seen.margins(without).tensor_split(min(n, 2 * per_feature))
        largest = torch.stack([group.amax(0) for group in groups])
        least = largest.topk(per_feature, dim=0).values[-1]
        raised[without] = least.nextafter(torch.full_like(least, -torch.inf))
    return raised


def _cut(block: AtGate, firsts: np.ndarray) -> list[AtGate]:
    """Split the rows of a block before each of `firsts`, of which the first is 0."""
    columns = [column.tensor_split(firsts[1:].tolist()) for column in block]
    return [type(block)(*rows) for rows in zip(*columns, strict=True)]

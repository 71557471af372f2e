"""What an SAE makes of a few embeddings: enough to tell whether it is theirs, and whether it was read right.

The margins come from SAEs trained on MiniLM embeddings of abstracts (384 dimensions; TopK, L1, BatchTopK). Read right,
FVU is under 0.4 and reconstructions are 1.0 to 1.25 times too short; on texts of other kinds (CLINC150, HWU64, Stack
Overflow, WordNet's glosses) FVU is up to 0.66, of which a wrong mean makes 0.08, and L0 is off by a tenth. One matrix
transposed: FVU 1.2 to 1.5. Weights scaled by 3: 3 times too long or too short, while FVU may stay at 0.5. A TopK whose
gate was lost: 8 to 11 times as many features.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from featurelib.schema import Refusal

if TYPE_CHECKING:
    from featurelib.sae.model import SAE

MOST_EMBEDDINGS = 1_000
OFF_SCALE = 2.0
"""How many times too short or too long reconstructions may be; L1 shortens them, by a quarter at most as measured."""
STILL_RIGHT = 0.9
"""The FVU, were the length right, under which the length is what is wrong."""
FAR_OFF = 0.3
"""The part of the FVU that a wrong mean may make."""
OFF_L0 = 3.0
"""How many times more or fewer features than the SAE was trained for may fire."""
EQUAL = 1e-14
"""Rows that differ by less than this share of their squared length are the same, but for rounding."""


class Fit(NamedTuple):
    """How well embeddings are rebuilt, in the raw space."""

    n: int
    """How many embeddings were taken."""
    l0: float
    """Features that fire on one, on average."""
    fvu: float | None
    """Σ‖x−x̂‖² / Σ‖x−x̄‖², x̄ the mean of these embeddings; None where they are all the same."""
    best_fvu: float | None
    """The FVU if x̂ − mean(x̂) had the length that suits it best, and the right mean."""
    stretch: float | None
    """That length over the one it has: above 1 where reconstructions are too short; None where all are the same."""
    offset: float | None
    """‖mean(x̂) − x̄‖² over the mean of ‖x−x̄‖²: the part of the FVU that a wrong mean makes; None as for FVU."""


def evenly(n: int, most: int) -> np.ndarray:
    """Return at most `most` of the numbers below n, evenly spread, int64."""
    return np.unique(np.linspace(0, n - 1, min(n, most)).round().astype(np.int64))


def measure_fit(sae: SAE, embeddings: np.ndarray) -> Fit:
    """Measure at most MOST_EMBEDDINGS of the embeddings [n, d_in]; Refusal when what comes out is not finite."""
    x = embeddings[evenly(len(embeddings), MOST_EMBEDDINGS)]
    activations = sae.encode_sparse(x)
    rebuilt = sae.rebuild(x, activations).numpy().astype(np.float64)
    if not np.isfinite(rebuilt).all():
        raise Refusal("this SAE rebuilds embeddings as NaN or infinity; its weights are damaged: fetch it again.")
    x = np.asarray(x, np.float64)
    centred, rebuilt_centred = x - x.mean(axis=0), rebuilt - rebuilt.mean(axis=0)
    spread, rebuilt_spread = (centred**2).sum(), (rebuilt_centred**2).sum()
    both = (centred * rebuilt_centred).sum()
    l0 = len(activations.rows) / len(x)
    if spread <= EQUAL * (x**2).sum():
        return Fit(len(x), l0, None, None, None, None)
    fvu = float(((x - rebuilt) ** 2).sum() / spread)
    offset = float(len(x) * ((x.mean(axis=0) - rebuilt.mean(axis=0)) ** 2).sum() / spread)
    if rebuilt_spread <= EQUAL * (rebuilt**2).sum():
        return Fit(len(x), l0, fvu, 1.0, None, offset)
    best_fvu, stretch = float(1 - both**2 / (spread * rebuilt_spread)), float(both / rebuilt_spread)
    return Fit(len(x), l0, fvu, best_fvu, stretch, offset)


def doubt_fit(sae: SAE, fit: Fit) -> list[str]:
    """Say what looks wrong, a sentence each."""
    remarks = []
    on = f"on {fit.n:,} of these embeddings"
    if fit.fvu is not None and fit.fvu > 1:
        remarks.append(
            f"FVU is {fit.fvu:.3g} {on}, worse than their mean: the wrong embedder, a wrong scale or a wrong load."
        )
    still_right = fit.best_fvu is not None and fit.best_fvu < STILL_RIGHT
    if fit.stretch is not None and still_right and not 1 / OFF_SCALE < fit.stretch < OFF_SCALE:
        off = f"{fit.stretch:.2g} times too short" if fit.stretch > 1 else f"{1 / fit.stretch:.2g} times too long"
        remarks.append(
            f"reconstructions are {off} {on}; at the right length FVU would be {fit.best_fvu:.2f} instead of "
            f"{fit.fvu:.2f}: the embeddings or the weights have another scale than in training."
        )
    elif fit.offset is not None and fit.offset > FAR_OFF and still_right:
        remarks.append(
            f"the mean of the reconstructions is off by {fit.offset:.0%} of the variance {on}: b_dec was lost, or is "
            "added or subtracted where it should not be."
        )
    if fit.l0 == 0:
        remarks.append(f"no feature fires {on}.")
    elif fit.l0 > sae.n_features / 2:
        remarks.append(f"{fit.l0:,.0f} of {sae.n_features:,} features fire on average {on}; a gate may have been lost.")
    elif (wanted := aim(sae)) and not wanted / OFF_L0 < fit.l0 < wanted * OFF_L0:
        remarks.append(f"{fit.l0:.1f} features fire on average {on}, but the SAE was made for {wanted}.")
    return remarks


def aim(sae: SAE) -> int | None:
    """Return the L0 that the SAE was trained for; the k of a gate with thresholds is only a limit."""
    return sae.target_k or (sae.k if sae.gate.name in ("topk", "groupmax") else None)

"""Whether an SAE that was not trained here fits the embeddings of a run: one verdict, with the numbers behind it.

The embeddings are also turned: their coordinates about the mean are permuted and some change sign, which keeps every
length and the whole spectrum but makes them those of no embedder. An SAE that is not theirs rebuilds both equally well.
The margins come from SAEs of MiniLM embeddings and of its layer 2 (384 dimensions, 512 features; TopK, BatchTopK, L1)
that were trained on abstracts; benchmarks/fit_check.py shows what they catch elsewhere.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from featurelib.sae.checks.fit import MOST_EMBEDDINGS, STILL_RIGHT, Fit, aim, evenly, measure_fit
from featurelib.stats import rank_correlation

if TYPE_CHECKING:
    import torch

    from featurelib.sae.model import SAE

FITS, DOUBTFUL, MISFIT = "fits", "doubtful", "misfit"
MOST_JUDGED = 10_000
"""The embeddings on which densities are counted; the reconstruction is measured on MOST_EMBEDDINGS of them."""
TURNS = 2
"""How often the embeddings are turned."""
NO_BETTER, UNLIKE = 0.98, 0.8
"""The FVU over that of turned embeddings, and the same at the best length and mean, above both of which an SAE is not
theirs: on texts unlike those of its training the first alone is reached where their mean is another one."""
OFF_SCALE = 2.2
"""How many times too short or too long reconstructions may be; right ones reached 2.1, scaled ones begin at 2.3."""
OFF_MEAN = 2.0
"""How many times longer or shorter than b_dec the mean may be where the FVU is above 1; right ones reached 1.5."""
SAME_DIRECTIONS = 0.95
"""The same of the FVU at the best length and mean; right SAEs reached 0.87, of another model 0.97 and more."""
DOUBTED_L0, DOUBTED_MEAN = 2.0, 1.6
"""How many times off L0, and the length of the mean against b_dec, make a fit doubtful: SmolLM2's layers 5 and 15 are
as like as that; right SAEs reached 1.4 and 1.45 where their FVU was below 1."""
UNRELATED = 0.2
"""Spearman's correlation of densities then and now, below which they are of different features."""
ENOUGH = 100
"""With fewer features no correlation is judged."""


@dataclass(frozen=True)
class FitCheck:
    """The verdict and what it was made from."""

    verdict: str
    """fits, doubtful or misfit."""
    reasons: tuple[str, ...]
    """Why it is doubtful or a misfit, in words without a full stop; none where it fits."""
    n: int
    """How many embeddings the densities were counted on."""
    n_rebuilt: int
    """How many of them were rebuilt."""
    fvu: float | None
    """Σ‖x−x̂‖² / Σ‖x−x̄‖²; None where all embeddings are the same."""
    turned_fvu: float | None
    """The same of the turned embeddings."""
    best_share: float | None
    """The FVU at the best length and mean over that of the turned embeddings."""
    stretch: float | None
    """How many times too short the reconstructions are, about their mean."""
    l0: float
    """Active features, on average."""
    dead_share: float
    """The share of features that fire on none of them."""
    norm: float
    """The mean of ‖x‖."""
    rebuilt_norm: float
    """The mean of ‖x̂‖."""
    mean_norm: float
    """‖x̄‖."""
    b_dec_norm: float
    """‖b_dec‖, the norm of the mean that many SAEs were trained with."""
    density_correlation: float | None
    """Spearman's correlation of each feature's density in training with that here; None without the former."""

    @property
    def sentence(self) -> str:
        """The verdict in one sentence, without its subject."""
        if self.verdict == FITS:
            fvu = "" if self.fvu is None else f"FVU {self.fvu:.2f}, "
            return f"fits this embedder ({fvu}L0 {self.l0:.1f} on {self.n_rebuilt:,} of its embeddings)."
        verdict = "does not fit this embedder" if self.verdict == MISFIT else "may not fit this embedder or these texts"
        return f"{verdict}: {'; '.join(self.reasons)}."


def judge_fit(sae: SAE, embeddings: np.ndarray, log_density: torch.Tensor | None = None) -> FitCheck:
    """Judge an SAE by at most MOST_JUDGED of the embeddings [n, d_in], n from 1.

    `log_density` [n_features] is log10 of the densities of its training. Raises Refusal as `measure_fit`.
    """
    x = embeddings[evenly(len(embeddings), MOST_JUDGED)]
    few = np.asarray(x[evenly(len(x), MOST_EMBEDDINGS)], np.float32)
    fit = measure_fit(sae, few)
    turned = [measure_fit(sae, turn(few, seed)) for seed in range(TURNS)]
    turned_fvu, turned_best = (_mean([getattr(each, name) for each in turned]) for name in ("fvu", "best_fvu"))
    counts = np.bincount(sae.encode_sparse(x).feature_ids.numpy(), minlength=sae.n_features)
    correlation = None if log_density is None else rank_correlation(log_density.numpy(), counts)
    share = fit.best_fvu / turned_best if fit.best_fvu is not None and turned_best else None
    mean_norm = float(np.linalg.norm(few.mean(axis=0, dtype=np.float64)))
    wrong = _misfit(fit, turned_fvu, share) or _off_mean(sae, fit, mean_norm)
    doubts = _doubts(sae, fit, mean_norm, correlation)
    return FitCheck(
        verdict=MISFIT if wrong else DOUBTFUL if doubts else FITS,
        reasons=tuple(wrong or doubts),
        n=len(x),
        n_rebuilt=fit.n,
        fvu=fit.fvu,
        turned_fvu=turned_fvu,
        best_share=share,
        stretch=fit.stretch,
        l0=fit.l0,
        dead_share=float((counts == 0).mean()),
        norm=_norm(few),
        rebuilt_norm=_norm(sae.reconstruct(few).numpy()),
        mean_norm=mean_norm,
        b_dec_norm=float(sae.b_dec.norm()),
        density_correlation=correlation,
    )


def turn(x: np.ndarray, seed: int) -> np.ndarray:
    """Return embeddings [n, d] whose coordinates about the mean are permuted, half of them with the other sign."""
    draw = np.random.default_rng(seed)
    order, signs = draw.permutation(x.shape[1]), draw.choice([-1.0, 1.0], x.shape[1])
    mean = x.mean(axis=0, dtype=np.float64)
    turned: np.ndarray = (mean + (x - mean)[:, order] * signs).astype(np.float32)
    return turned


def _mean(values: list[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else None


def _norm(x: np.ndarray) -> float:
    return float(np.linalg.norm(x.astype(np.float64), axis=1).mean())


def _misfit(fit: Fit, turned_fvu: float | None, best_share: float | None) -> list[str]:
    """Say why an SAE is not for these embeddings; nothing where it may be."""
    if fit.l0 == 0:
        return ["no feature fires on any of these embeddings"]
    if fit.fvu is None or not turned_fvu:
        return []
    still_right = fit.best_fvu is not None and fit.best_fvu < STILL_RIGHT
    off_scale = fit.stretch is not None and not 1 / OFF_SCALE < fit.stretch < OFF_SCALE
    if best_share is not None and best_share >= SAME_DIRECTIONS:
        return [
            f"it rebuilds these embeddings no better than the same ones turned at random (FVU {fit.fvu:.3g} and "
            f"{turned_fvu:.3g}), so its directions are of another model or its features are in another order"
        ]
    if off_scale and still_right and fit.stretch is not None:
        off = f"{fit.stretch:.2g} times too short" if fit.stretch > 1 else f"{1 / fit.stretch:.2g} times too long"
        return [f"its reconstructions are {off}, so the weights or the embeddings have another scale"]
    if fit.fvu / turned_fvu >= NO_BETTER and (best_share is None or best_share >= UNLIKE):
        return [
            f"its FVU of {fit.fvu:.3g} is that of the same embeddings turned at random ({turned_fvu:.3g}), so they are "
            "of another layer, of another scale or of another model"
        ]
    return []


def _off_mean(sae: SAE, fit: Fit, mean_norm: float) -> list[str]:
    """Say that the mean is far from the length that b_dec has, where an SAE takes b_dec from the embeddings."""
    expected = float(sae.b_dec.norm())
    if fit.fvu is None or fit.fvu <= 1 or sae.norm != "none" or not sae.subtract_b_dec or not expected:
        return []
    if 1 / OFF_MEAN < mean_norm / expected < OFF_MEAN:
        return []
    return [
        f"its FVU is {fit.fvu:.3g}, worse than the mean of these embeddings, whose length is {mean_norm:.3g} where its "
        f"b_dec has {expected:.3g}, so they are of another layer, scale or model"
    ]


def _doubts(sae: SAE, fit: Fit, mean_norm: float, correlation: float | None) -> list[str]:
    reasons = []
    if fit.fvu is not None and fit.fvu > 1:
        reasons.append(f"its FVU is {fit.fvu:.3g}, worse than the mean of these embeddings")
    expected = float(sae.b_dec.norm()) if sae.subtract_b_dec and sae.norm == "none" else 0.0
    if expected and not 1 / DOUBTED_MEAN < mean_norm / expected < DOUBTED_MEAN:
        reasons.append(f"the mean of these embeddings has length {mean_norm:.3g} and its b_dec {expected:.3g}")
    wanted = aim(sae)
    if wanted and not wanted / DOUBTED_L0 < fit.l0 < wanted * DOUBTED_L0:
        reasons.append(f"{fit.l0:.1f} features fire on average, but it was made for {wanted}")
    if correlation is not None and sae.n_features >= ENOUGH and correlation < UNRELATED:
        reasons.append(
            f"how often its features fire here has little to do with how often they did in training (Spearman's ρ "
            f"{correlation:.2f})"
        )
    return reasons

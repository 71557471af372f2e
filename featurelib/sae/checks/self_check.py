"""Checks of an SAE that was just loaded, so that a file that was read wrongly is noticed.

The margins come from SAEs trained on MiniLM embeddings (384 dimensions; TopK and L1; tied and untied starts). Read
right, a feature's encoder and its direction have a mean cosine of 0.64 to 0.84; with one matrix transposed, of 0.00.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from featurelib.sae.checks.fit import Fit, doubt_fit, evenly, measure_fit
from featurelib.schema import Refusal

if TYPE_CHECKING:
    import numpy as np
    import torch

    from featurelib.sae.model import SAE

MOST_FEATURES = 8_192
"""The alignment is the mean over at most so many features, evenly drawn."""
LEAST_MARGIN = 0.1
"""How much larger the cosine of a transposed reading must be for that to be right; of random weights it is 0 ± 1/d."""
UNRELATED = 0.05
"""Below this mean cosine, encoders and directions have nothing to do with each other."""
ENOUGH_NUMBERS = 10_000
"""Smaller matrices have such cosines by chance."""
EQUAL_LENGTHS, UNEQUAL_LENGTHS = 1e-3, 1e-2
"""Standard deviation of lengths over their mean, below which they are one length, and above which they are not."""
FAR_LONGER = 100
"""How many times the median the length of a direction or an encoder may be."""


class Lengths(NamedTuple):
    """The lengths of the directions, ‖W_dec[i]‖."""

    least: float
    """The shortest."""
    median: float
    """Their median."""
    most: float
    """The longest."""


class SelfCheck(NamedTuple):
    """The outcome of the self-check."""

    lengths: Lengths
    """Of the directions."""
    alignment: float
    """Mean cosine of a feature's encoder with its direction."""
    fit: Fit | None
    """How well embeddings are reconstructed; None where none were given."""
    warnings: tuple[str, ...]
    """What looks wrong, a sentence each."""


def check_sae(sae: SAE, embeddings: np.ndarray | None = None) -> SelfCheck:
    """Look at an SAE that was just read, and at what it makes of at most 1,000 of `embeddings` [n, d_in].

    Raises Refusal where it is certain that it was read wrong or is damaged: a matrix that is transposed, weights that
    are all zero, reconstructions that are not finite.
    """
    for name in ("W_enc", "W_dec"):
        if not bool(getattr(sae, name).any()):
            raise Refusal(f"{name} holds nothing but zeros; this SAE is damaged or was never trained: fetch it again.")
    directions = sae.W_dec.norm(dim=1)
    alignment, transposed = _alignments(sae)
    if transposed is not None:
        _refuse_transposed(sae, directions, alignment, transposed)
    lengths = Lengths(float(directions.min()), float(directions.median()), float(directions.max()))
    warnings = [*_doubt_lengths(sae, directions), *_doubt_alignment(sae, alignment)]
    if embeddings is None or not len(embeddings):
        return SelfCheck(lengths, alignment, None, tuple(warnings))
    fit = measure_fit(sae, embeddings)
    return SelfCheck(lengths, alignment, fit, (*warnings, *doubt_fit(sae, fit)))


def _alignments(sae: SAE) -> tuple[float, float | None]:
    """Return the mean cosine of encoder and direction, and the larger one of both transposed readings of a square."""
    chosen = evenly(sae.n_features, MOST_FEATURES)
    encoders, directions = sae.W_enc[:, chosen].T, sae.W_dec[chosen]
    alignment = _cosine(encoders, directions)
    if sae.d_in != sae.n_features:
        return alignment, None
    return alignment, max(_cosine(sae.W_enc[chosen], directions), _cosine(encoders, sae.W_dec[:, chosen].T))


def _cosine(first: torch.Tensor, other: torch.Tensor) -> float:
    import torch

    return float(torch.nn.functional.cosine_similarity(first, other, dim=1).mean())


def _refuse_transposed(sae: SAE, directions: torch.Tensor, alignment: float, transposed: float) -> None:
    mend = "save this SAE again as W_enc [d_in, n_features] and W_dec [n_features, d_in]."
    if transposed > alignment + max(LEAST_MARGIN, 6 / sae.d_in):
        raise Refusal(
            f"W_enc or W_dec is transposed: a feature's encoder and its direction have a mean cosine of "
            f"{alignment:.2f}, and of {transposed:.2f} with one of them transposed; {mend}"
        )
    if _spread(sae.W_dec.norm(dim=0)) < EQUAL_LENGTHS and _spread(directions) > UNEQUAL_LENGTHS:
        raise Refusal(
            f"W_dec is transposed: its columns all have one length, and its rows, the directions, have not; {mend}"
        )


def _spread(lengths: torch.Tensor) -> float:
    return float(lengths.std(unbiased=False) / lengths.mean())


def _doubt_lengths(sae: SAE, directions: torch.Tensor) -> list[str]:
    warnings = []
    for name, lengths in (("direction", directions), ("encoder", sae.W_enc.norm(dim=0))):
        most, median, n_zero = float(lengths.max()), float(lengths.median()), int((lengths == 0).sum())
        if most > FAR_LONGER * median:
            warnings.append(
                f"the longest {name} has length {most:.3g} and the median one {median:.3g}; the file may be damaged."
            )
        if n_zero:
            warnings.append(f"{n_zero:,} of {sae.n_features:,} features have {name}s of length 0; they do nothing.")
    return warnings


def _doubt_alignment(sae: SAE, alignment: float) -> list[str]:
    if sae.W_enc.numel() < ENOUGH_NUMBERS or alignment > UNRELATED:
        return []
    return [
        f"encoders and directions have a mean cosine of {alignment:.2f}, as if they were of different features; "
        "unless it is a transcoder, its weights are of different SAEs or in different orders."
    ]

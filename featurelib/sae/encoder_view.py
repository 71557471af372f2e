"""The encoder rows of some features, as arrays: what attribution needs to take a pre-activation apart."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from featurelib.sae.gates import Gated
from featurelib.sae.model import NORM_EPS

if TYPE_CHECKING:
    from featurelib.sae.model import SAE


class Readout(NamedTuple):
    """m features of an SAE: pre-activation = slope·(norm(x) @ weights + bias) + intercept."""

    weights: np.ndarray
    """float64 [d_in, m]: the features' encoder columns."""
    bias: np.ndarray
    """float64 [m]: b_enc, less b_dec @ weights where b_dec is taken from the input."""
    norm: str
    """How each row is normalised before: see `SAE`."""
    eps: float
    """What is added to a row's standard deviation."""
    slope: np.ndarray
    """float64 [m]: exp(r_mag) for a gated SAE, else ones."""
    intercept: np.ndarray
    """float64 [m]: b_mag for a gated SAE, else zeros."""

    def linear_at(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return weights float64 [d_in, m] and bias float64 [m] with which x [d_in] @ weights + bias is exact.

        A row's mean is linear in the row, and its standard deviation or length is a known number once the row is known:
        so this holds for all four normalisations, at x itself.
        """
        weights, scale = self.weights, 1.0
        if self.norm in ("layer_norm", "standardise"):
            weights = weights - weights.mean(axis=0)  # (x − mean)·W = x·(W − the mean of each column)
            scale = float(x.std(ddof=1)) + self.eps
        elif self.norm == "constant_norm_rescale":
            scale = float(np.linalg.norm(x)) / len(x) ** 0.5 or 1.0
        return weights * (self.slope / scale), self.slope * self.bias + self.intercept


def readout(sae: SAE, feature_ids: Sequence[int]) -> Readout:
    """Return how `sae` reads the features `feature_ids`; they must be among those that it has."""
    ids = np.asarray(feature_ids, dtype=np.int64)
    weights = sae.W_enc.numpy()[:, ids].astype(np.float64)
    shift = sae.b_dec.numpy().astype(np.float64) @ weights if sae.subtract_b_dec else 0.0
    bias = sae.b_enc.numpy()[ids].astype(np.float64) - shift
    slope, intercept = np.ones(len(ids)), np.zeros(len(ids))
    if isinstance(sae.gate, Gated):
        slope = np.exp(sae.gate.r_mag.numpy()[ids].astype(np.float64))
        intercept = sae.gate.b_mag.numpy()[ids].astype(np.float64)
    return Readout(weights, bias, sae.norm, NORM_EPS, slope, intercept)

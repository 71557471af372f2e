"""Features that were held against chance, all at once: at what false discovery rate each is listed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from featurelib.stats import discovery_rates

RATE = 0.05
"""The false discovery rate (Benjamini-Hochberg) at which a difference is called one."""


@dataclass(frozen=True)
class Tested:
    """What chance and length leave of each feature; arrays are float64 [n_features]."""

    rate: np.ndarray
    """The least false discovery rate at which it is listed, over all features tested; 1 for others."""
    crude_rate: np.ndarray
    """The same when the lengths of texts are not looked at."""

    @property
    def differs(self) -> np.ndarray:
        """Whether there is more than chance and length explain."""
        differs: np.ndarray = self.rate <= RATE
        return differs

    @property
    def follows_length(self) -> np.ndarray:
        """Whether what there is is gone once texts of the same length are compared."""
        follows: np.ndarray = (self.crude_rate <= RATE) & ~self.differs
        return follows


def rates_of(chances: np.ndarray, tested: np.ndarray) -> np.ndarray:
    """Return the rates of the features that were tested, bool [n_features], and 1 for the others."""
    rates = np.ones(len(chances))
    rates[tested] = discovery_rates(chances[tested])
    return rates

"""Activations that are mostly zero: the entries that are not, and products with them."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from featurelib.sae.device import find_true, take
from featurelib.schema import Refusal

if TYPE_CHECKING:
    import torch


class Sparse(NamedTuple):
    """The activations that are not zero, ordered by row, then by feature_id: three 1-D tensors of one length."""

    rows: torch.Tensor
    """The row of x, int64."""
    feature_ids: torch.Tensor
    """int64."""
    activations: torch.Tensor
    """float32, all above 0."""

    @classmethod
    def of(cls, a: torch.Tensor) -> Sparse:
        """Return the entries of dense activations a [n, n_features]."""
        rows, feature_ids = find_true(a != 0)
        return cls(rows, feature_ids, take(a, rows, feature_ids))

    @classmethod
    def from_numpy(cls, rows: np.ndarray, feature_ids: np.ndarray, activations: np.ndarray) -> Sparse:
        """Return copies of arrays that are ordered like this, of any type of integer and float."""
        import torch

        rows, feature_ids, activations = rows.astype(np.int64), feature_ids.astype(np.int64), activations.astype("f4")
        return cls(torch.from_numpy(rows), torch.from_numpy(feature_ids), torch.from_numpy(activations))


def ordered(a: Sparse, n: int, n_features: int) -> Sparse:
    """Return `a` ordered by row, in the types that `csr` wants; Refusal for a row or feature that there is not."""
    import torch

    rows, feature_ids = (torch.as_tensor(ids, dtype=torch.int64) for ids in (a.rows, a.feature_ids))
    activations = torch.as_tensor(a.activations, dtype=torch.float32)
    if rows.ndim != 1 or not rows.shape == feature_ids.shape == activations.shape:
        raise Refusal("rows, feature_ids and activations of a Sparse are not of one length; give three 1-D tensors.")
    for name, places, most in (("row", rows, n), ("feature_id", feature_ids, n_features)):
        if len(places) and not 0 <= int(places.min()) <= int(places.max()) < most:
            raise Refusal(f"a {name} of these activations is not among the {most:,} there are; count from 0.")
    if bool((rows[1:] >= rows[:-1]).all()):
        return Sparse(rows, feature_ids, activations)
    order = rows.argsort(stable=True)
    return Sparse(rows[order], feature_ids[order], activations[order])


def csr(rows: torch.Tensor, columns: torch.Tensor, values: torch.Tensor, shape: tuple[int, int]) -> torch.Tensor:
    """Return a sparse CSR matrix of entries that are ordered by row; products with it cost what the entries cost."""
    import torch

    starts = torch.searchsorted(rows, torch.arange(shape[0] + 1, device=rows.device))
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Sparse CSR tensor support is in beta")
        return torch.sparse_csr_tensor(starts, columns, values, shape, check_invariants=False)

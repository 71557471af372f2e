"""The activations that a training step keeps, and the sparse products with them."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from featurelib.sae.sparse import csr

if TYPE_CHECKING:
    import torch


class SparseBatch(NamedTuple):
    """The activations of a batch that are not zero, ordered by row: sparse [n, n_features]."""

    shape: tuple[int, int]
    """n and n_features."""
    rows: torch.Tensor
    """int64."""
    columns: torch.Tensor
    """int64."""
    values: torch.Tensor
    """float32."""

    @classmethod
    def largest(cls, z: torch.Tensor, count: int) -> SparseBatch:
        """Keep the `count` largest entries of z [n, n_features] that are above 0."""
        if z.device.type == "cpu":
            # numpy selects among a million numbers twenty times as fast as torch.topk sorts them.
            flat = z.numpy().ravel()
            cut = float(np.partition(flat, flat.size - count)[flat.size - count])
        else:
            cut = float(z.flatten().topk(count).values[-1])
        return cls.where((z >= cut) & (z > 0), z)

    @classmethod
    def largest_of_rows(cls, z: torch.Tensor, count: int) -> SparseBatch:
        """Keep the `count` largest entries above 0 of each row of z [n, n_features], and what equals the last."""
        if z.device.type == "cpu":
            rows = z.numpy()
            cut = z.new_tensor(np.partition(rows, rows.shape[1] - count, axis=1)[:, rows.shape[1] - count, None])
        else:
            cut = z.topk(count, dim=1).values[:, -1:]
        return cls.where((z >= cut) & (z > 0), z)

    @classmethod
    def where(cls, fires: torch.Tensor, z: torch.Tensor) -> SparseBatch:
        """Keep the entries of z [n, n_features] where `fires`, bool of the same shape, is true."""
        rows, columns = fires.nonzero(as_tuple=True)
        return cls((z.shape[0], z.shape[1]), rows, columns, z[rows, columns])

    def with_values(self, values: torch.Tensor) -> SparseBatch:
        """Return the same entries with other values."""
        return self._replace(values=values)

    def chosen(self, mask: torch.Tensor, first: int, last: int) -> SparseBatch:
        """Return the entries that `mask` [entries] admits, all of columns first to last − 1, as [n, last − first]."""
        return SparseBatch(
            (self.shape[0], last - first), self.rows[mask], self.columns[mask] - first, self.values[mask]
        )

    def times(self, dense: torch.Tensor) -> torch.Tensor:
        """Return self @ dense, [n, m]."""
        return self._csr() @ dense

    def transposed_times(self, dense: torch.Tensor) -> torch.Tensor:
        """Return selfᵀ @ dense, [n_features, m]."""
        columns, order = self.columns.sort(stable=True)
        return csr(columns, self.rows[order], self.values[order], self.shape[::-1]) @ dense

    def dots(self, left: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
        """Return left[row] · right[column] for each entry."""
        import torch

        products: torch.Tensor = torch.sparse.sampled_addmm(self._csr(), left, right.T, beta=0.0)
        return products.values()

    def column_sums(self) -> torch.Tensor:
        """Return the sums of the columns, [n_features]."""
        return self.values.new_zeros(self.shape[1]).index_add_(0, self.columns, self.values)

    def _csr(self) -> torch.Tensor:
        return csr(self.rows, self.columns, self.values, self.shape)

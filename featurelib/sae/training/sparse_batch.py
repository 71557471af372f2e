"""The activations that a training step keeps, and the sparse products with them."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from featurelib.sae.sparse import csr

if TYPE_CHECKING:
    import torch


TINY = float(np.finfo(np.float32).smallest_subnormal)
"""What is above 0 is at least this."""
EVERY = 61
"""Of so many numbers one is looked at to guess how large the largest are."""
GENEROUS = 1.5
"""How many times as many numbers as are wanted the guess lets through."""


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
        if z.device.type != "cpu":
            return cls.where((z >= z.flatten().topk(count).values[-1]) & (z > 0), z)
        likely = cls.where(z >= max(_guess(z, count), TINY), z)
        if len(likely.values) < count:
            likely = cls.where(z > 0, z)
        if len(likely.values) <= count:
            return likely
        return likely._kept(likely.values >= _nth(likely.values.numpy(), count))

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

    @classmethod
    def joined(cls, batches: list[SparseBatch]) -> SparseBatch:
        """Return the entries of all batches as one of the same shape; no longer ordered by row."""
        return cls._together(batches, batches[0].shape[0], [0] * len(batches))

    @classmethod
    def stacked(cls, batches: list[SparseBatch]) -> SparseBatch:
        """Return the batches one under the other, [len(batches)·n, n_features]."""
        n = batches[0].shape[0]
        return cls._together(batches, n * len(batches), [n * number for number in range(len(batches))])

    @classmethod
    def _together(cls, batches: list[SparseBatch], n: int, firsts: list[int]) -> SparseBatch:
        import torch

        rows = torch.cat([batch.rows + first for batch, first in zip(batches, firsts, strict=True)])
        columns = torch.cat([batch.columns for batch in batches])
        values = torch.cat([batch.values for batch in batches])
        return cls((n, batches[0].shape[1]), rows, columns, values)

    def within(self, first: int, last: int) -> SparseBatch:
        """Return the entries of columns first to last − 1."""
        return self._kept((self.columns >= first) & (self.columns < last))

    def _kept(self, mask: torch.Tensor) -> SparseBatch:
        return SparseBatch(self.shape, self.rows[mask], self.columns[mask], self.values[mask])

    def times(self, dense: torch.Tensor) -> torch.Tensor:
        """Return self @ dense, [n, m]."""
        return _product(self.rows, self.columns, self.values, self.shape, dense)

    def transposed_times(self, dense: torch.Tensor) -> torch.Tensor:
        """Return selfᵀ @ dense, [n_features, m]; the entries need not be ordered."""
        order = _order(self.columns, self.shape[1])
        return _product(self.columns[order], self.rows[order], self.values[order], self.shape[::-1], dense)

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


def _order(columns: torch.Tensor, n_columns: int) -> torch.Tensor:
    """Return the order of the entries by column, those of one column as they are, int64."""
    import torch

    if columns.device.type != "cpu" or n_columns > np.iinfo(np.uint16).max:
        return columns.argsort(stable=True)
    # numpy counts numbers of 16 bits into place, a hundred times as fast as torch sorts those of 64
    return torch.from_numpy(np.argsort(columns.numpy().astype(np.uint16), kind="stable"))


def _product(
    rows: torch.Tensor, columns: torch.Tensor, values: torch.Tensor, shape: tuple[int, ...], dense: torch.Tensor
) -> torch.Tensor:
    """Return the product of entries that are ordered by row, as a matrix of `shape`, with `dense`."""
    import torch
    from scipy.sparse import csr_array

    if dense.device.type != "cpu":
        return csr(rows, columns, values, (shape[0], shape[1])) @ dense
    # scipy's product takes a tenth of the time of torch's on a CPU, and always adds up in the same order
    starts = np.searchsorted(rows.numpy(), np.arange(shape[0] + 1))
    entries = csr_array((values.numpy(), columns.numpy(), starts), shape=shape)
    return torch.from_numpy(entries @ dense.numpy())


def _guess(z: torch.Tensor, count: int) -> float:
    """Return a number that some more than `count` entries of z reach, most likely: from a sample of them."""
    sample = z.flatten()[::EVERY].numpy()
    wanted = round(GENEROUS * count / EVERY) + 10
    return _nth(sample, wanted) if wanted < len(sample) else -np.inf


def _nth(values: np.ndarray, n: int) -> float:
    """Return the n-th largest of the values; numpy finds it twenty times as fast as torch.topk sorts."""
    return float(np.partition(values, len(values) - n)[len(values) - n])

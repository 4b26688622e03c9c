"""Rows that are mostly one value, kept as such; dense only a batch at a time."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from skae._core.chunks import rows_at_a_time


class SparseRows:
    """Compressed rows, which stand in for the tensor of all rows of a training.

    A training indexes its data, splits it and asks for its size, and gets dense rows each time.

    Parameters
    ----------
    starts : Tensor of shape (n_rows + 1,), int64
        Where each row's entries begin.
    columns : Tensor of shape (n_entries,), int64
        Column of each entry; none twice in a row.
    values : Tensor of shape (n_entries,)
    default : Tensor of shape (n_columns,)
        The value of each column where there is no entry.
    """

    ndim = 2

    def __init__(self, starts: Tensor, columns: Tensor, values: Tensor, default: Tensor) -> None:
        self.starts, self.columns, self.values, self.default = starts, columns, values, default
        self.shape = (len(starts) - 1, len(default))

    def __len__(self) -> int:
        return self.shape[0]

    @property
    def dtype(self) -> torch.dtype:
        """Type of the values."""
        return self.values.dtype

    @property
    def device(self) -> torch.device:
        """Where the values are, and the dense rows will be."""
        return self.values.device

    def to(self, device: torch.device) -> SparseRows:
        """Move to a device."""
        parts = (self.starts, self.columns, self.values, self.default)
        return SparseRows(*(part.to(device) for part in parts))

    def __getitem__(self, rows: Tensor) -> Tensor:
        """Return dense rows, of the shape of the row numbers and one axis more."""
        numbers = rows.reshape(-1)
        first = self.starts[numbers]
        lengths = self.starts[numbers + 1] - first
        positions = torch.arange(len(numbers), device=self.device).repeat_interleave(lengths)
        before = lengths.cumsum(0) - lengths  # entries of earlier rows
        entries = torch.arange(len(positions), device=self.device)
        entries += (first - before)[positions]
        dense = self.default.repeat(len(numbers), 1)
        dense[positions, self.columns[entries]] = self.values[entries]
        return dense.view(*rows.shape, -1)

    def split(self, size: int) -> Iterator[Tensor]:
        """Yield dense rows, `size` at a time; fewer where they are wide."""
        numbers_of_all = torch.arange(len(self), device=self.device)
        for numbers in numbers_of_all.split(rows_at_a_time(size, self.shape[1])):
            yield self[numbers]

    def _n_entries(self) -> Tensor:
        return torch.bincount(self.columns, minlength=self.shape[1])

    def any(self, dim: int) -> Tensor:
        """Whether a column has a value other than 0."""
        assert dim == 0
        stored = torch.zeros_like(self.default, dtype=torch.bool)
        stored[self.columns[self.values != 0]] = True
        return stored | ((self.default != 0) & (self._n_entries() < len(self)))

    def nanmean(self, dim: int) -> Tensor:
        """Mean of each column."""
        assert dim == 0
        # On the CPU, which has float64.
        columns, values, default = (t.cpu() for t in (self.columns, self.values, self.default))
        # Of no entries, torch counts in integers.
        sums = torch.bincount(columns, values.double(), minlength=len(default)).double()
        sums += (len(self) - self._n_entries().cpu()) * default
        return (sums / len(self)).to(self.default)

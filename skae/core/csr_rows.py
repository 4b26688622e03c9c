"""Rows of a CSR matrix, made dense one batch at a time."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from skae.core.numerics import chunk_size


class CSRRows:
    """CSR rows with the part of the tensor interface that training needs.

    Indexing and splitting return dense rows.

    Parameters
    ----------
    starts : Tensor of shape (n_rows + 1,), int64
        Position of each row's first entry.
    columns : Tensor of shape (n_entries,), int64
        Column of each entry; a column occurs at most once in a row.
    values : Tensor of shape (n_entries,)
    default : Tensor of shape (n_columns,)
        Value of each column in rows without an entry there.
    """

    ndim = 2

    def __init__(self, starts: Tensor, columns: Tensor, values: Tensor, default: Tensor) -> None:
        self.starts, self.columns, self.values, self.default = starts, columns, values, default
        self.shape = (len(starts) - 1, len(default))

    def __len__(self) -> int:
        return self.shape[0]

    @property
    def dtype(self) -> torch.dtype:
        """Data type of the values."""
        return self.values.dtype

    @property
    def device(self) -> torch.device:
        """Device of the values and of the dense rows."""
        return self.values.device

    def to(self, device: torch.device) -> CSRRows:
        """Move to a device."""
        parts = (self.starts, self.columns, self.values, self.default)
        return CSRRows(*(part.to(device) for part in parts))

    def __getitem__(self, rows: Tensor) -> Tensor:
        """Return dense rows, of shape ``(*rows.shape, n_columns)``."""
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
        """Yield dense rows, `size` at a time, or fewer if they are wide."""
        numbers_of_all = torch.arange(len(self), device=self.device)
        for numbers in numbers_of_all.split(chunk_size(size, self.shape[1])):
            yield self[numbers]

    def _n_entries(self) -> Tensor:
        return torch.bincount(self.columns, minlength=self.shape[1])

    def any(self, dim: int) -> Tensor:
        """Return whether each column has a value other than 0."""
        assert dim == 0
        stored = torch.zeros_like(self.default, dtype=torch.bool)
        stored[self.columns[self.values != 0]] = True
        return stored | ((self.default != 0) & (self._n_entries() < len(self)))

    def isinf(self) -> Tensor:
        """Return which values are infinite."""
        return torch.cat([self.values, self.default]).isinf()

    def nansum(self, dim: int) -> Tensor:
        """Return the sum of each column, in float64."""
        assert dim == 0
        # On the CPU, because not every device has float64.
        columns, values, default = (t.cpu() for t in (self.columns, self.values, self.default))
        # Without entries, torch.bincount returns integers.
        sums = torch.bincount(columns, values.double(), minlength=len(default)).double()
        return sums + (len(self) - self._n_entries().cpu()) * default

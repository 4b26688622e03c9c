"""Rows of a CSR matrix, made dense one batch at a time."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from typing import cast

import torch
from torch import Tensor

from skae.core.entry_rows import EntryRows
from skae.core.numerics import chunk_size

# If X has at least 1000 columns and at most 5 % nonzero values, multiplying only these takes less
# time than a dense product: for a layer of 256 units, forward and backward, a fifth of it at 1 %
# nonzero values, two thirds at 8 %.
_MIN_COLUMNS = 1000
_MAX_DENSITY = 0.05


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

    @cached_property
    def is_mostly_default(self) -> bool:
        """Whether dense rows should know their entries: wide rows with few, on the CPU."""
        n_most = _MAX_DENSITY * len(self) * self.shape[1]
        is_wide = self.shape[1] >= _MIN_COLUMNS
        return is_wide and len(self.values) <= n_most and self.device.type == "cpu"

    @cached_property
    def offset(self) -> Tensor:
        """The default values; 0 in columns where each row has an entry."""
        return torch.where(self._n_entries() < len(self), self.default, 0.0)

    def select(self, rows: Tensor) -> CSRRows:
        """Return some of the rows as CSR rows."""
        lengths, entries = self._entries(rows)
        starts = torch.cat([lengths.new_zeros(1), lengths.cumsum(0)])
        return CSRRows(starts, self.columns[entries], self.values[entries], self.default)

    def _entries(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Return the number of entries of each row, and where the entries are."""
        first = self.starts[rows]
        lengths = self.starts[rows + 1] - first
        before = lengths.cumsum(0) - lengths  # entries of earlier rows
        entries = torch.arange(int(lengths.sum()), device=self.device)
        return lengths, entries + (first - before).repeat_interleave(lengths)

    def __getitem__(self, rows: Tensor | tuple[slice, Tensor]) -> Tensor:
        """Return dense rows, ``(*rows.shape, n_columns)``, or of all rows these columns.

        If most values are the default, the rows are `EntryRows`.
        """
        if isinstance(rows, tuple):
            return self._columns(rows[1])
        numbers = rows.reshape(-1)
        lengths, entries = self._entries(numbers)
        positions = torch.arange(len(numbers), device=self.device).repeat_interleave(lengths)
        dense = self.default.repeat(len(numbers), 1)
        columns, values = self.columns[entries], self.values[entries]
        dense[positions, columns] = values
        dense = dense.view(*rows.shape, -1)
        if not self.is_mostly_default:
            return dense
        return EntryRows.of(dense, positions, columns, values, self.offset)

    def with_columns(self, dense: Tensor) -> CSRRows:
        """Return the rows with dense columns on their right."""
        n_new = dense.shape[1]
        places = torch.arange(len(self), device=self.device)
        rows = places.repeat_interleave(self.starts.diff())
        starts = self.starts + n_new * torch.arange(len(self) + 1, device=self.device)
        new_entries = (starts[1:, None] - n_new + torch.arange(n_new, device=self.device)).flatten()
        old_entries = torch.arange(len(self.columns), device=self.device) + n_new * rows
        columns = self.columns.new_empty(int(starts[-1]))
        values = self.values.new_empty(int(starts[-1]))
        columns[old_entries], values[old_entries] = self.columns, self.values
        new_columns = torch.arange(n_new, device=self.device) + self.shape[1]
        columns[new_entries], values[new_entries] = new_columns.repeat(len(self)), dense.flatten()
        return CSRRows(starts, columns, values, torch.cat([self.default, dense.new_zeros(n_new)]))

    def repeat(self, times: int, n_columns: int) -> CSRRows:
        """Return all rows this many times, one below the other."""
        assert n_columns == 1
        return self.select(torch.arange(len(self), device=self.device).repeat(times))

    def split(self, size: int) -> Iterator[Tensor]:
        """Yield dense rows, `size` at a time, or fewer if they are wide."""
        numbers_of_all = torch.arange(len(self), device=self.device)
        for numbers in numbers_of_all.split(chunk_size(size, self.shape[1])):
            yield self[numbers]

    def _n_entries(self) -> Tensor:
        return torch.bincount(self.columns, minlength=self.shape[1])

    def _columns(self, columns: Tensor) -> Tensor:
        if columns.dtype == torch.bool:
            columns = columns.nonzero()[:, 0]
        place = torch.full((self.shape[1],), -1, device=self.device)
        place[columns] = torch.arange(len(columns), device=self.device)
        rows = torch.arange(len(self), device=self.device).repeat_interleave(self.starts.diff())
        places = place[self.columns]
        is_wanted = places >= 0
        dense = self.default[columns].repeat(len(self), 1)
        dense[rows[is_wanted], places[is_wanted]] = self.values[is_wanted]
        return dense

    def any(self, dim: int) -> Tensor:
        """Return whether each column has a value other than 0."""
        assert dim == 0
        stored = torch.zeros_like(self.default, dtype=torch.bool)
        stored[self.columns[self.values != 0]] = True
        return stored | ((self.default != 0) & (self._n_entries() < len(self)))

    def isinf(self) -> Tensor:
        """Return which values are infinite."""
        return torch.cat([self.values, self.default]).isinf()

    def isnan(self) -> Tensor:
        """Return which values are missing."""
        return torch.cat([self.values, self.default]).isnan()

    def nan_to_num(self, nan: float) -> CSRRows:
        """Return the rows themselves, which have no missing values."""
        return self

    def amin(self, dim: int) -> Tensor:
        """Return the smallest value of each column."""
        return self._extremes(dim, "amin", torch.inf)

    def amax(self, dim: int) -> Tensor:
        """Return the largest value of each column."""
        return self._extremes(dim, "amax", -torch.inf)

    def _extremes(self, dim: int, reduce: str, least: float) -> Tensor:
        assert dim == 0
        default = torch.where(self._n_entries() < len(self), self.default, least)
        return default.scatter_reduce(0, self.columns, self.values, reduce)

    def scaled(self, scale: float, shift: Tensor) -> CSRRows:
        """Return the rows, ``scale`` times as large and shifted by a number for each column."""
        values = torch.add(shift[self.columns], self.values, alpha=scale)
        default = torch.add(shift, self.default, alpha=scale)
        return CSRRows(self.starts, self.columns, values, default)

    def var(self, dim: int, correction: int) -> Tensor:
        """Return the variance of each column, computed in float64."""
        assert correction == 0
        mean = self.nansum(dim) / len(self)
        columns, values = self.columns.cpu(), self.values.cpu().double()
        squares = torch.bincount(columns, (values - mean[columns]).square(), minlength=len(mean))
        n_default = len(self) - self._n_entries().cpu()
        total = squares + n_default * (self.default.cpu() - mean).square()
        return (total / len(self)).to(self.dtype).to(self.device)

    def nansum(self, dim: int) -> Tensor:
        """Return the sum of each column, in float64."""
        assert dim == 0
        # On the CPU, because not every device has float64.
        columns, values, default = (t.cpu() for t in (self.columns, self.values, self.default))
        # Without entries, torch.bincount returns integers.
        sums = torch.bincount(columns, values.double(), minlength=len(default)).double()
        return sums + (len(self) - self._n_entries().cpu()) * default


def select_rows(rows: Tensor, numbers: Tensor) -> Tensor:
    """Return some rows, dense or CSR as they are."""
    return cast("Tensor", rows.select(numbers)) if isinstance(rows, CSRRows) else rows[numbers]


def append_columns(rows: Tensor, dense: Tensor) -> Tensor:
    """Return rows, dense or CSR, in float32, with dense columns on their right.

    A batch of both is then gathered in one call.
    """
    if isinstance(rows, CSRRows):
        return cast("Tensor", rows.with_columns(dense))
    return torch.column_stack([rows.float(), dense])

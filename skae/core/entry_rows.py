"""Batches of dense rows that know their few entries, and what is faster from the entries alone."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from skae.core.losses import CountUnits


class EntryRows(Tensor):
    """Dense rows, most of whose values are those of a default row.

    Torch takes them as the dense rows that they are, and whatever it makes of them is an ordinary
    tensor. A layer and a loss that know the class get the same results in a fraction of the time.

    Attributes
    ----------
    entry_rows, entry_columns : Tensor of shape (n_entries,), int64
        Where the entries are; rows are numbered through, over the models.
    entry_values : Tensor of shape (n_entries,)
    default : Tensor of shape (n_columns,)
        Value of each column in rows without an entry there; 0 in columns that have no such row, as
        a difference from the default would lose digits.
    """

    __torch_function__ = torch._C._disabled_torch_function_impl  # type: ignore[assignment]

    entry_rows: Tensor
    entry_columns: Tensor
    entry_values: Tensor
    default: Tensor

    @classmethod
    def of(
        cls, dense: Tensor, rows: Tensor, columns: Tensor, values: Tensor, default: Tensor
    ) -> EntryRows:
        """Return dense rows with their entries."""
        batch = dense.as_subclass(cls)
        batch.entry_rows, batch.entry_columns = rows, columns
        batch.entry_values, batch.default = values, default
        return batch

    def times(self, weight: Tensor) -> Tensor:
        """Return ``x weight``, with the gradient of the weight.

        The weights of the entries are looked up and summed, and the product of the default row is
        added to all.
        """
        *n_models, n_rows, n_columns = self.shape
        n_all = self.shape[:-1].numel()
        places = self.entry_columns
        if n_models:  # each has its own weights
            places = places + self.entry_rows // n_rows * n_columns
        lengths = torch.bincount(self.entry_rows, minlength=n_all)
        sums = F.embedding_bag(
            places,
            weight.reshape(-1, weight.shape[-1]),
            torch.cat([lengths.new_zeros(1), lengths.cumsum(0)]),
            mode="sum",
            per_sample_weights=self.entry_values - self.default[self.entry_columns],
            include_last_offset=True,
        )
        with torch.autocast("cpu", enabled=False):  # as in the sums
            of_default = torch.matmul(self.default, weight)
        return sums.view(*self.shape[:-1], -1) + of_default.unsqueeze(-2)

    def multinomial_losses(self, output: Tensor, units: CountUnits) -> Tensor:
        """Return the sum of `skae.core.losses.multinomial` over each row.

        It is ``sum(x log(x / total / share))``, in which counts of 0 have no part.
        """
        log_shares = F.log_softmax(output + units.log_share, -1)
        rows, columns = self.entry_rows, self.entry_columns
        deviations = torch.addcmul(units.excess[columns], self.entry_values, units.slope[columns])
        counts = (1.0 + deviations).clamp_min(0) * units.weight[columns]
        nothing = counts.new_zeros(self.shape[:-1].numel())
        shares = counts / nothing.index_add(0, rows, counts)[rows]
        distances = shares.log() - log_shares.flatten()[rows * self.shape[-1] + columns]
        losses = torch.where(counts > 0, counts * distances, 0.0)
        return nothing.index_add(0, rows, losses).view(self.shape[:-1])

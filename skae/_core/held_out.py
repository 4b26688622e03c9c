"""Rows that judge the training: a split, or folds of which each judges a model of its own."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from skae._core.chunks import rows_at_a_time

# How many standard errors below PCA's the held-out error must lie before the trained network
# replaces PCA. At 2, one case in 24 on tiny data was worse than PCA; at 3, none.
STANDARD_ERRORS = 3.0
# And by how much of PCA's error: a gain below a hundredth did not carry over to fresh rows.
LEAST_GAIN = 0.01
# By how many times its error under PCA a further row as heavy as the heaviest may go wrong, and
# the gain still be one. On heavy tails, of the gains that only the second rule took for one, 10 of
# 25 were none on fresh rows at 0, 3 of 12 at 1, none of 6 at 2.
OUTLASTED = 2.0
_ROWS_AT_A_TIME = 4096


@dataclass(frozen=True)
class Division:
    """Which rows train and which rows judge.

    Attributes
    ----------
    training : list of Tensor
        Row numbers, one tensor a model.
    held_out : Tensor of shape (n_held_out,) or (n_models, n_held_out), or None
        Row numbers that judge each model.
    counted : Tensor of bool, of the shape of `held_out`, or None
        False where a row only fills up a shorter fold, or judges a model that trained on it.
    copies : Tensor of shape (n_rows,), or None
        The same number for rows that are copies of one another, which are on one side; None where
        all rows are distinct.
    """

    training: list[Tensor]
    held_out: Tensor | None = None
    counted: Tensor | None = None
    copies: Tensor | None = None

    @property
    def n_models(self) -> int | None:
        """Length of the model axis; None for one model without that axis."""
        return None if len(self.training) == 1 else len(self.training)

    @property
    def n_training(self) -> int:
        """Number of rows that the model with the most rows trains on."""
        return max(len(rows) for rows in self.training)


def no_division(n_rows: int) -> Division:
    """Train on every row, judge on none."""
    return Division([torch.arange(n_rows)])


def single_split(held_out: Tensor, training: Tensor) -> Division:
    """Let some rows judge; the model to keep never sees them."""
    return Division([training], held_out, torch.ones_like(held_out, dtype=torch.bool))


def cross_fit(folds: Sequence[Tensor], n_rows: int) -> Division:
    """Let model i be judged by fold i, while a last model trains on all rows.

    The model to keep has then seen every row, and with folds that cover the data every row has
    judged: on a hundred rows both matter. The last model is judged by nobody; it is taken at the
    epoch that the others chose.
    """
    everything = torch.arange(n_rows)
    longest = max(len(fold) for fold in folds)
    # Rows that do not count are real ones all the same: what a batch's mean decides needs them.
    held_out = torch.stack([repeated(fold, longest) for fold in [*folds, folds[0]]])
    counted = torch.zeros_like(held_out, dtype=torch.bool)
    training = []
    for i, fold in enumerate(folds):
        counted[i, : len(fold)] = True
        kept = torch.ones(n_rows, dtype=torch.bool)
        kept[fold] = False
        training.append(everything[kept])
    return Division([*training, everything], held_out, counted)


def repeated(rows: Tensor, length: int) -> Tensor:
    """Return the rows, begun again until there are so many."""
    return rows.repeat(-(-length // len(rows)))[:length]


def _as_measured(measured: Tensor, counted: Tensor) -> Tensor:
    return measured


class Judge:
    """Loss of each distinct held-out row under the present parameters.

    Copies of a row are one piece of evidence, with the weight of all of them.

    Parameters
    ----------
    measure : callable
        A part of the rows to what decides their losses, rows on the last axis.
    data : Tensor
    division : Division
    conclude : callable
        ``(measured, counted)``, of all held-out rows, to their losses; by default what is measured
        is the losses.
    widest : int
        Most numbers that the network makes of a row.
    """

    def __init__(
        self,
        measure: Callable[[Tensor], Tensor],
        data: Tensor,
        division: Division,
        conclude: Callable[[Tensor, Tensor], Tensor] = _as_measured,
        widest: int = 1,
    ) -> None:
        assert division.held_out is not None
        assert division.counted is not None
        self.measure = measure
        self.conclude = conclude
        self.data = data
        n_rows = rows_at_a_time(_ROWS_AT_A_TIME, max(widest, math.prod(data.shape[1:])))
        self.chunks = division.held_out.to(data.device).split(n_rows, dim=-1)
        self.counted = division.counted.to(data.device)
        self.copies: Tensor | None = None
        if division.copies is not None:
            numbers = division.copies[division.held_out[division.counted]]
            self.copies = numbers.unique(return_inverse=True)[1]

    @torch.no_grad()
    def __call__(self) -> Tensor:
        measured = torch.cat([self.measure(self.data[rows]) for rows in self.chunks], dim=-1)
        losses = self.conclude(measured, self.counted)
        losses = losses[self.counted].cpu().double()
        if self.copies is None:
            return losses
        sums = losses.new_zeros(int(self.copies.max()) + 1).index_add_(0, self.copies, losses)
        return sums * (len(sums) / len(losses))


def is_clearly_better(losses: Tensor, start: Tensor, unit: float | None = None) -> bool:
    """Whether the mean paired change from `start` is a gain beyond doubt, and worth having.

    A loss with a zero of its own is measured by its start; a log-likelihood, which has none, by
    `unit`.

    A gain is beyond doubt, too, if it is with no row's gain counted for more than the largest loss
    of a row. That only takes gains away; where one row carries most of PCA's error, the standard
    error is else as large as the gain, though no row speaks against it. Such heavy rows are few
    among those that judge, so the gain must then also outlast one more of them that goes wrong.
    """
    change = losses - start
    if len(change) < 2:
        return False
    worth_having = LEAST_GAIN * (float(start.mean()) if unit is None else unit)
    capped = change.clamp_min(-max(0.0, float(change.max())))
    heaviest = float(start.max()) if unit is None else float(start.max() - start.min())
    outlasts = -float(change.sum()) > OUTLASTED * heaviest
    return -float(change.mean()) > worth_having and (
        _is_below_zero(change) or (outlasts and _is_below_zero(capped))
    )


def _is_below_zero(change: Tensor) -> bool:
    standard_error = float(change.std()) / math.sqrt(len(change))
    return -float(change.mean()) > STANDARD_ERRORS * standard_error

"""Which rows judge a training: none, folds or a split."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse import issparse
from sklearn.utils import gen_batches
from torch import Tensor

from skae._copies import number_of_rounded_row
from skae._core.held_out import Division, cross_fit, no_division, single_split
from skae._preparation import feature_means
from skae._sparse_input import Array, entries, sparse_squared_distances

# Fewer rows than this judge nothing at all; fewer distinct ones are no jury.
_FEWEST_ROWS = 10
# Below this many rows a tenth of them is too small a jury: folds judge instead, every row once.
_N_FOLDS = 5
_FOLDS_BELOW = 500
# So they do where the variance lies in fewer rows than this, of which a tenth would hold 15.
_FEWEST_LARGE_ROWS = 150.0
# Of all models side by side. More weights than these, with their gradients, the solver's moments
# and the best so far, take gigabytes; fewer folds then judge.
_MOST_WEIGHTS = 2**25
# Below this many rows a tenth of them is missed in training: a second model, trained beside the
# one that they judge, sees them all.
_REFIT_BELOW = 5000
# A jury holds between its share of the rows and of the variance over this, and times this.
_MOST_UNLIKE = 2.0
_MOST_DRAWS = 20
_ROWS_AT_A_TIME = 4096


def divide(
    n_rows: int,
    fraction: float,
    *,
    may_cross_fit: bool,
    generator: torch.Generator,
    X: Array | None = None,
    n_weights: int = 0,
) -> Division:
    """Choose the rows that judge: none, folds or a split, by how many rows there are.

    Parameters
    ----------
    n_rows : int
    fraction : float
        Share of the rows that judge, where a split does.
    may_cross_fit : bool
    generator : torch.Generator
    X : array or sparse matrix of shape (n_rows, n_features), or None
        The rows, of which copies stay together and rare large ones are not left to one side;
        None where they are distinct and alike.
    n_weights : int
        Of one model. Where models are large, fewer are trained side by side.
    """
    if n_rows < _FEWEST_ROWS:
        return no_division(n_rows)
    of_row = np.arange(n_rows) if X is None else number_of_rounded_row(X)
    if of_row.max() + 1 < _FEWEST_ROWS:  # copies are then what fresh rows will be, too
        of_row = np.arange(n_rows)
    n_distinct = int(of_row.max()) + 1

    def rows_of(distinct: Tensor) -> Tensor:
        place = torch.full((n_distinct,), -1)
        place[distinct] = torch.arange(len(distinct))
        place = place[torch.from_numpy(of_row)]
        rows = (place >= 0).nonzero()[:, 0]
        return rows[place[rows].argsort(stable=True)]

    copies = None if n_distinct == n_rows else torch.from_numpy(of_row)
    may_cross_fit = may_cross_fit and n_rows < _REFIT_BELOW
    n_folds = 1
    n_held_out = min(max(1, round(fraction * n_distinct)), n_distinct - 1)
    weights = np.bincount(of_row).astype(np.float64)[None]
    if X is not None:
        weights = np.stack([weights[0], np.bincount(of_row, squared_distances(X))])
    n_large = _effective_number(weights[-1])  # where X is given, of its variance
    if may_cross_fit and (n_distinct < _FOLDS_BELOW or n_large < _FEWEST_LARGE_ROWS):
        n_folds = min(_N_FOLDS, max(1, _MOST_WEIGHTS // max(1, n_weights) - 1))
        n_held_out = n_folds * n_distinct // _N_FOLDS
    if n_folds == _N_FOLDS:  # every row judges
        order = torch.randperm(n_distinct, generator=generator)
    else:
        order = _draw(weights, n_held_out, generator)
    held_out = order[:n_held_out]
    if may_cross_fit:
        folds = [rows_of(part) for part in held_out.tensor_split(n_folds)]
        division = cross_fit(folds, n_rows)
    else:
        division = single_split(rows_of(held_out), rows_of(order[n_held_out:]))
    return replace(division, copies=copies)


def stratified_split(labels: Tensor, fraction: float, generator: torch.Generator) -> Division:
    """Hold out this share of the rows, of each class alike and never the last row of one.

    Parameters
    ----------
    labels : Tensor of shape (n_rows,)
    fraction : float
    generator : torch.Generator
    """
    n_rows = len(labels)
    order = torch.randperm(n_rows, generator=generator)
    order = order[labels[order].argsort(stable=True)]
    is_first = torch.ones(n_rows, dtype=torch.bool)
    is_first[1:] = labels[order].diff() != 0
    candidates = order[~is_first]
    n_held_out = min(max(1, round(fraction * n_rows)), len(candidates))
    if n_rows < _FEWEST_ROWS or not n_held_out:
        return no_division(n_rows)
    # At even distances along the classes, one after another.
    start = torch.rand((), generator=generator, dtype=torch.float64)
    places = (torch.arange(n_held_out) + start) * (len(candidates) / n_held_out)
    held_out = torch.zeros(n_rows, dtype=torch.bool)
    held_out[candidates[places.long().clamp_max(len(candidates) - 1)]] = True
    return single_split(*(part.nonzero()[:, 0] for part in (held_out, ~held_out)))


def _effective_number(weights: NDArray[np.float64]) -> float:
    """Return how many equal weights would be as uneven (Kish 1965)."""
    squares = float(np.square(weights).sum())
    return float(weights.sum()) ** 2 / squares if squares else float(len(weights))


def _draw(weights: NDArray[np.float64], n_held_out: int, generator: torch.Generator) -> Tensor:
    """Return a random order of which the first `n_held_out` hold about their share of each weight.

    Where a few rows carry most of the variance, a jury without any of them would not speak of what
    decides the error. Where one row does, no draw is good, and the least bad is taken.
    """
    expected = weights.mean(axis=1) * n_held_out
    best, least = None, np.inf
    for _ in range(_MOST_DRAWS):
        order = torch.randperm(weights.shape[1], generator=generator)
        held = weights[:, order[:n_held_out].numpy()].sum(axis=1)
        low, high = np.minimum(held, expected), np.maximum(held, expected)
        unlike = float((high / np.maximum(low, np.finfo(float).eps)).max())
        if best is None or unlike < least:
            best, least = order, unlike
        if least <= _MOST_UNLIKE:
            break
    assert best is not None
    return best


def squared_distances(X: Array) -> NDArray[np.float64]:
    """Return the squared distance of each row from the mean, in a unit whose squares are finite.

    Missing entries (NaN) count as the mean.
    """
    mean = feature_means(X)
    values = entries(X)
    high, low = np.fmax.reduce(values, axis=None), np.fmin.reduce(values, axis=None)
    largest = float(max(abs(high), abs(low))) or 1.0
    if issparse(X):
        return sparse_squared_distances(X / largest, mean / largest)
    result = np.empty(len(X))
    for rows in gen_batches(len(X), _ROWS_AT_A_TIME):
        deviations = (X[rows] - mean) / largest
        result[rows] = np.nansum(np.square(deviations, out=deviations), axis=1)
    return result

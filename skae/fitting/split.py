"""The choice of held-out rows: none, cross-validation folds or a single split."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from numbers import Integral, Real
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import issparse
from sklearn.utils import gen_batches
from torch import Tensor

from skae.fitting.data import feature_means
from skae.fitting.duplicates import duplicate_groups
from skae.fitting.held_out import joined_groups, read_groups, read_splits
from skae.utils.csr import Array, csr_squared_distances

# With fewer rows, nothing is held out. With fewer distinct rows, duplicates are not grouped.
MIN_ROWS = 10
_N_FOLDS = 5
# Below this many distinct rows, a tenth of them is too small a validation set, so each row is held
# out once, in one of the folds.
_FOLDS_BELOW = 500
# The same holds if the variance lies in effectively fewer rows than this; a tenth would have 15.
_MIN_EFFECTIVE_ROWS = 150.0
# Of groups that the user names, at least so many are held out, in folds if need be: fewer could not
# show that most of them improve.
_MIN_HELD_OUT_GROUPS = 10
# Limit over all models on the model axis. More weights, with their gradients, moments and best
# values, take gigabytes. Beyond the limit, fewer folds are held out.
_MAX_WEIGHTS = 2**25
# Below this many rows, training suffers when a tenth is held out. Another model, trained together
# with the validated one, therefore sees all rows.
_TRAIN_ON_ALL_BELOW = 5000
# The held-out rows should have their share of the rows and of the variance, within this factor.
_MAX_IMBALANCE = 2.0
# Otherwise they are drawn again, at most this many times.
_MAX_DRAWS = 20
_CHUNK_ROWS = 4096


@dataclass(frozen=True)
class Split:
    """Indices of the training and held-out rows of each model on the model axis.

    Attributes
    ----------
    training : list of Tensor
        Rows that each model trains on. The last model is the final one.
    held_out : Tensor of shape (n_models, n_held_out), or None
        Rows that validate each model.
    mask : Tensor of bool, of shape (n_models, n_held_out), or None
        False where a row only pads a shorter fold, or where the model has trained on it.
    groups : Tensor of shape (n_rows,), or None
        Group of each row: its duplicates, and the rows that the user says belong together. Each
        counts as one. None if all rows are distinct.
    is_resumed : bool
        Whether the held-out rows chose the start, too. It is then one of the epochs to choose from,
        as in a longer fit, and the others need not be significantly better.
    """

    training: list[Tensor]
    held_out: Tensor | None = None
    mask: Tensor | None = None
    groups: Tensor | None = None
    is_resumed: bool = False


def no_split(n_rows: int) -> Split:
    """Return a split that trains one model on all rows and holds none out."""
    return Split([torch.arange(n_rows)])


def single_split(held_out: Tensor, training: Tensor) -> Split:
    """Return a split that holds some rows out; the final model never sees them."""
    held_out = held_out[None]
    return Split([training], held_out, torch.ones_like(held_out, dtype=torch.bool))


def cross_fit(
    folds: Sequence[Tensor], n_rows: int, training: Sequence[Tensor] | None = None
) -> Split:
    """Return a split that validates model i on fold i, and trains a last model on all rows.

    Model i trains on all rows that are not in its fold, or on `training[i]`.

    The last model is the final one. It is not validated; it stops at the epoch that is best for the
    others. So it uses every row, and with five folds every row is also held out once. Small data
    need both.
    """
    everything = torch.arange(n_rows)
    longest = max(folds, key=len)
    # The padding rows are real rows, because a criterion may take means over a batch. After a warm
    # start on other rows, a fold may be empty.
    padded = [np.resize((fold if len(fold) else longest).numpy(), len(longest)) for fold in folds]
    held_out = torch.from_numpy(np.stack([*padded, longest.numpy()]))
    mask = torch.zeros_like(held_out, dtype=torch.bool)
    others = []
    for i, fold in enumerate(folds):
        mask[i, : len(fold)] = True
        is_training = torch.ones(n_rows, dtype=torch.bool)
        is_training[fold] = False
        others.append(everything[is_training])
    return Split([*(training or others), everything], held_out, mask)


def _max_models(n_weights: int) -> int:
    """Return how many models of so many weights may be trained together, the final one included."""
    return max(2, _MAX_WEIGHTS // max(1, n_weights))


def choose_split(
    estimator: Any,
    X: Array,
    width: int,
    y: object,
    groups: ArrayLike | None,
    generator: torch.Generator,
    *,
    may_cross_fit: bool,
) -> Split:
    """Return the split of a fit that begins anew or has no rows that were held out before.

    Parameters
    ----------
    estimator : BaseAutoencoder
    X : array or CSR matrix of shape (n_samples, n_features)
    width : int
        Number of columns of the rows in training.
    y, groups : as given to `fit`
    generator : torch.Generator
    may_cross_fit : bool
    """
    splitter, n_rows = estimator.validation_fraction, X.shape[0]
    is_number = isinstance(estimator.n_components, Integral)
    n_components = int(estimator.n_components) if is_number else min(n_rows, width)
    n_weights = estimator._network(width, n_components).n_weights()
    given = None if groups is None else read_groups(estimator, n_rows, groups)
    if not isinstance(splitter, Real):
        n_most = _max_models(n_weights) - 1 if may_cross_fit else 1
        parts = read_splits(splitter, X, y, given, max_splits=n_most)
        training, folds = ([torch.from_numpy(pair[i]) for pair in parts] for i in (0, 1))
        units = duplicate_groups(X) if given is None else joined_groups(duplicate_groups(X), given)
        split = single_split(folds[0], training[0])
        if len(folds) > 1:
            split = cross_fit(folds, n_rows, training)
        return replace(split, groups=None if units.max() + 1 == n_rows else torch.from_numpy(units))
    return split_rows(
        X,
        n_rows,
        estimator.validation_fraction,
        may_cross_fit=may_cross_fit,
        n_weights=n_weights,
        generator=generator,
        given=given,
    )


def split_rows(
    X: Array | None,
    n_rows: int,
    fraction: float,
    *,
    may_cross_fit: bool,
    generator: torch.Generator,
    n_weights: int = 0,
    given: NDArray[np.int64] | None = None,
    least_groups: int = _MIN_HELD_OUT_GROUPS,
) -> Split:
    """Choose the held-out rows: none, folds or a single split.

    The choice depends on the numbers of rows, distinct rows and weights, and on the variance.

    Parameters
    ----------
    X : array or CSR matrix of shape (n_rows, n_features), or None
        The rows. Duplicates stay together, and rows far from the mean are balanced between training
        and validation, and between folds. With None, neither is done: each row is a group, and all
        count the same.
    n_rows : int
    fraction : float
        Share of the rows to hold out in a single split.
    may_cross_fit : bool
        Whether several models may be trained together.
    generator : torch.Generator
    n_weights : int
        Number of weights of one model. If it is large, fewer models are trained together.
    given : ndarray of int of shape (n_rows,), or None
        Groups of rows that belong together. If there are few, they are held out in folds.
    least_groups : int
        Least number of groups to hold out, but at most half of them.
    """
    if n_rows < MIN_ROWS:
        return no_split(n_rows)
    groups = np.arange(n_rows) if X is None else duplicate_groups(X)
    # New rows will repeat these few distinct rows too, so duplicates across the split do no harm.
    if groups.max() + 1 < MIN_ROWS:
        groups = np.arange(n_rows)
    if given is not None:
        groups = joined_groups(groups, given)
    n_groups = int(groups.max()) + 1
    if n_groups == 1:
        return no_split(n_rows)
    n_folds = 1
    n_held_out = min(max(1, round(fraction * n_groups)), n_groups - 1)
    has_few_groups = given is not None and n_held_out < least_groups
    may_cross_fit = may_cross_fit and (n_rows < _TRAIN_ON_ALL_BELOW or has_few_groups)
    if has_few_groups:
        n_held_out = min(least_groups, max(1, n_groups // 2))
    sizes = np.bincount(groups).astype(np.float64)[None]
    if X is not None:
        sizes = np.stack([sizes[0], np.bincount(groups, squared_distances(X))])
    squares = float(np.square(sizes[-1]).sum())
    # The effective number of weights (Kish 1965).
    n_effective = float(sizes[-1].sum()) ** 2 / squares if squares else float(n_groups)
    if may_cross_fit and (n_groups < _FOLDS_BELOW or n_effective < _MIN_EFFECTIVE_ROWS):
        n_folds = min(_N_FOLDS, _max_models(n_weights) - 1)
        n_held_out = n_folds * n_groups // _N_FOLDS
        if n_groups < _N_FOLDS:  # only where the user names them
            n_folds, n_held_out = min(n_folds, n_groups), n_groups
    if n_folds == _N_FOLDS:  # every row is held out
        order = _dealt_order(sizes[-1], generator)
    else:
        order = _balanced_order(sizes, n_held_out, generator)
    held_out = order[:n_held_out]
    if may_cross_fit:
        folds = [_rows_of(part, groups) for part in held_out.tensor_split(n_folds)]
        split = cross_fit(folds, n_rows)
    else:
        split = single_split(_rows_of(held_out, groups), _rows_of(order[n_held_out:], groups))
    return replace(split, groups=None if n_groups == n_rows else torch.from_numpy(groups))


def _rows_of(chosen: Tensor, groups: NDArray[np.int64]) -> Tensor:
    """Return the rows of the chosen groups, in the order of the groups."""
    place = torch.full((int(groups.max()) + 1,), -1)
    place[chosen] = torch.arange(len(chosen))
    place = place[torch.from_numpy(groups)]
    rows = (place >= 0).nonzero()[:, 0]
    return rows[place[rows].argsort(stable=True)]


def _dealt_order(weights: NDArray[np.float64], generator: torch.Generator) -> Tensor:
    """Return a random order that puts the folds one after the other, each with its share of weight.

    The items are dealt like cards, from the largest weight down: each fold gets one of every five,
    at random. Weights are rounded to steps of about a tenth, so that rounding errors do not change
    the order. If a few rows carry most of the variance and one fold has several of them, its
    model has seen too few others.
    """
    n_items, largest = len(weights), float(weights.max()) or 1.0
    levels = np.round(8 * np.log2(np.maximum(weights / largest, 1e-12)))
    shuffled = torch.randperm(n_items, generator=generator).numpy()
    largest_first = shuffled[np.argsort(-levels[shuffled], kind="stable")]
    rounds = torch.arange(n_items) // _N_FOLDS
    turns = torch.rand(n_items, generator=generator, dtype=torch.float64)
    dealt = torch.from_numpy(largest_first)[(rounds + turns).argsort(stable=True)]
    return torch.cat([dealt[fold::_N_FOLDS] for fold in range(_N_FOLDS)])


def _balanced_order(
    weights: NDArray[np.float64], n_held_out: int, generator: torch.Generator
) -> Tensor:
    """Return a random order whose first `n_held_out` items have about their share of each weight.

    If a few rows carry most of the variance, a validation set without any of them would say nothing
    about what determines the error. If no draw is balanced, as with a single such row, the best of
    `_MAX_DRAWS` is used.
    """
    expected = weights.mean(axis=1) * n_held_out
    best, least = None, np.inf
    for _ in range(_MAX_DRAWS):
        order = torch.randperm(weights.shape[1], generator=generator)
        held_out = weights[:, order[:n_held_out].numpy()].sum(axis=1)
        low, high = np.minimum(held_out, expected), np.maximum(held_out, expected)
        imbalance = float((high / np.maximum(low, np.finfo(float).eps)).max())
        if best is None or imbalance < least:
            best, least = order, imbalance
        if least <= _MAX_IMBALANCE:
            break
    assert best is not None
    return best


def squared_distances(X: Array) -> NDArray[np.float64]:
    """Return the squared distance of each row from the mean, in a unit that prevents overflow.

    Missing entries (NaN) count as the mean.
    """
    mean = feature_means(X)
    if issparse(X):
        largest = float(np.abs(X.data).max(initial=0.0)) or 1.0
        return csr_squared_distances(X, mean, largest)
    high, low = np.fmax.reduce(X, axis=None), np.fmin.reduce(X, axis=None)
    largest = float(max(abs(high), abs(low))) or 1.0
    result = np.empty(len(X))
    for rows in gen_batches(len(X), _CHUNK_ROWS):
        deviations = (X[rows] - mean) / largest
        result[rows] = np.nansum(np.square(deviations, out=deviations), axis=1)
    return result

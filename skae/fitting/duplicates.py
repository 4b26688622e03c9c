"""Duplicate rows of X: rows that are equal, exactly or up to rounding to float32."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array, issparse
from scipy.sparse.csgraph import connected_components
from sklearn.utils import gen_batches

from skae.core.numerics import chunk_size, row_slices
from skae.fitting.data import mean_and_scale
from skae.utils.csr import Array, csr_hashes

# Rounding to float32, or to the seven digits of a text file.
_ROUNDING = 4 * float(np.finfo(np.float32).eps)
# The rounding tolerance assumes that X is no further from 0 than this many deviations. Beyond that,
# rounding is as large as the structure of the data.
_MAX_DEVIATIONS = 100.0
_MAX_ROWS = 4096
# Rows are compared up to this distance in the sorted order: few other rows lie between duplicates.
_MAX_PLACES_APART = 8


def exact_groups(X: Array) -> NDArray[np.int64]:
    """Return the group number of each row; equal rows form a group.

    Groups are numbered in the order of their first rows.
    """
    if issparse(X):
        return in_order_of_appearance(np.fromiter(csr_hashes(X), np.int64, count=X.shape[0]))
    return in_order_of_appearance(distinct_rows(X))


def distinct_rows(X: NDArray[Any]) -> NDArray[np.int64]:
    """Return the number of each dense row among the distinct rows, in the order of their bytes.

    NaN equals itself. As `np.unique` over the rows, which copies them three times.
    """
    values = np.add(X, X.dtype.type(0), order="C")  # turns -0.0 into 0.0, whose bytes differ
    keys = values.view(np.dtype((np.void, values.itemsize * values.shape[1])))[:, 0]
    order = keys.argsort(kind="stable")
    is_new = np.zeros(len(order), dtype=np.int64)
    for part in gen_batches(max(1, len(order) - 1), chunk_size(_MAX_ROWS, X.shape[1])):
        is_new[1:][part] = keys[order[1:][part]] != keys[order[:-1][part]]
    numbers = np.empty_like(order)
    numbers[order] = is_new.cumsum()
    return numbers


def _distinct_sparse_rows(X: Any) -> NDArray[np.int64]:
    """Return what `distinct_rows` returns for the same rows as a dense array.

    The rows are sorted by a few of their columns at a time, the last ones first.
    """
    columns = X.tocsc()
    order = np.arange(X.shape[0])
    is_new = np.zeros(len(order), dtype=bool)  # whether a row differs from the one before it
    for part in list(row_slices(X.shape[1], chunk_size(X.shape[1], X.shape[0])))[::-1]:
        numbers = distinct_rows(columns[:, part].toarray())
        turned = numbers[order].argsort(kind="stable")
        # Rows that were equal so far stay neighbours if these columns are equal as well.
        groups = is_new.cumsum()[turned]
        order = order[turned]
        is_new[1:] = (np.diff(groups) != 0) | (np.diff(numbers[order]) != 0)
        is_new[0] = False
    result = np.empty_like(order)
    result[order] = is_new.cumsum()
    return result


def duplicate_groups(X: Array) -> NDArray[np.int64]:
    """Return the group number of each row; rows that differ only by rounding form a group.

    Near rows have near projections on any direction. Rows are therefore sorted by their projection
    on a random direction. Only neighbours in that order are compared, and only if they are also
    near in a second projection.
    """
    exact = exact_groups(X)
    rows = np.unique(exact, return_index=True)[1]
    scale = mean_and_scale(X)[1]
    # Short enough that no projection overflows.
    directions = np.random.RandomState(0).standard_normal((X.shape[1], 2)) / (10 * X.shape[1])
    projections, tolerances = np.empty((2, len(rows), 2))
    n_rows = chunk_size(_MAX_ROWS, X.shape[1])
    for part in gen_batches(len(rows), n_rows):
        values = X[rows[part]].astype(np.float64)
        stored = values.data if issparse(values) else values
        np.nan_to_num(stored, copy=False)
        projections[part] = values @ directions
        # The rounding of 0 is added below, for all entries, stored or not.
        stored[:] = _rounding(stored, scale) - _rounding(0.0, scale)
        tolerances[part] = values @ np.abs(directions)
    tolerances += _rounding(0.0, scale) * np.abs(directions).sum(axis=0)

    def are_near(first: NDArray[np.int64], second: NDArray[np.int64]) -> NDArray[np.bool_]:
        near = np.ones(len(first), dtype=bool)
        for part in gen_batches(len(first), n_rows) if len(first) else ():
            a, b = (_dense(X[rows[numbers[part]]]) for numbers in (first, second))
            equal = (np.abs(a - b) <= _rounding(a, scale)) | (np.isnan(a) & np.isnan(b))
            near[part] = equal.all(axis=1)
        return near

    order = projections[:, 0].argsort(kind="stable")
    links = coo_array((len(rows), len(rows)), dtype=bool)
    for apart in range(1, min(_MAX_PLACES_APART, len(rows) - 1) + 1):
        first, second = order[:-apart], order[apart:]
        gaps = np.abs(projections[first] - projections[second])
        candidates = np.flatnonzero((gaps <= tolerances[first]).all(axis=1))
        near = candidates[are_near(first[candidates], second[candidates])]
        pairs = first[near], second[near]
        links += coo_array((np.ones(len(near), dtype=bool), pairs), shape=links.shape)
    groups = connected_components(links, directed=False)[1]
    representative = np.unique(groups, return_index=True)[1][groups]
    # A chain of near rows may lead far away; a group holds only the rows near its first one.
    others = np.flatnonzero(representative != np.arange(len(rows)))
    far = others[~are_near(others, representative[others])]
    representative[far] = far
    return in_order_of_appearance(representative[exact])


@dataclass(frozen=True)
class WeightedRows:
    """Distinct rows with their targets and weights.

    Attributes
    ----------
    X : ndarray or CSR matrix of shape (n, n_features)
    targets : ndarray of shape (n, n_targets), float64
        NaN in rows without a label.
    weights : ndarray of shape (n,)
    numbers : ndarray of int of shape (n,)
        Where each row was found before duplicates were merged.
    """

    X: Array
    targets: NDArray[np.float64]
    weights: NDArray[np.float64]
    numbers: NDArray[np.int64]

    @property
    def is_labelled(self) -> NDArray[np.bool_]:
        """Mask of the rows that have a label."""
        return ~np.isnan(self.targets[:, 0])


def merge_duplicates(
    X: Array,
    targets: NDArray[np.float64],
    weights: NDArray[np.float64],
    keys: NDArray[np.int64] | None = None,
) -> WeightedRows:
    """Drop rows of weight 0, and merge equal rows with equal targets and equal `keys`.

    A row of weight 3 is then equivalent to three rows. The order of the rows does not matter,
    except for rounding in the sums of weights.
    """
    kept = weights > 0
    if keys is None:
        keys = np.empty((len(weights), 0), dtype=np.int64)
    if not kept.all():
        X, targets, weights, keys = X[kept], targets[kept], weights[kept], keys[kept]
    by_row = _distinct_sparse_rows(X) if issparse(X) else distinct_rows(X)
    table = np.column_stack([by_row, np.nan_to_num(targets, nan=np.inf), keys])
    _, first, by_pair = np.unique(table, axis=0, return_index=True, return_inverse=True)
    summed = np.bincount(by_pair.ravel(), weights).astype(np.float64)
    return WeightedRows(X[first], targets[first], summed, np.flatnonzero(kept)[first])


def _rounding(values: NDArray[np.float64] | float, scale: float) -> NDArray[np.float64]:
    """Return how much rounding may change these values of X, whose scale is `scale`."""
    size: NDArray[np.float64] = scale + np.minimum(np.abs(values), _MAX_DEVIATIONS * scale)
    return _ROUNDING * size


def _dense(rows: Any) -> NDArray[np.float64]:
    return (rows.toarray() if issparse(rows) else rows).astype(np.float64)


def in_order_of_appearance(values: NDArray[Any]) -> NDArray[np.int64]:
    """Return a number for each value, in the order in which values first appear."""
    _, first, numbers = np.unique(values, return_index=True, return_inverse=True)
    ranks = np.empty(len(first), dtype=np.int64)
    ranks[first.argsort()] = np.arange(len(first))
    return ranks[numbers]

"""Which rows are copies of one another."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array, issparse
from scipy.sparse.csgraph import connected_components
from sklearn.utils import gen_batches

from skae._core.chunks import rows_at_a_time
from skae._preparation import mean_and_scale
from skae._sparse_input import Array, sparse_hashes

# What float32, or a file with seven digits, may make of a number.
_ROUNDING = 4 * float(np.finfo(np.float32).eps)
# Of data further from 0 than this many deviations, what rounding does is as large as structure.
_FARTHEST = 100.0
_ROWS_AT_A_TIME = 4096
# Rows that are alike have others between them by chance only, and seldom.
_MOST_APART = 8


def number_of_distinct_row(X: Array) -> NDArray[np.int64]:
    """Return each row's number among the distinct rows, counted as they first appear."""
    # Adding 0 makes a zero of -0.0, which has other bytes.
    zero = X.dtype.type(0)
    hashes = sparse_hashes(X) if issparse(X) else (hash((row + zero).tobytes()) for row in X)
    return _as_they_appear(np.fromiter(hashes, np.int64, count=X.shape[0]))


def number_of_rounded_row(X: Array) -> NDArray[np.int64]:
    """Return the same where rows that differ by no more than rounding to float32 are one.

    Rows that are alike lie next to each other along any direction, so only neighbours along one
    are compared, and of these only those that are near along another.
    """
    exact = number_of_distinct_row(X)
    rows = np.unique(exact, return_index=True)[1]
    scale = mean_and_scale(X)[1]
    # So short that no sum overflows.
    directions = np.random.RandomState(0).standard_normal((X.shape[1], 2)) / (10 * X.shape[1])
    places, reach = np.empty((2, len(rows), 2))
    n_rows = rows_at_a_time(_ROWS_AT_A_TIME, X.shape[1])
    for part in gen_batches(len(rows), n_rows):
        values = X[rows[part]].astype(np.float64)
        stored = values.data if issparse(values) else values
        np.nan_to_num(stored, copy=False)
        places[part] = values @ directions
        stored[:] = _rounding(stored, scale) - _rounding(0.0, scale)  # of 0 below, for all
        reach[part] = values @ np.abs(directions)
    reach += _rounding(0.0, scale) * np.abs(directions).sum(axis=0)

    def are_alike(ones: NDArray[np.int64], others: NDArray[np.int64]) -> NDArray[np.bool_]:
        alike = np.ones(len(ones), dtype=bool)
        for part in gen_batches(len(ones), n_rows) if len(ones) else ():
            a, b = (_dense(X[rows[which[part]]]) for which in (ones, others))
            same = (np.abs(a - b) <= _rounding(a, scale)) | (np.isnan(a) & np.isnan(b))
            alike[part] = same.all(axis=1)
        return alike

    order = places[:, 0].argsort(kind="stable")
    links = coo_array((len(rows), len(rows)), dtype=bool)
    for apart in range(1, min(_MOST_APART, len(rows) - 1) + 1):
        ones, others = order[:-apart], order[apart:]
        near = np.flatnonzero((np.abs(places[ones] - places[others]) <= reach[ones]).all(axis=1))
        alike = near[are_alike(ones[near], others[near])]
        pairs = ones[alike], others[alike]
        links += coo_array((np.ones(len(alike), dtype=bool), pairs), shape=links.shape)
    groups = connected_components(links, directed=False)[1]
    first = np.unique(groups, return_index=True)[1][groups]
    # A chain of rows may lead far; only those that are like its first belong to it.
    follow = np.flatnonzero(first != np.arange(len(rows)))
    apart_after_all = follow[~are_alike(follow, first[follow])]
    first[apart_after_all] = apart_after_all
    return _as_they_appear(first[exact])


def _rounding(values: NDArray[np.float64] | float, scale: float) -> NDArray[np.float64]:
    """Return by how much rounding, of X or of X in the units of a training, may move values."""
    allowed: NDArray[np.float64] = scale + np.minimum(np.abs(values), _FARTHEST * scale)
    return _ROUNDING * allowed


def _dense(rows: Any) -> NDArray[np.float64]:
    return (rows.toarray() if issparse(rows) else rows).astype(np.float64)


def _as_they_appear(values: NDArray[np.integer]) -> NDArray[np.int64]:
    """Return a number for each value, by where it first is."""
    _, first, numbers = np.unique(values, return_index=True, return_inverse=True)
    in_order = np.empty(len(first), dtype=np.int64)
    in_order[first.argsort()] = np.arange(len(first))
    return in_order[numbers]

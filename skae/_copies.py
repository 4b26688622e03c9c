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
    """Return the same for rows of which those that differ by rounding to float32 are one.

    Rows that are alike lie next to each other along any direction, so only neighbours along one
    are compared, and of these only those that are near along another.
    """
    exact = number_of_distinct_row(X)
    rows = np.unique(exact, return_index=True)[1]
    mean, scale = mean_and_scale(X)
    least = _ROUNDING * (np.abs(mean) + scale)
    # So short that no sum overflows.
    directions = np.random.RandomState(0).standard_normal((X.shape[1], 2)) / (10 * X.shape[1])
    places = np.empty((len(rows), 2))
    reach = np.empty((len(rows), 2))
    n_rows = rows_at_a_time(_ROWS_AT_A_TIME, X.shape[1])
    for part in gen_batches(len(rows), n_rows):
        values = np.nan_to_num(_dense(X, rows[part]))
        places[part] = values @ directions
        reach[part] = (least + _ROUNDING * np.abs(values)) @ np.abs(directions)
    order = places[:, 0].argsort(kind="stable")
    ones, others = [], []
    for apart in range(1, min(_MOST_APART, len(rows) - 1) + 1):
        one, other = order[:-apart], order[apart:]
        near = (np.abs(places[one] - places[other]) <= reach[one]).all(axis=1)
        one, other = one[near], other[near]
        for part in gen_batches(len(one), n_rows) if len(one) else ():
            a, b = _dense(X, rows[one[part]]), _dense(X, rows[other[part]])
            same = np.abs(a - b) <= least + _ROUNDING * np.abs(a)
            alike = (same | (np.isnan(a) & np.isnan(b))).all(axis=1)
            ones.append(one[part][alike])
            others.append(other[part][alike])
    if not ones:
        return exact
    pairs = np.concatenate(ones), np.concatenate(others)
    links = coo_array((np.ones(len(pairs[0])), pairs), shape=(len(rows), len(rows)))
    return _as_they_appear(connected_components(links, directed=False)[1][exact])


def _dense(X: Any, rows: NDArray[np.int64]) -> NDArray[np.float64]:
    part = X[rows]
    return (part.toarray() if issparse(part) else part).astype(np.float64)


def _as_they_appear(values: NDArray[np.integer]) -> NDArray[np.int64]:
    """Return a number for each value, by where it first is."""
    _, first, numbers = np.unique(values, return_index=True, return_inverse=True)
    in_order = np.empty(len(first), dtype=np.int64)
    in_order[first.argsort()] = np.arange(len(first))
    return in_order[numbers]

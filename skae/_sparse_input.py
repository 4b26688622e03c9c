"""Sparse X: what is asked of a dense matrix, without ever making one."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse import issparse
from sklearn.utils import gen_batches
from sklearn.utils.sparsefuncs import min_max_axis
from torch import Tensor

from skae._core.chunks import rows_at_a_time
from skae._core.sparse_rows import SparseRows

Array = NDArray[Any]

_ROWS_AT_A_TIME = 4096


def entries(X: Any) -> Array:
    """Values of X; of sparse X the stored ones and a zero, which stands for all others."""
    return np.append(X.data, X.dtype.type(0)) if issparse(X) else X


def dense_parts(X: Any) -> Iterator[Array]:
    """Yield a part of sparse rows after another, and dense rows as they are."""
    if not issparse(X):
        yield X
        return
    for part in gen_batches(X.shape[0], rows_at_a_time(_ROWS_AT_A_TIME, X.shape[1])):
        yield X[part].toarray()


def sparse_rows(X: Any, values: Array, default: Array) -> Tensor:
    """Return a stand-in for the tensor of the rows of X, with other values.

    It is no tensor, but has all that is asked of one in encoding and in training.
    """
    # torch cannot share memory that is read-only.
    values = np.require(values, requirements="W")
    parts = (X.indptr.astype(np.int64), X.indices.astype(np.int64), values, default)
    return cast("Tensor", SparseRows(*(torch.from_numpy(part) for part in parts)))


def sparse_means(X: Any) -> NDArray[np.float64]:
    """Mean of each column."""
    # Weights are summed in float64; X.sum would add float32 entries as such.
    sums = np.bincount(X.indices, weights=X.data, minlength=X.shape[1])
    low, high = min_max_axis(X, axis=0)
    return np.where(high == low, high, sums / X.shape[0])  # a constant, without rounding


def sparse_scale(X: Any, mean: NDArray[np.float64]) -> float:
    """Root mean square of ``X - mean`` over all entries; 1 where nothing varies."""
    n_not_stored = X.shape[0] - np.bincount(X.indices, minlength=X.shape[1])
    deviations = np.concatenate([X.data - mean[X.indices], mean[n_not_stored > 0]])
    times = np.concatenate([np.ones(X.nnz), n_not_stored[n_not_stored > 0]])
    largest = float(np.abs(deviations).max(initial=0.0))
    # Rounding noise about a constant is not a scale.
    if largest <= 4 * np.finfo(X.dtype).eps * float(np.abs(mean).max()):
        return 1.0
    mean_square = times @ np.square(deviations / largest) / np.prod(X.shape, dtype=float)
    return largest * float(np.sqrt(mean_square))


def sparse_hashes(X: Any) -> Iterator[int]:
    """Yield one number a row, the same for equal rows with their entries in equal order."""
    for start, end in pairwise(X.indptr):
        yield hash((X.indices[start:end].tobytes(), X.data[start:end].tobytes()))


def sparse_squared_distances(X: Any, mean: NDArray[np.float64]) -> NDArray[np.float64]:
    """Squared distance of each row from the mean."""
    X = X.astype(np.float64)
    squares = np.asarray(X.multiply(X).sum(axis=1)).ravel()
    return np.maximum(squares - 2.0 * (X @ mean) + mean @ mean, 0.0)

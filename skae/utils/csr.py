"""Computations on CSR matrices without making X dense."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse import issparse
from sklearn.preprocessing import normalize
from sklearn.utils.sparsefuncs import min_max_axis
from torch import Tensor

from skae.core.csr_rows import CSRRows
from skae.core.numerics import chunk_size, row_slices

Array = NDArray[Any]

_MAX_ROWS = 4096
# Values so large that their sum would overflow are divided by this first, which is exact.
MEAN_UNIT = 2.0**64


def values_of(X: Any) -> Array:
    """Return the values of X; for a CSR matrix, the stored values and a single zero."""
    return np.append(X.data, X.dtype.type(0)) if issparse(X) else X


def varies(X: Any) -> bool:
    """Return whether X, dense or CSR, has two different rows; NaN equals any value."""
    if issparse(X):
        low, high = min_max_axis(X, axis=0)
        return bool((high > low).any())
    return bool((np.fmax.reduce(X) > np.fmin.reduce(X)).any())


def dense_parts(X: Any, n_rows: int = _MAX_ROWS) -> Iterator[Array]:
    """Yield X as dense arrays of `n_rows` rows, or fewer if they are wide."""
    for part in row_slices(X.shape[0], chunk_size(n_rows, X.shape[1])):
        yield X[part].toarray() if issparse(X) else X[part]


def canonical(X: Any) -> Any:
    """Return X; a CSR matrix with each entry stored once, in order, and no zeros, as a copy.

    Equal rows then store the same entries.
    """
    if not issparse(X) or (X.has_canonical_format and X.data.all()):
        return X
    X = X.copy()
    X.sum_duplicates()
    X.eliminate_zeros()
    return X


def unit_rows(X: Any) -> Any:
    """Return the rows of X, dense or CSR, scaled to Euclidean length 1; empty rows stay empty."""
    if np.fmin.reduce(values_of(X), axis=None) < 0:
        return X  # no counts, which the check of the loss reports with the values of X
    return normalize(normalize(X, norm="max"), copy=False)  # so that no square overflows


def csr_rows(X: Any, values: Array, default: Array) -> Tensor:
    """Return the rows of X with new values, for training and encoding.

    Typed as a tensor, since `CSRRows` implements the methods of a tensor that both use.
    """
    # torch cannot share read-only memory.
    values = np.require(values, requirements="W")
    parts = (X.indptr.astype(np.int64), X.indices.astype(np.int64), values, default)
    return cast("Tensor", CSRRows(*(torch.from_numpy(part) for part in parts)))


def csr_means(X: Any) -> NDArray[np.float64]:
    """Return the mean of each column."""
    low, high = min_max_axis(X, axis=0)
    values, unit = X.data, 1.0  # a power of two, so that sums do not overflow
    if max(high.max(), -low.min()) > np.finfo(np.float64).max / X.shape[0]:
        unit = MEAN_UNIT
        values = values / unit
    # bincount sums in float64; X.sum would sum float32 entries in float32.
    means = np.bincount(X.indices, weights=values, minlength=X.shape[1]) / X.shape[0] * unit
    return np.where(high == low, high, means)  # exact for a constant column


def csr_scale(X: Any, mean: NDArray[np.float64]) -> float:
    """Return the root mean square of ``X - mean`` over all entries, or 1 if X is constant."""
    n_not_stored = X.shape[0] - np.bincount(X.indices, minlength=X.shape[1])
    deviations = np.concatenate([X.data - mean[X.indices], mean[n_not_stored > 0]])
    times = np.concatenate([np.ones(X.nnz), n_not_stored[n_not_stored > 0]])
    largest = float(np.abs(deviations).max(initial=0.0))
    # X is constant up to rounding.
    if largest <= 4 * np.finfo(X.dtype).eps * float(np.abs(mean).max()):
        return 1.0
    mean_square = times @ np.square(deviations / largest) / np.prod(X.shape, dtype=float)
    return largest * float(np.sqrt(mean_square))


def csr_hashes(X: Any) -> Iterator[int]:
    """Yield the hash of each row; equal rows need their entries in the same order."""
    for start, end in pairwise(X.indptr):
        yield hash((X.indices[start:end].tobytes(), X.data[start:end].tobytes()))


def csr_squared_distances(X: Any, mean: NDArray[np.float64], unit: float) -> NDArray[np.float64]:
    """Return the squared distance of each row from the mean, in this unit."""
    X, mean = X.astype(np.float64), mean / unit
    X.data /= unit  # X / unit would multiply by 1 / unit, which may overflow
    squares = np.asarray(X.multiply(X).sum(axis=1)).ravel()
    return np.maximum(squares - 2.0 * (X @ mean) + mean @ mean, 0.0)

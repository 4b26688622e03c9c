"""Conversion of X to training rows: means, scale and units."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse import issparse
from sklearn.utils import gen_batches
from torch import Tensor

from skae.core.model import Model
from skae.core.numerics import chunk_size
from skae.utils.csr import MEAN_UNIT, Array, csr_means, csr_rows, csr_scale

_MAX_ROWS = 4096


def _parts(X: Array, rows: NDArray[np.int64] | None) -> Iterator[tuple[slice, Array]]:
    """Yield the rows (None is all) in float64, as copies of a part at a time."""
    n_rows = len(X) if rows is None else len(rows)
    for part in gen_batches(n_rows, chunk_size(_MAX_ROWS, X.shape[1])):
        values = X[part] if rows is None else X[rows[part]]
        yield part, values.astype(np.float64, copy=rows is None)


def feature_means(X: Any, rows: NDArray[np.int64] | None = None) -> NDArray[np.float64]:
    """Return the mean of each feature over the rows (None is all), ignoring missing entries."""
    if issparse(X):
        return csr_means(X if rows is None else X[rows])
    n_rows = len(X) if rows is None else len(rows)
    extremes = (np.fmax.reduce(X, axis=None), -np.fmin.reduce(X, axis=None))
    # A power of two, so that sums of huge numbers do not overflow.
    unit = MEAN_UNIT if max(extremes) > np.finfo(np.float64).max / n_rows else 1.0
    sums, n_values = np.zeros(X.shape[1]), np.zeros(X.shape[1], dtype=np.int64)
    high, low = np.full((2, X.shape[1]), np.nan)
    for _, values in _parts(X, rows):
        high = np.fmax(high, np.fmax.reduce(values, axis=0))
        low = np.fmin(low, np.fmin.reduce(values, axis=0))
        n_values += len(values)
        if (missing := np.isnan(values)).any():
            n_values -= np.count_nonzero(missing, axis=0)
            values[missing] = 0.0
        if unit != 1.0:
            values /= unit
        values[0] += sums  # the order of the sum, and so its rounding, is that of a single part
        sums = values.sum(axis=0)
    if not n_values.all():
        raise ValueError(
            f"Features {np.flatnonzero(n_values == 0).tolist()} have no value in any training row, "
            "so nothing can be learned about them. Drop them from X."
        )
    # The mean of a constant feature, without rounding.
    return np.where(high == low, high, sums / n_values * unit)


def mean_and_scale(
    X: Any, rows: NDArray[np.int64] | None = None
) -> tuple[NDArray[np.float64], float]:
    """Return the feature means and the root mean square of ``X - mean`` over all entries.

    Missing entries (NaN) are ignored. With `rows`, both are those of ``X[rows]``, without a copy.
    """
    if issparse(X):
        X = X if rows is None else X[rows]
        mean = csr_means(X)
        return mean, csr_scale(X, mean)
    mean, largest = feature_means(X, rows), 0.0
    for _, values in _parts(X, rows):
        values -= mean
        largest = max(largest, float(np.fmax.reduce(np.abs(values, out=values), axis=None)))
    # If all features are constant, deviations are rounding error and no scale.
    if largest <= 4 * np.finfo(X.dtype).eps * float(np.abs(mean).max()):
        return mean, 1.0
    total, n_entries = 0.0, 0
    for _, values in _parts(X, rows):
        values -= mean
        values /= largest  # or the square might overflow
        n_entries += values.size
        if (missing := np.isnan(values)).any():
            n_entries -= int(np.count_nonzero(missing))
            values[missing] = 0.0
        total += float(np.square(values, out=values).sum())
    return mean, largest * float(np.sqrt(total / n_entries))


def training_rows(
    X: Any, mean: NDArray[np.float64], scale: float, rows: NDArray[np.int64] | None = None
) -> Tensor:
    """Return (X - mean) / scale in float32, the rows (None is all) in training units."""
    if not issparse(X):
        return torch.from_numpy(standardise(X, mean, scale, rows=rows))
    X = X if rows is None else X[rows]
    with np.errstate(over="ignore"):  # as in `standardise`
        values = ((X.data - mean[X.indices]) / scale).astype(np.float32)
    return csr_rows(X, values, (-mean / scale).astype(np.float32))


def standardise(
    X: Array,
    mean: NDArray[np.float64],
    scale: float,
    dtype: type[np.floating] = np.float32,
    rows: NDArray[np.int64] | None = None,
) -> NDArray[Any]:
    """Return (X - mean) / scale. The subtraction is in float64, for X far from 0."""
    z = np.empty((len(X) if rows is None else len(rows), X.shape[1]), dtype=dtype)
    # Held-out rows may lie so far away that they, and their loss, are infinite in float32.
    with np.errstate(over="ignore"):
        for part, values in _parts(X, rows):
            values -= mean
            np.divide(values, scale, out=z[part], casting="same_kind")
    return z


def check_range(z: Tensor) -> Tensor:
    """Return rows in the training units of an earlier fit, after checking that none is infinite."""
    if z.isinf().any():
        raise ValueError(
            "X has values so far from the data of the earlier fit that they overflow in its units. "
            "Fit again from the start, or remove these values."
        )
    return z


def torch_dtype(X: Array) -> torch.dtype:
    """Return the torch dtype of X, float32 or float64."""
    return torch.float32 if X.dtype == np.float32 else torch.float64


def training_data(X: Array, model: Model, device: torch.device, *, allows_missing: bool) -> Tensor:
    """Return all rows in the model's training units, on the device.

    Also tells the network whether there are missing entries to impute, so that training steps need
    not look for them.
    """
    data = training_rows(X, model.mean.numpy(), model.scale).to(device)
    model.network.imputes_missing = allows_missing and bool(data.isnan().any())
    return data

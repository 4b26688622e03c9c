"""Conversion of X to training rows: means, scale and units."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse import issparse
from sklearn.utils import gen_batches
from torch import Tensor

from skae.core.model import Model
from skae.utils.csr import MEAN_UNIT, Array, csr_means, csr_rows, csr_scale

_MAX_ROWS = 4096


def feature_means(X: Any) -> NDArray[np.float64]:
    """Return the mean of each feature, ignoring missing entries (NaN)."""
    return csr_means(X) if issparse(X) else _means_and_extremes(X)[0]


def _means_and_extremes(
    X: Array,
) -> tuple[NDArray[np.float64], NDArray[np.floating], NDArray[np.floating]]:
    high, low = np.fmax.reduce(X, axis=0), np.fmin.reduce(X, axis=0)
    unit = 1.0  # a power of two, so that sums do not overflow
    if max(np.fmax.reduce(high), -np.fmin.reduce(low)) > np.finfo(np.float64).max / len(X):
        unit, X = MEAN_UNIT, X / MEAN_UNIT
    means: NDArray[np.float64] = X.mean(axis=0, dtype=np.float64)
    if np.isnan(means).any():
        empty = np.flatnonzero(np.isnan(high))
        if len(empty):
            raise ValueError(
                f"Features {empty.tolist()} have no value in any training row, so nothing can be "
                "learned about them. Drop them from X."
            )
        means = np.nanmean(X, axis=0, dtype=np.float64)
    # The mean of a constant feature, without rounding.
    return np.where(high == low, high, means * unit), high, low


def mean_and_scale(X: Any) -> tuple[NDArray[np.float64], float]:
    """Return the feature means and the root mean square of ``X - mean`` over all entries.

    Missing entries (NaN) are ignored.
    """
    if issparse(X):
        mean = csr_means(X)
        return mean, csr_scale(X, mean)
    mean, high, low = _means_and_extremes(X)
    # Squared deviations may overflow; relative to the largest one they do not.
    largest = float(np.maximum(high - mean, mean - low).max())
    # If all features are constant, deviations are rounding error and no scale.
    if largest <= 4 * np.finfo(X.dtype).eps * float(np.abs(mean).max()):
        return mean, 1.0
    total, n_entries = 0.0, 0
    for rows in gen_batches(len(X), _MAX_ROWS):
        squares = np.square((X[rows] - mean) / largest)
        total += float(np.nansum(squares))
        n_entries += squares.size - int(np.count_nonzero(np.isnan(squares)))
    return mean, largest * float(np.sqrt(total / n_entries))


def training_rows(X: Any, mean: NDArray[np.float64], scale: float) -> Tensor:
    """Return (X - mean) / scale in float32, the rows in training units."""
    if not issparse(X):
        return torch.from_numpy(standardise(X, mean, scale))
    with np.errstate(over="ignore"):  # as in `standardise`
        values = ((X.data - mean[X.indices]) / scale).astype(np.float32)
    return csr_rows(X, values, (-mean / scale).astype(np.float32))


def standardise(
    X: Array, mean: NDArray[np.float64], scale: float, dtype: type[np.floating] = np.float32
) -> NDArray[Any]:
    """Return (X - mean) / scale. The subtraction is in float64, for X far from 0."""
    z = np.empty(X.shape, dtype=dtype)
    # Held-out rows may lie so far away that they, and their loss, are infinite in float32.
    with np.errstate(over="ignore"):
        for rows in gen_batches(len(X), _MAX_ROWS):
            z[rows] = (X[rows] - mean) / scale
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

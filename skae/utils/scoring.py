"""Helpers of `skae.metrics`: codes, reconstructions and R2 of any transformer."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from numbers import Real
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import issparse
from scipy.stats import norm
from sklearn.neighbors import NearestNeighbors
from sklearn.pipeline import Pipeline
from sklearn.utils import check_array
from sklearn.utils.sparsefuncs import min_max_axis
from torch import Tensor

from skae.core.corruption import gaussian, masking, salt_and_pepper
from skae.core.numerics import chunk_size, row_slices
from skae.utils.arrays import plain_array
from skae.utils.csr import canonical, csr_means

_MAX_ROWS = 4096


def drawn_code(estimator: Any, X: Any, random: np.random.RandomState) -> NDArray[np.float64]:
    """Return one code per row, drawn from the posterior if the estimator has one."""
    estimator = getattr(estimator, "best_estimator_", estimator)
    if isinstance(estimator, Pipeline) and hasattr(estimator[-1], "encode_distribution"):
        if len(estimator) > 1:
            X = estimator[:-1].transform(X)
        estimator = estimator[-1]
    if not hasattr(estimator, "encode_distribution"):
        return dense_code(estimator.transform(X))
    mean, deviation = estimator.encode_distribution(X)
    return np.asarray(mean + deviation * random.standard_normal(mean.shape), dtype=np.float64)


def dense_code(code: Any) -> NDArray[np.float64]:
    """Return a code as a dense float64 array."""
    return np.asarray(code.toarray() if issparse(code) else code, dtype=np.float64)


def distance_to_normal(
    code: NDArray[np.float64], n_projections: int, random: np.random.RandomState
) -> float:
    """Return the sliced Wasserstein distance of codes from N(0, I)."""
    directions = random.standard_normal((code.shape[1], n_projections))
    directions /= np.linalg.norm(directions, axis=0)
    quantiles = norm.ppf((np.arange(len(code)) + 0.5) / len(code))
    projected = np.sort(code @ directions, axis=0)
    return float(np.sqrt(np.square(projected - quantiles[:, None]).mean()))


def check_share(name: str, share: float) -> None:
    """Check that a share of entries is in (0, 1)."""
    if not isinstance(share, Real) or not 0 < share < 1:
        raise ValueError(f"{name}={share!r} is a share of entries, so it must be in (0, 1).")


def corruption(
    noise: str, noise_level: float, clean: Any, means: NDArray[np.float64]
) -> Callable[[Tensor, torch.Generator], Tensor]:
    """Return the corruption of centred rows that `denoising_score` undoes."""
    if noise == "gaussian":
        if not isinstance(noise_level, Real) or not noise_level > 0:
            raise ValueError(f"noise_level={noise_level!r} must be above 0.")
        return partial(gaussian, standard_deviation=noise_level)
    if noise == "masking":
        check_share("noise_level", noise_level)
        return partial(masking, share=noise_level)
    if noise == "salt_and_pepper":
        check_share("noise_level", noise_level)
        if issparse(clean):
            extremes = min_max_axis(clean, axis=0)
        else:
            extremes = np.fmin.reduce(clean, axis=0), np.fmax.reduce(clean, axis=0)
        low, high = (torch.from_numpy(values - means) for values in extremes)
        return partial(salt_and_pepper, share=noise_level, low=low, high=high)
    raise ValueError(f"noise={noise!r} must be 'masking', 'gaussian' or 'salt_and_pepper'.")


def check_table(X: ArrayLike) -> NDArray[np.float64]:
    """Return X as float64; missing entries (NaN, or masked) are allowed."""
    X = plain_array(X, allows_missing=True)
    return check_array(
        X, dtype=np.float64, ensure_all_finite="allow-nan", ensure_min_samples=2, input_name="X"
    )


# ``(rows, means) -> altered rows, mask``: the mask is of the entries to score.
Alteration = Callable[
    [NDArray[np.float64], NDArray[np.float64]], tuple[NDArray[np.float64], NDArray[np.bool_]]
]


def hiding(share: float, random: np.random.Generator) -> Alteration:
    """Return the alteration that replaces a share of the entries by the mean of their feature."""

    def alter(
        rows: NDArray[np.float64], means: NDArray[np.float64]
    ) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        hidden = random.random(rows.shape) < share
        return np.where(hidden, means, rows), hidden

    return alter


def noising(corrupt: Callable[..., Tensor], generator: torch.Generator) -> Alteration:
    """Return the alteration that corrupts rows, all of whose entries are scored."""

    def alter(
        rows: NDArray[np.float64], means: NDArray[np.float64]
    ) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        noisy = corrupt(torch.from_numpy(rows - means), generator).numpy() + means
        return noisy, np.ones(rows.shape, dtype=bool)

    return alter


def check_sparse_table(X: Any) -> tuple[Any, NDArray[np.float64]]:
    """Return sparse X as CSR, in its own precision, and the mean of each feature."""
    rows = canonical(
        check_array(X, dtype=[np.float64, np.float32], accept_sparse="csr", ensure_min_samples=2)
    )
    return rows, csr_means(rows)


def sparse_r2(
    estimator: Any, X: Any, means: NDArray[np.float64], alter: Alteration | None = None
) -> float:
    """Return the R2 of the reconstruction of sparse rows, which become dense in parts.

    Parameters
    ----------
    estimator : object
    X : CSR matrix
    means : ndarray of shape (n_features,)
    alter : callable or None
        What is done to the rows before they are reconstructed. None passes them as they are.
    """
    unit = max(np.abs(X.data - means[X.indices]).max(initial=0.0), np.abs(means).max()) or 1.0
    total = error = 0.0
    for part in row_slices(X.shape[0], chunk_size(_MAX_ROWS, X.shape[1])):
        clean = X[part].toarray().astype(np.float64)
        rows, mask = X[part], np.ones(clean.shape, dtype=bool)
        if alter is not None:
            rows, mask = alter(clean, means)
            rows = rows.astype(X.dtype)
        restored = dense_code(estimator.inverse_transform(estimator.transform(rows)))
        total += float(np.square((clean - means) / unit).sum(where=mask))
        error += float(np.square((clean - restored) / unit).sum(where=mask))
    if total == 0:
        return 1.0 if error == 0 else 0.0
    return 1.0 - error / total


def relative_gap(
    estimator: Any, rows: Any, code: NDArray[np.float64], between: NDArray[np.float64]
) -> float:
    """Return the distance of reconstructions to other rows, relative to that of points between."""
    neighbours = NearestNeighbors(n_neighbors=2).fit(rows)
    to_others, to_nearest = [], []
    # All at once, but of sparse rows in parts.
    size = chunk_size(_MAX_ROWS, rows.shape[1]) if issparse(rows) else max(len(code), len(between))
    for part in row_slices(len(code), size):
        restored = np.asarray(estimator.inverse_transform(code[part]))
        distances, indices = neighbours.kneighbors(restored)
        own = indices[:, 0] == np.arange(len(code))[part]
        to_others.append(np.where(own, distances[:, 1], distances[:, 0]))
    for part in row_slices(len(between), size):
        restored = np.asarray(estimator.inverse_transform(between[part]))
        to_nearest.append(neighbours.kneighbors(restored, n_neighbors=1)[0])
    gap = np.concatenate(to_nearest).mean()
    return float(np.concatenate(to_others).mean() / gap) if gap > 0 else 1.0


def reconstruct_table(estimator: Any, X: Any, changed: NDArray[np.float64]) -> NDArray[np.float64]:
    """Reconstruct changed values of X, passed to the estimator in the container type of X."""
    table: Any = changed
    if hasattr(X, "iloc"):
        table = type(X)(changed, columns=X.columns, index=X.index)
    elif hasattr(X, "columns"):
        table = type(X)(changed, schema=list(X.columns))
    elif getattr(X, "dtype", None) == np.float32:
        table = changed.astype(np.float32)
    return np.asarray(estimator.inverse_transform(estimator.transform(table)), dtype=np.float64)


def masked_r2(
    clean: NDArray[np.float64],
    restored: NDArray[np.float64],
    means: NDArray[np.float64],
    mask: NDArray[np.bool_],
) -> float:
    """Return the R2 of the reconstruction over the entries that the mask selects."""
    # Divide by the largest deviation, so that squares neither overflow nor underflow.
    deviations = clean - means
    unit = float(np.nanmax(np.abs(deviations))) or 1.0
    total = float(np.square(deviations / unit).sum(where=mask))
    error = float(np.square((clean - restored) / unit).sum(where=mask))
    if total == 0:
        return 1.0 if error == 0 else 0.0
    return 1.0 - error / total

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
from sklearn.pipeline import Pipeline
from sklearn.utils import check_array
from torch import Tensor

from skae.core.corruption import gaussian, masking, salt_and_pepper
from skae.utils.arrays import plain_array


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


def check_share(name: str, share: float) -> None:
    """Check that a share of entries is in (0, 1)."""
    if not isinstance(share, Real) or not 0 < share < 1:
        raise ValueError(f"{name}={share!r} is a share of entries, so it must be in (0, 1).")


def corruption(
    noise: str, noise_level: float, clean: NDArray[np.float64], means: NDArray[np.float64]
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
        low = torch.from_numpy(np.fmin.reduce(clean, axis=0) - means)
        high = torch.from_numpy(np.fmax.reduce(clean, axis=0) - means)
        return partial(salt_and_pepper, share=noise_level, low=low, high=high)
    raise ValueError(f"noise={noise!r} must be 'masking', 'gaussian' or 'salt_and_pepper'.")


def check_table(X: ArrayLike) -> NDArray[np.float64]:
    """Return X as float64; missing entries (NaN, or masked) are allowed."""
    X = plain_array(X, allows_missing=True)
    return check_array(
        X, dtype=np.float64, ensure_all_finite="allow-nan", ensure_min_samples=2, input_name="X"
    )


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

"""Many images as one, so that a grid of hundreds is drawn at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import issparse

from skae.inspection.displays.style import channels_first, image_shape_of, scaled
from skae.inspection.fitted import Fitted


def mosaic(
    images: NDArray[Any], limits: tuple[float, float] | None = None
) -> tuple[NDArray[Any], float, float, int]:
    """Return a grid of images as one, the values that are black and white, and the gap in pixels.

    Parameters
    ----------
    images : ndarray of shape (n_rows, n_columns, channels, height, width)
    limits : tuple of two float or None
        Values that are black and white; the range of the images if None.

    Returns
    -------
    picture : masked array of shape (rows, columns), or ndarray of shape (rows, columns, channels)
        Gaps are masked; those of colour images are white.
    low, high : float
        `limits`; 0 and 1 for colour images, since matplotlib draws their values as they are.
    gap : int
        Between images, so that those that fill their frame stay apart.
    """
    n_rows, n_columns, channels, height, width = images.shape
    low, high = limits or (float(images.min()), float(images.max()))
    if channels > 1:
        images, low, high = scaled(images, low, high), 0.0, 1.0
    gap = max(1, max(height, width) // 12)
    tiles = np.full((n_rows, height + gap, n_columns, width + gap, channels), np.nan)
    tiles[:, :height, :, :width] = images.transpose(0, 3, 1, 4, 2)
    shape = n_rows * (height + gap), n_columns * (width + gap), channels
    picture = tiles.reshape(shape)[:-gap, :-gap]
    if channels > 1:
        return np.nan_to_num(picture, nan=1.0), low, high, gap
    return np.ma.masked_invalid(picture[..., 0]), low, high, gap


def value_range(X: Any) -> tuple[float, float]:
    """Return the smallest and the largest value of X."""
    values = X.data if issparse(X) else np.asarray(X, dtype=np.float64)
    low, high = np.fmin.reduce(values, axis=None), np.fmax.reduce(values, axis=None)
    return (min(low, 0.0), max(high, 0.0)) if issparse(X) else (low, high)


def as_images(
    rows: NDArray[Any], fitted: Fitted, image_shape: Sequence[int] | None
) -> NDArray[Any]:
    """Return rows as images of shape (n_rows, channels, height, width)."""
    known = getattr(fitted.autoencoder, "image_shape_", None)
    if image_shape is None and known is None:
        raise ValueError(
            "image_shape=None, but only ConvolutionalAutoencoder knows the shape of its images. To "
            "draw a grid of images, pass image_shape=(height, width)."
        )
    given = known if image_shape is None else image_shape
    shape = image_shape_of(fitted.autoencoder, given, rows.shape[1])
    assert shape is not None  # since one is given
    return channels_first(fitted.autoencoder, rows, shape).reshape(-1, *shape)

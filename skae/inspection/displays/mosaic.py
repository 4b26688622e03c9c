"""Many images as one, so that a grid of hundreds is drawn at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import issparse

from skae.inspection.displays.style import channels_first, image_shape_of, scaled, value_range
from skae.inspection.fitted import Fitted

# The grid covers the codes between these percentiles.
_RANGE = 2.0, 98.0


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
    low, high = limits or value_range(images)
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


def decode_grid(
    estimator: Any,
    fitted: Fitted,
    X: Any,
    codes: NDArray[Any],
    columns: tuple[int, int],
    n: int,
    image_shape: Sequence[int] | None,
) -> dict[str, Any]:
    """Return n x n images that two columns of the code decode to, these codes, and their range.

    The other columns are at their mean.
    """
    first, second = columns
    x, y = (_grid_values(codes[:, column], n) for column in columns)
    at = np.tile(codes.mean(axis=0), (n, n, 1))
    at[..., first] = x
    at[..., second] = y[:, None]
    inverts = hasattr(estimator, "inverse_transform")
    decode = (estimator if inverts else fitted.autoencoder).inverse_transform
    rows = decode(at.reshape(n**2, -1).astype(codes.dtype))
    images = _as_images(np.asarray(rows), fitted, image_shape)
    return {
        "images": images.reshape(n, n, *images.shape[1:]),
        "grid": (x, y),
        "value_range": _range_of_rows(X if inverts else fitted.rows),
    }


def _grid_values(column: NDArray[Any], n: int) -> NDArray[Any]:
    """Return n equally spaced values that cover the middle of a column of the code."""
    low, high = np.percentile(column, _RANGE)
    if low == high:
        low, high = low - 1, high + 1  # a column that is constant
    return np.linspace(low, high, n)


def _range_of_rows(X: Any) -> tuple[float, float]:
    """Return the smallest and the largest value of X, which may be sparse."""
    if not issparse(X):
        return value_range(np.asarray(X, dtype=np.float64))
    low, high = value_range(X.data)
    return min(low, 0.0), max(high, 0.0)


def _as_images(
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

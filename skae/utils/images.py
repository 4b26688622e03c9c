"""Flattening of images to rows, and the image shape."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from skae.utils.validation import widths

ImageShape = tuple[int, int, int]


def flatten_images(X: Any) -> tuple[Any, ImageShape | None]:
    """Return X with two axes, and the image shape if X had three or four axes."""
    n_axes = np.ndim(X) if isinstance(X, list | tuple) else getattr(X, "ndim", 2)
    if n_axes > 4:
        raise ValueError(
            f"X has {n_axes} axes. Images have three, (n_samples, height, width), or four, "
            "(n_samples, channels, height, width); flattened ones have two."
        )
    if n_axes not in (3, 4):
        return X, None
    images = np.asarray(X)
    shape = _with_channels(images.shape[1:])
    return images.reshape(len(images), math.prod(shape)), shape


def fitted_image_shape(
    estimator: Any, found: ImageShape | None, n_features: int, *, reset: bool
) -> ImageShape:
    """Return `image_shape_`, after checking the images of X against it.

    Parameters
    ----------
    estimator : ConvolutionalAutoencoder
    found : tuple or None
        Shape of the images of X; None if X has two axes.
    n_features : int
    reset : bool
        Whether X is training data, which may define the shape.
    """
    if reset:
        return resolve_image_shape(estimator.image_shape, found, n_features)
    fitted: ImageShape = estimator.image_shape_
    if found not in (None, fitted):
        raise ValueError(
            f"X has images of shape {found}, but {type(estimator).__name__} was fitted with images "
            f"of {fitted} (channels, height, width)."
        )
    return fitted


def resolve_image_shape(image_shape: Any, found: ImageShape | None, n_features: int) -> ImageShape:
    """Return the image shape, from the parameter `image_shape` or from X."""
    if image_shape is None:
        return found or (1, 1, n_features)
    shape = widths("image_shape", image_shape, "(28, 28) or (3, 32, 32)")
    if len(shape) not in (2, 3):
        raise ValueError(
            "The 'image_shape' parameter must be (height, width) or (channels, height, width). "
            f"Got {image_shape!r} instead."
        )
    wanted = _with_channels(shape)
    if math.prod(wanted) != n_features:
        raise ValueError(
            f"image_shape={image_shape!r} has {math.prod(wanted)} pixels, but X has "
            f"{n_features} features. Pass the shape of the images whose pixels the rows of X "
            "are."
        )
    if found not in (None, wanted):
        raise ValueError(
            f"X has images of shape {found} (channels, height, width), but "
            f"image_shape={image_shape!r}. Leave image_shape at None to take that of X."
        )
    return wanted


def _with_channels(shape: tuple[int, ...]) -> ImageShape:
    channels, height, width = (1, *shape)[-3:]
    return channels, height, width

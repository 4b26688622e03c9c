"""Flattening of images to rows, the image shape and the place of the channels."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from scipy.sparse import issparse

from skae.utils.validation import widths

ImageShape = tuple[int, int, int]
# Grey, grey and opacity, RGB, RGBA: the numbers of channels of pictures.
_MOST_CHANNELS = 4


def flatten_images(X: Any, estimator: Any, *, reset: bool) -> tuple[Any, ImageShape | None, bool]:
    """Return the rows of X, the image shape, and whether the channels are last in these rows.

    The entries of a row are in the order of the image's axes, so that a reconstruction has the
    images of X after ``reshape(X.shape)``. At a later call, they are in the order of the fit.

    Parameters
    ----------
    X : array-like
        Images if it has three or four axes, and otherwise rows already; the shape is then None.
    estimator : ConvolutionalAutoencoder
    reset : bool
        Whether X is training data.
    """
    fitted_last = False if reset else estimator._has_channels_last
    n_axes = np.ndim(X) if isinstance(X, list | tuple) else getattr(X, "ndim", 2)
    if n_axes > 4:
        raise ValueError(
            f"X has {n_axes} axes. Images have three, (n_samples, height, width), or four, "
            "(n_samples, channels, height, width) or (n_samples, height, width, channels); "
            "flattened ones have two."
        )
    if n_axes not in (3, 4):
        return X, None, fitted_last
    if issparse(X):
        raise TypeError(
            "Sparse images must be flattened: pass a sparse matrix of a row per image, and say "
            "which shape they have by image_shape."
        )
    images = np.asarray(X)
    if n_axes == 3:
        images = images[:, None]
    shape: ImageShape = images.shape[1:]
    known = _checked_shape(estimator.image_shape) if reset else estimator.image_shape_
    is_last = _has_channels_last(shape, known)
    if is_last:
        shape = shape[2], shape[0], shape[1]
        is_last = shape[0] > 1  # a single channel is first and last
    if not reset and is_last != fitted_last and shape == known:
        images = np.moveaxis(images, 3, 1) if is_last else np.moveaxis(images, 1, 3)
        is_last = fitted_last
    return images.reshape(len(images), math.prod(shape)), shape, is_last


def _has_channels_last(axes: ImageShape, known: ImageShape | None) -> bool:
    """Return whether images of these axes have their channels last.

    `known` is the image shape if it is given.
    """
    first, middle, last = axes
    if known is not None:
        return axes != known and (last, first, middle) == known
    if _looks_channels_last(axes):
        return True
    if last < min(first, middle) or first == last > 1:
        raise ValueError(
            f"X has images of {first} x {middle} x {last}, whose channels may be first or last. "
            f"Say which by image_shape=(channels, height, width): {axes} if they are first, "
            f"{(last, first, middle)} if they are last."
        )
    return False


def _looks_channels_last(shape: tuple[int, ...]) -> bool:
    return shape[-1] <= _MOST_CHANNELS < min(shape[:-1])


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
    wanted = _checked_shape(image_shape)
    if wanted is None:
        return found or (1, 1, n_features)
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


def _checked_shape(image_shape: Any) -> ImageShape | None:
    """Return the parameter `image_shape` as (channels, height, width), or None if it is None."""
    if image_shape is None:
        return None
    shape = widths("image_shape", image_shape, "(28, 28) or (3, 32, 32)")
    if len(shape) not in (2, 3):
        raise ValueError(
            "The 'image_shape' parameter must be (height, width) or (channels, height, width). "
            f"Got {image_shape!r} instead."
        )
    channels, height, width = (1, *shape)[-3:]
    if len(shape) == 3 and _looks_channels_last(shape):
        raise ValueError(
            f"image_shape={image_shape!r} means {channels} channels of {height} x {width}. If "
            f"there are {width} channels, set {(width, channels, height)}, and pass X with four "
            "axes if its channels are last. If not, swap height and width in image_shape and X."
        )
    return channels, height, width

"""The convolutional autoencoder."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike

from skae._base import BaseAutoencoder
from skae._core.convolution import ConvolutionalArchitecture
from skae._core.networks import Architecture, Network
from skae._docs import document
from skae._fitted import Array
from skae._generation import MixtureSampling
from skae._nearest import NearestCode
from skae._validation import computed, widths, without


@document
@dataclass(eq=False, repr=False)
class ConvolutionalAutoencoder(NearestCode, MixtureSampling, BaseAutoencoder):
    r"""Convolutional autoencoder: for images, which keep their meaning when moved by a pixel.

    Minimises what `Autoencoder` minimises. The encoder's hidden layers are convolutions of 3 x 3
    with a stride of 2, each to half the height and width [1]_, then dense layers, if any. The
    decoder goes back by resizing to twice the size (nearest neighbour) and a convolution of 3 x 3.
    Transposed convolutions of free kernels would overlap unevenly and draw checkerboards [2]_.

    Rows of X are flattened images, so scalers, pipelines and the linear path that starts at PCA
    work as they do for `Autoencoder`. X of shape (n_samples, height, width) or (n_samples,
    channels, height, width) is flattened. Reconstructions are rows.

    `transform` works in the type of X, and convolutions of float64 take several times as long as
    those of float32. Most of its time goes into the steps of `transform_max_iter`: with them,
    60,000 images of 28 x 28 take half a minute on two cores, and four seconds without.

    Parameters
    ----------
    {parameters}

    image_shape : tuple of (height, width) or (channels, height, width), or None, default=None
        Shape of an image; any size will do. None is the shape of X with three or four axes; rows of
        an X with two axes then are images of height 1.

    channels : sequence of int, default=(32, 64)
        Number of channels after each convolution.

    hidden_layer_sizes : sequence of int, default=()
        Widths of the dense layers between convolutions and code; the decoder mirrors them.

    batch_size : int or "auto", default="auto"
        Rows in a step. "auto" is a 25th of the training rows, but at least 16 and at most 128: a
        convolution gains nothing from large batches.

    Attributes
    ----------
    {attributes}

    image_shape_ : tuple of (channels, height, width)
        Shape of an image.

    References
    ----------
    .. [1] Masci, J., Meier, U., Ciresan, D., & Schmidhuber, J. (2011). Stacked convolutional
       auto-encoders for hierarchical feature extraction. ICANN.
    .. [2] Odena, A., Dumoulin, V., & Olah, C. (2016). Deconvolution and checkerboard artifacts.
       Distill.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from skae import ConvolutionalAutoencoder
    >>> X = load_digits().data
    >>> autoencoder = ConvolutionalAutoencoder(
    ...     8, image_shape=(8, 8), channels=(16, 32), max_iter=20, random_state=0
    ... ).fit(X[:1500])
    >>> autoencoder.transform(X[1500:]).shape
    (297, 8)
    """

    _: KW_ONLY
    tied_weights: bool = computed(lambda self: False)
    image_shape: tuple[int, ...] | None = None
    channels: Sequence[int] = (32, 64)
    hidden_layer_sizes: Sequence[int] = ()

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        **without(BaseAutoencoder._parameter_constraints, "tied_weights"),
        **NearestCode._nearest_constraints,
        "image_shape": ["array-like", tuple, None],
        "channels": ["array-like", tuple],
    }

    _largest_batch: ClassVar[int] = 128
    _noted: ClassVar[tuple[str, ...]] = (*BaseAutoencoder._noted, "image_shape_")

    def _architecture(self, n_features: int, n_components: int) -> Architecture:
        channels = widths("channels", self.channels)
        if not channels:
            raise ValueError(
                "The 'channels' parameter is (), which leaves no convolution. Name at least one "
                "number of channels, such as (32,), or use Autoencoder."
            )
        return ConvolutionalArchitecture(
            **vars(super()._architecture(n_features, n_components)),
            image_shape=(
                self.image_shape_
                if self.image_shape is None
                else self._resolve_shape(None, n_features)
            ),
            channels=channels,
        )

    def _default_learning_rate(self, network: Network) -> float:
        if self.solver != "sgd":
            return super()._default_learning_rate(network)
        # A kernel's gradient is summed over all places: 0.01 on images of 8 x 8.
        return min(0.01, 0.64 / math.prod(self.image_shape_[1:]))

    def _validate_input(self, X: ArrayLike, *, reset: bool, ensure_min_samples: int = 1) -> Array:
        n_axes = np.ndim(X) if isinstance(X, list | tuple) else getattr(X, "ndim", 2)
        found = None
        if n_axes > 4:
            raise ValueError(
                f"X has {n_axes} axes. Images have three, (n_samples, height, width), or four, "
                "(n_samples, channels, height, width); flattened ones have two."
            )
        if n_axes in (3, 4):
            images = np.asarray(X)
            found = _with_channels(images.shape[1:])
            X = images.reshape(len(images), math.prod(found))
        rows = super()._validate_input(X, reset=reset, ensure_min_samples=ensure_min_samples)
        if reset:
            self.image_shape_ = self._resolve_shape(found, rows.shape[1])
        elif found not in (None, self.image_shape_):
            raise ValueError(
                f"X has images of shape {found}, but {type(self).__name__} was fitted with images "
                f"of {self.image_shape_} (channels, height, width)."
            )
        return rows

    def _resolve_shape(
        self, found: tuple[int, int, int] | None, n_features: int
    ) -> tuple[int, int, int]:
        if self.image_shape is None:
            return found or (1, 1, n_features)
        shape = widths("image_shape", self.image_shape, "(28, 28) or (3, 32, 32)")
        if len(shape) not in (2, 3):
            raise ValueError(
                "The 'image_shape' parameter must be (height, width) or (channels, height, width). "
                f"Got {self.image_shape!r} instead."
            )
        wanted = _with_channels(shape)
        if math.prod(wanted) != n_features:
            raise ValueError(
                f"image_shape={self.image_shape!r} has {math.prod(wanted)} pixels, but X has "
                f"{n_features} features. Pass the shape of the images whose pixels the rows of X "
                "are."
            )
        if found not in (None, wanted):
            raise ValueError(
                f"X has images of shape {found} (channels, height, width), but "
                f"image_shape={self.image_shape!r}. Leave image_shape at None to take that of X."
            )
        return wanted


def _with_channels(shape: tuple[int, ...]) -> tuple[int, int, int]:
    channels, height, width = (1, *shape)[-3:]
    return channels, height, width

"""The convolutional autoencoder."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass
from typing import Any, ClassVar

from skae.base import BaseAutoencoder
from skae.core.networks.autoencoder import Architecture
from skae.core.networks.conv import ConvolutionalArchitecture
from skae.inference.sampling import MixtureSampling
from skae.inference.transformer import IterativeInference
from skae.utils.docs import document
from skae.utils.images import resolve_image_shape
from skae.utils.validation import computed, widths, without


@document
@dataclass(eq=False, repr=False)
class ConvolutionalAutoencoder(IterativeInference, MixtureSampling, BaseAutoencoder):
    r"""Convolutional autoencoder for images.

    Minimises the objective of `Autoencoder`. The hidden layers of the encoder are 3 x 3
    convolutions with a stride of 2, each of which halves height and width [1]_, followed by
    optional dense layers. The decoder mirrors them, with nearest-neighbour upsampling by a factor
    of 2 before each 3 x 3 convolution. Transposed convolutions can produce checkerboard artifacts,
    since their kernels overlap unevenly [2]_.

    Rows of X are flattened images, so scalers, pipelines and the PCA start work as for
    `Autoencoder`. Images of shape (n_samples, height, width), (n_samples, channels, height, width)
    or (n_samples, height, width, channels) are flattened. Channels are last if there are one to
    four on the last axis and both other axes are longer. A shape for which this is in doubt is
    refused unless `image_shape` is set. Reconstructions are rows in the order of the axes in `fit`:
    ``reconstruct(X).reshape(X.shape)`` has the images of X. Images may be passed with their
    channels in the other place later; rows must be flattened as in `fit`.

    `transform` works in the dtype of X; convolutions are several times slower in float64 than in
    float32. Most of its time goes into the refinement steps (`transform_max_iter`): with them,
    60,000 images of 28 x 28 take half a minute on two cores, without them four seconds.

    Parameters
    ----------
    {parameters}

    image_shape : tuple of (height, width) or (channels, height, width), or None, default=None
        Shape of an image, of any size. None takes the shape of X if it has three or four axes. If X
        has two axes, its rows are then images of height 1. If X has two axes in `fit`, its rows
        have their channels first.

    channels : sequence of int, default=(32, 64)
        Number of channels after each convolution.

    hidden_layer_sizes : sequence of int, default=()
        Widths of the encoder's dense layers between convolutions and code; the decoder mirrors
        them.

    batch_size : int or "auto", default="auto"
        Rows per batch. "auto" is 1/25 of the training rows, but at least 16 and at most 128, since
        convolutions do not benefit from larger batches.

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
        **IterativeInference._inference_constraints,
        "image_shape": ["array-like", tuple, None],
        "channels": ["array-like", tuple],
    }

    _max_batch_size: ClassVar[int] = 128
    _allows_images: ClassVar[bool] = True

    def _network(self, n_features: int, n_components: int) -> Architecture:
        channels = widths("channels", self.channels)
        if not channels:
            raise ValueError(
                "The 'channels' parameter is (), which leaves no convolution. Name at least one "
                "number of channels, such as (32,), or use Autoencoder."
            )
        image_shape = self.image_shape_
        if self.image_shape is not None:
            image_shape = resolve_image_shape(self.image_shape, None, n_features)
        return ConvolutionalArchitecture(
            **vars(super()._network(n_features, n_components)),
            image_shape=image_shape,
            channels=channels,
            channels_last=self._has_channels_last,
        )

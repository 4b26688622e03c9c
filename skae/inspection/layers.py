"""The units of a layer: their activations, the samples they respond to, their weights."""

from __future__ import annotations

from collections.abc import Iterator
from numbers import Integral
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from sklearn.utils import Bunch
from torch import Tensor

from skae.core.layers import LayerReader, n_layers
from skae.core.networks.autoencoder import AutoencoderNetwork
from skae.core.networks.conv import ConvolutionalMLP
from skae.core.networks.hashing import HashingNetwork
from skae.core.numerics import threads_for, torch_defaults
from skae.inference.transformer import as_tensor
from skae.inspection.fitted import Fitted, open_fitted
from skae.utils.csr import Array, dense_parts
from skae.utils.images import resolve_image_shape
from skae.utils.validation import check_count
from skae.utils.warnings import warn


def open_layer(estimator: Any, layer: int | str, X: Any = None) -> tuple[Fitted, int]:
    """Return what `open_fitted` returns and the position of a layer; warn if it is not used."""
    fitted = open_fitted(estimator, X)
    number = layer_number(fitted, layer)
    n_encoder, n_decoder = n_layers(fitted.network(fitted.dtype))
    is_hidden = number not in (n_encoder - 1, n_encoder + n_decoder - 1)
    keeps_pca = getattr(fitted.autoencoder, "selected_", None) == "pca" and not fitted.has_head
    if is_hidden and keeps_pca:
        warn(
            f"PCA was kept (selected_ is 'pca'), so layer {number} has its random initial weights "
            'and plays no part in the code. layer="code" shows what does.',
            UserWarning,
        )
    return fitted, number


def layer_number(fitted: Fitted, layer: int | str) -> int:
    """Return the position of a layer, or raise a ValueError if there is none."""
    n_encoder, n_decoder = n_layers(fitted.network(fitted.dtype))
    n_all = n_encoder if fitted.has_head else n_encoder + n_decoder
    is_int = isinstance(layer, Integral) and not isinstance(layer, bool)
    if layer == "code":
        return n_encoder - 1
    if is_int and -n_all <= int(layer) < n_all:
        return int(layer) % n_all
    last = "" if fitted.has_head else f", and {n_all - 1} is the reconstruction"
    raise ValueError(
        f'layer must be "code" or an int from 0 to {n_all - 1}, or from -1 back to {-n_all}. '
        f"{n_encoder - 1} is the code{last}. Got {layer!r}."
    )


def check_unit(unit: Any, n_units: int, layer: int | str, name: str = "unit") -> int:
    """Return the number of a unit, or raise a ValueError if the layer does not have it."""
    return check_number(name, unit, n_units, f"layer {layer!r} has", "units")


def check_number(name: str, value: Any, n: int, owner: str, things: str) -> int:
    """Return the number of one of `n` things that something has, or raise a ValueError."""
    is_int = isinstance(value, Integral) and not isinstance(value, bool | np.bool_)
    if not is_int or not 0 <= value < n:
        raise ValueError(
            f"{owner[0].upper()}{owner[1:]} {n} {things}, so {name} must be an int from 0 to "
            f"{n - 1}. Got {value!r}."
        )
    return int(value)


def layer_parts(fitted: Fitted, layer: int) -> Iterator[Array]:
    """Yield the output of a layer for parts of the rows, in the units that users see."""
    units = fitted.units
    with torch_defaults():
        reader = LayerReader(fitted.network(fitted.dtype), layer)
    for part in dense_parts(fitted.rows, units.chunk_size):
        cost = units.network_in(fitted.dtype).cost * len(part)
        with torch_defaults(), torch.no_grad(), threads_for(cost, part.itemsize):
            outputs = in_user_units(fitted, reader, units.standardise(as_tensor(part))).numpy()
        yield outputs


def codes_of(fitted: Fitted) -> Array:
    """Return the codes of the rows as `transform` gives them; of a head, those of its encoder."""
    if fitted.has_head:
        return np.concatenate(list(layer_parts(fitted, fitted.n_encoder_layers - 1)))
    # Not `transform`, which may return a sparse matrix or a table.
    return fitted.autoencoder._encode(fitted.rows)


def most_active(values: Array, n_rows: int) -> Array:
    """Return the rows with the highest values of each unit: ``(n_rows, units)``; ties in order."""
    return np.argsort(-values, axis=0, kind="stable")[:n_rows]


def over_positions(outputs: Array) -> Array:
    """Return ``(n, units)``: of a convolution, the largest output over all positions."""
    return outputs.reshape(*outputs.shape[:2], -1).max(axis=2)


def follows_bits(fitted: Fitted, layer: int) -> bool:
    """Return whether a layer comes after a binary code, through which no gradient passes."""
    has_bits = isinstance(fitted.network(fitted.dtype), HashingNetwork)
    return has_bits and layer >= fitted.n_encoder_layers


def in_user_units(fitted: Fitted, reader: LayerReader, z: Tensor) -> Tensor:
    """Return the output of the reader's layer for rows in training units, on the CPU."""
    if reader.is_output:
        model = fitted.model
        rows = model.decode(reader.network.encode(z), reader.network)
        return (rows * model.scale + model.mean_like(rows)).cpu()
    outputs = reader.outputs(z)
    return (outputs * fitted.model.code_unit if reader.is_code else outputs).cpu()


def activations(estimator: Any, X: ArrayLike, *, layer: int | str = "code") -> Array:
    """Compute the output of a layer for each row.

    This is one pass through the network. Codes are therefore the encoder's, not the nearest codes
    of `transform`.

    Parameters
    ----------
    estimator : object
        A fitted estimator of skae, a fitted `Pipeline` that ends with one, or a fitted search over
        either. Of a classifier or a regressor, the layers are those of its fine-tuned encoder.
    X : {array-like, sparse matrix} of shape (n_samples, n_features)
        As passed to `estimator`.
    layer : int or "code", default="code"
        Position of the layer, counted from the input: the hidden layers of the encoder are 0, 1,
        ..., then comes the code, then the hidden layers of the decoder; -1 is the reconstruction.

    Returns
    -------
    activations : ndarray of shape (n_samples, n_units) or (n_samples, n_channels, height, width)
        After the activation function, in the dtype of X. The second form is that of a convolution.
        The code is in the units of `transform`, the reconstruction in those of X.

    Raises
    ------
    ValueError
        If there is no such layer.
    TypeError
        If `estimator` has no autoencoder of skae.

    Warns
    -----
    UserWarning
        If PCA was kept: hidden layers then have random weights.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from skae import Autoencoder
    >>> from skae.inspection import activations
    >>> X = load_iris().data
    >>> autoencoder = Autoencoder(2, hidden_layer_sizes=(16,), random_state=0).fit(X)
    >>> activations(autoencoder, X, layer=0).shape
    (150, 16)
    """
    fitted, number = open_layer(estimator, layer, X)
    return np.concatenate(list(layer_parts(fitted, number)))


def max_activating_samples(
    estimator: Any, X: ArrayLike, unit: int, *, layer: int | str = "code", n_samples: int = 10
) -> Bunch:
    """Find the rows for which a unit is most active [1]_.

    Parameters
    ----------
    estimator : object
        As in `activations`.
    X : {array-like, sparse matrix} of shape (n_samples, n_features)
        As passed to `estimator`. It passes through the network in parts.
    unit : int
        Number of the unit in its layer; of a convolution, number of the channel, whose activation
        is the largest over all positions.
    layer : int or "code", default="code"
        As in `activations`; codes are the encoder's.
    n_samples : int, default=10
        Number of rows to find.

    Returns
    -------
    result : Bunch
        Dictionary-like object, with the following attributes.

        indices : ndarray of int of shape (n_samples,)
            Row numbers in X, from the highest activation down; ties in the order of X.
        activations : ndarray of shape (n_samples,)
            Activation of the unit for each of these rows.

    Raises
    ------
    ValueError
        If there is no such layer or unit, or X has fewer rows than `n_samples`.
    TypeError
        If `estimator` has no autoencoder of skae.

    Warns
    -----
    UserWarning
        As in `activations`.

    References
    ----------
    .. [1] Zeiler, M. D., & Fergus, R. (2014). Visualizing and understanding convolutional networks.
       ECCV.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from skae import SparseAutoencoder
    >>> from skae.inspection import max_activating_samples
    >>> X = load_digits().data
    >>> autoencoder = SparseAutoencoder(64, max_iter=5, random_state=0).fit(X)
    >>> found = max_activating_samples(autoencoder, X, unit=3, n_samples=5)
    >>> X[found.indices].shape
    (5, 64)
    """
    fitted, number = open_layer(estimator, layer, X)
    check_count("n_samples", n_samples)
    if n_samples > fitted.rows.shape[0]:
        raise ValueError(f"n_samples={n_samples}, but X has only {fitted.rows.shape[0]} rows.")
    values = []
    for outputs in layer_parts(fitted, number):
        check_unit(unit, outputs.shape[1], layer)
        values.append(over_positions(outputs[:, [unit]]))
    of_unit = np.concatenate(values)
    indices = most_active(of_unit, n_samples)[:, 0]
    return Bunch(indices=indices, activations=of_unit[indices, 0])


def weight_images(
    estimator: Any,
    image_shape: tuple[int, ...] | None = None,
    *,
    layer: int | str = 0,
    include_pca: bool = False,
) -> NDArray[np.float64]:
    """Return the weights from the features to each unit of a layer of the encoder, as images.

    For a layer above the first, this is the product of the weight matrices up to that layer,
    without the activation functions between them. `maximize_activation` takes these into account.

    Parameters
    ----------
    estimator : object
        As in `activations`. X is not needed: the images are of features that the last step of a
        pipeline sees.
    image_shape : tuple of int, default=None
        (height, width) or (channels, height, width). None is the `image_shape_` of the estimator if
        it has one, otherwise the images stay rows of features.
    layer : int or "code", default=0
        A layer of the encoder.
    include_pca : bool, default=False
        Whether to add the linear skip connection, which is PCA, to the weights of the code. False
        shows what the trained layers add to PCA. Hidden layers have no skip connection.

    Returns
    -------
    images : ndarray of shape (n_units, n_features) or (n_units,) + image_shape
        Per unit of X; with a loss of counts, per unit of the standardised logarithms that the
        encoder takes. For a convolution, its kernels: (n_channels_out, n_channels, 3, 3).

    Raises
    ------
    ValueError
        If `layer` is not in the encoder or follows a convolution, or if `image_shape` does not
        match the number of features.
    TypeError
        If `estimator` has no autoencoder of skae.

    Warns
    -----
    UserWarning
        As in `activations`.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from skae import Autoencoder
    >>> from skae.inspection import weight_images
    >>> X = load_digits().data
    >>> autoencoder = Autoencoder(8, max_iter=5, random_state=0).fit(X)
    >>> weight_images(autoencoder, (8, 8)).shape
    (256, 8, 8)
    """
    fitted, _ = open_layer(estimator, layer)
    return layer_weights(fitted, layer, image_shape, include_pca=include_pca)


def layer_weights(
    fitted: Fitted, layer: int | str, image_shape: tuple[int, ...] | None, *, include_pca: bool
) -> NDArray[np.float64]:
    """Return what `weight_images` returns."""
    number, network = layer_number(fitted, layer), fitted.network(torch.float64)
    if number >= fitted.n_encoder_layers:
        raise ValueError(
            f"layer={layer!r} is in the decoder, whose weights do not begin at the features. "
            "For what the decoder draws, see components_ or latent_traversal."
        )
    encoder, scale = network.encoder, fitted.units.scale
    if isinstance(encoder, ConvolutionalMLP):
        if number:
            raise ValueError(
                f"layer={layer!r} follows a convolution, so no weight belongs to a single pixel. "
                "Use layer=0 for the kernels of the first one, or maximize_activation."
            )
        return encoder.convolutions[0].kernels().detach().cpu().numpy() / scale
    if encoder.input_map is not None:
        scale = 1.0  # the encoder takes logarithms, which have no unit
    unit = fitted.model.code_unit if number == fitted.n_encoder_layers - 1 else 1.0
    weights = _product(network, number, include_pca=include_pca)
    images = weights.cpu().numpy().T * (unit / scale)
    shape = _image_shape(fitted, image_shape, images.shape[1])
    return images if shape is None else images.reshape(len(images), *shape)


@torch.no_grad()
def _product(network: AutoencoderNetwork, number: int, *, include_pca: bool) -> Tensor:
    """Return the product of the weights up to a dense layer of the encoder, ``(d, units)``."""
    encoder = network.encoder
    product: Tensor = encoder.layers[0].weight.detach()
    for layer in list(encoder.layers)[1 : number + 1]:
        product = product @ layer.weight
    if encoder.skip is None or number < len(encoder.layers) - 1:
        return product
    product = product * encoder.scale
    return product + encoder.skip if include_pca else product


def _image_shape(
    fitted: Fitted, image_shape: tuple[int, ...] | None, n_features: int
) -> tuple[int, ...] | None:
    if image_shape is None:
        return getattr(fitted.autoencoder, "image_shape_", None)
    shape = resolve_image_shape(image_shape, None, n_features)
    return shape if len(image_shape) == 3 else shape[1:]

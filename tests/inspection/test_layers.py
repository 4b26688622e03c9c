"""Activations, samples and weights of units, against computations by hand."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA

from skae import Autoencoder, ConvolutionalAutoencoder, HashingAutoencoder, SparseAutoencoder
from skae.inspection import activations, max_activating_samples, weight_images

X = load_digits().data[:300]


@pytest.fixture(scope="module")
def relu():
    return Autoencoder(
        4, hidden_layer_sizes=(32, 16), activation="relu", shortcut=None, max_iter=5, random_state=0
    ).fit(X)


@pytest.fixture(scope="module")
def convolutional():
    return ConvolutionalAutoencoder(
        4, image_shape=(8, 8), channels=(4, 6), hidden_layer_sizes=(16,), max_iter=2, random_state=0
    ).fit(X)


def by_hand(estimator, number):
    """Return the output of a layer, computed with numpy."""
    model = estimator._model
    layers = [*model.network.encoder.layers, *model.network.decoder.layers]
    y = (X - estimator.mean_) / model.scale
    n_encoder = len(model.network.encoder.layers)
    for i, layer in enumerate(layers[: number + 1]):
        weight, bias = (p.detach().double().numpy() for p in (layer.weight, layer.bias))
        y = y @ weight + bias
        y = y if i in (n_encoder - 1, len(layers) - 1) else np.maximum(y, 0)
    if number == n_encoder - 1:
        return y * model.code_unit
    return y * model.scale + estimator.mean_ if number == len(layers) - 1 else y


@pytest.mark.parametrize("layer", range(6))
def test_activations_of_every_layer(relu, layer):
    expected = by_hand(relu, layer)
    assert_allclose(activations(relu, X, layer=layer), expected, rtol=1e-9, atol=1e-9)
    assert_array_equal(activations(relu, X, layer=layer - 6), activations(relu, X, layer=layer))


def test_the_code_is_the_encoders(relu):
    encoder = Autoencoder(**relu.get_params()).set_params(transform_max_iter=0)
    encoder.__dict__.update({k: v for k, v in vars(relu).items() if k.endswith("_")}, _model=None)
    encoder._model = relu._model
    assert_array_equal(activations(relu, X), encoder.transform(X))
    assert_array_equal(activations(relu, X), activations(relu, X, layer=2))
    assert_allclose(activations(relu, X, layer=-1), encoder.reconstruct(X), rtol=1e-12)


def test_activations_of_convolutions(convolutional):
    shapes = [activations(convolutional, X[:3], layer=i).shape for i in range(8)]
    assert shapes == [(3, 4, 4, 4), (3, 6, 2, 2), (3, 16), (3, 4), (3, 16), (3, 24), (3, 4, 4, 4),
                      (3, 64)]  # fmt: skip
    # A convolution by hand: 3 x 3 kernels at every second pixel.
    model = convolutional._model
    kernels = weight_images(convolutional, layer=0) * model.scale
    padded = np.pad(
        ((X - convolutional.mean_) / model.scale).reshape(-1, 8, 8), [(0, 0), (1, 1), (1, 1)]
    )
    place = padded[:, 2:5, 4:7].reshape(len(X), 9) @ kernels.reshape(4, 9).T
    place += model.network.encoder.convolutions[0].bias.detach().double().numpy().ravel()
    from scipy.stats import norm

    gelu = place * norm.cdf(place)
    assert_allclose(activations(convolutional, X, layer=0)[:, :, 1, 2], gelu, rtol=1e-6, atol=1e-6)


def test_rows_are_independent_and_float32_is_kept(relu):
    rows = X.astype(np.float32)
    assert activations(relu, rows, layer=1).dtype == np.float32
    assert_allclose(activations(relu, X[5:7], layer=1), activations(relu, X, layer=1)[5:7], 1e-10)


def test_the_bits_of_a_hashing_code():
    hashing = HashingAutoencoder(6, max_iter=2, random_state=0).fit(X)
    assert_array_equal(activations(hashing, X), hashing.transform(X))


def test_samples_are_those_of_highest_activation(relu):
    outputs = activations(relu, X, layer=0)
    found = max_activating_samples(relu, X, unit=7, layer=0, n_samples=5)
    assert_array_equal(found.activations, np.sort(outputs[:, 7])[::-1][:5])
    assert_array_equal(outputs[found.indices, 7], found.activations)
    twice = max_activating_samples(relu, np.vstack([X, X]), unit=7, layer=0, n_samples=2)
    assert_array_equal(
        twice.indices, [found.indices[0], found.indices[0] + len(X)]
    )  # ties in order


def test_samples_of_a_channel_are_those_of_its_largest_position(convolutional):
    outputs = activations(convolutional, X, layer=1)
    found = max_activating_samples(convolutional, X, unit=2, layer=1, n_samples=3)
    largest = outputs[:, 2].max(axis=(1, 2))
    assert_array_equal(found.indices, np.argsort(-largest)[:3])


def test_weights_are_the_slope_of_a_unit():
    """In a linear network, an image holds the change of the unit with each pixel."""
    linear = Autoencoder(
        4,
        hidden_layer_sizes=(16,),
        activation="identity",
        shortcut=None,
        max_iter=3,
        random_state=0,
    ).fit(X)
    for layer in (0, "code"):
        images = weight_images(linear, (8, 8), layer=layer)
        change = activations(linear, X[:1] + np.eye(64), layer=layer) - activations(
            linear, X[:1], layer=layer
        )
        assert_allclose(images.reshape(-1, 64), change.T, atol=1e-6)


def test_the_linear_path_is_added_on_demand():
    linear = Autoencoder(4, hidden_layer_sizes=(), max_iter=3, random_state=0).fit(X)
    pca = PCA(4).fit(X)
    assert linear.selected_ == "pca"
    assert_allclose(
        weight_images(linear, layer="code", include_pca=True), pca.components_, atol=1e-8
    )
    assert_allclose(weight_images(linear, layer="code"), 0.0, atol=1e-8)


def test_image_shapes(relu, convolutional):
    assert weight_images(relu).shape == (32, 64)
    assert weight_images(relu, (8, 8), layer=1).shape == (16, 8, 8)
    assert weight_images(relu, (1, 8, 8)).shape == (32, 1, 8, 8)
    assert weight_images(convolutional).shape == (4, 1, 3, 3)
    with pytest.raises(ValueError, match="has 63 pixels, but X has 64 features"):
        weight_images(relu, (7, 9))
    with pytest.raises(ValueError, match=r"layer=1 follows a convolution"):
        weight_images(convolutional, layer=1)
    with pytest.raises(ValueError, match=r"layer=3 is in the decoder"):
        weight_images(relu, layer=3)


@pytest.mark.parametrize("layer", [6, -7, "encoder", 1.0, True, None])
def test_layers_that_do_not_exist(relu, layer):
    text = 'must be "code" or an int from 0 to 5, .* 2 is the code, and 5 is the reconstruction'
    with pytest.raises(ValueError, match=text):
        activations(relu, X, layer=layer)


@pytest.mark.parametrize("unit", [32, -1, 1.0, True])
def test_units_that_do_not_exist(relu, unit):
    with pytest.raises(ValueError, match=r"Layer 0 has 32 units, so unit must be .* 0 to 31\. Got"):
        max_activating_samples(relu, X, unit=unit, layer=0)


def test_more_samples_than_rows(relu):
    with pytest.raises(ValueError, match="n_samples=11, but X has only 10 rows"):
        max_activating_samples(relu, X[:10], unit=0, n_samples=11)


def test_hidden_layers_that_pca_does_not_use():
    kept = Autoencoder(4, hidden_layer_sizes=(8,), random_state=0).fit(X[:9])
    assert kept.selected_ == "pca"
    with pytest.warns(UserWarning, match="PCA was kept .* layer 0 has its random initial weights"):
        activations(kept, X, layer=0)
    assert_allclose(activations(kept, X), kept.transform(X), atol=1e-9)


def test_sparse_codes_keep_their_zeros():
    sparse = SparseAutoencoder(20, penalty="topk", n_active=3, max_iter=2, random_state=0).fit(X)
    assert ((activations(sparse, X) != 0).sum(axis=1) <= 3).all()

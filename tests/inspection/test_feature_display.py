"""`FeatureDisplay` draws weights, samples and optimized inputs of the same units."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import pytest
from scipy.sparse import csr_array
from sklearn.datasets import load_wine
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skae import Autoencoder, AutoencoderClassifier, ConvolutionalAutoencoder, HashingAutoencoder
from skae.inspection import (
    activations,
    max_activating_samples,
    maximize_activation,
    weight_images,
)
from skae.inspection.displays import FeatureDisplay

FAST = {"hidden_layer_sizes": (16,), "max_iter": 5, "shortcut": None, "random_state": 0}
CONV = {"channels": (4,), "max_iter": 1, "shortcut": None, "random_state": 0}


@pytest.fixture(scope="module", name="X")
def _digits(digits):
    return digits[:200]


@pytest.fixture(scope="module")
def fitted(X):
    return Autoencoder(4, **FAST).fit(X)


@pytest.fixture(scope="module")
def table():
    return load_wine(as_frame=True).data


@pytest.fixture(scope="module")
def pipeline(table):
    return make_pipeline(StandardScaler(), Autoencoder(2, **FAST)).fit(table)


@pytest.fixture(scope="module")
def colours():
    return np.random.default_rng(0).uniform(size=(40, 8, 8, 3))


@pytest.fixture(scope="module")
def convolutional(colours):
    return ConvolutionalAutoencoder(2, **CONV).fit(colours)


def images(axes):
    return np.array([place.images[0].get_array() for place in axes])


def labels_below(axes):
    return [float(place.get_xlabel()) for place in axes]


def headings(axes):
    return [place.get_title(loc="left") for place in axes if place.get_title(loc="left")]


def test_images_of_the_same_units_side_by_side(fitted, X):
    units, limits = [3, 7], {"bounds": (0, 16), "radius": 30.0}
    display = FeatureDisplay.from_estimator(
        fitted, X, units=units, image_shape=(8, 8), n_samples=3, **limits
    )
    assert display.axes_.shape == (2, 5)
    assert headings(display.axes_[0]) == ["Weights", "Most active samples", "Optimized"]
    for axes, unit in zip(display.axes_, units, strict=True):
        samples = max_activating_samples(fitted, X, unit=unit, layer=0, n_samples=3)
        best = maximize_activation(fitted, unit, layer=0, random_state=0, **limits)
        weights = weight_images(fitted, (8, 8))[unit]
        assert axes[0].get_ylabel() == f"unit {unit}"
        np.testing.assert_array_equal(axes[0].images[0].get_array(), weights)
        assert axes[0].images[0].get_clim() == (-np.abs(weights).max(), np.abs(weights).max())
        np.testing.assert_array_equal(images(axes[1:4]), X[samples.indices].reshape(-1, 8, 8))
        np.testing.assert_allclose(labels_below(axes[1:4]), samples.activations, rtol=5e-3)
        np.testing.assert_allclose(axes[4].images[0].get_array(), best.input.reshape(8, 8))
        np.testing.assert_allclose(labels_below(axes[4:]), best.activation, rtol=5e-3)


def test_units_that_vary_most_are_chosen(fitted, X):
    display = FeatureDisplay.from_estimator(fitted, X, units=4, techniques=("samples",), layer=2)
    expected = np.argsort(-activations(fitted, X, layer=2).std(axis=0))[:4]
    np.testing.assert_array_equal(display.units, expected)


def test_without_rows_the_units_with_the_largest_weights_are_chosen(fitted):
    display = FeatureDisplay.from_estimator(fitted, units=2, image_shape=(8, 8))
    sizes = np.linalg.norm(weight_images(fitted), axis=1)
    np.testing.assert_array_equal(display.units, np.argsort(-sizes)[:2])
    assert headings(display.axes_[0]) == ["Weights", "Optimized"]


def test_a_layer_of_the_decoder_has_no_weights(fitted):
    display = FeatureDisplay.from_estimator(fitted, units=2, image_shape=(8, 8), layer=2)
    assert display.units == [0, 1]
    assert headings(display.axes_[0]) == ["Optimized"]


def test_by_default_an_optimized_input_stays_within_the_range_of_the_data(fitted, X):
    display = FeatureDisplay.from_estimator(
        fitted, X, units=2, image_shape=(8, 8), layer="code", techniques=["optimized"]
    )
    mean = fitted.mean_
    low, high = np.fmin(X.min(axis=0), mean), np.fmax(X.max(axis=0), mean)
    assert (display.optimized >= low - 1e-9).all()
    assert (display.optimized <= high + 1e-9).all()
    radius = np.sqrt(np.square(X - mean).sum(axis=1).mean())
    lengths = np.linalg.norm(display.optimized - mean, axis=1)
    assert (lengths <= radius * 1.1).all()  # the training rows are all of X but the held-out ones
    assert (lengths > 0).all()


def test_rows_that_exclude_the_mean_are_allowed(fitted, X):
    display = FeatureDisplay.from_estimator(fitted, X[:3], units=1, n_samples=9)
    assert display.samples.shape == (1, 3, 64)


def test_bars_of_a_table(pipeline, table):
    display = FeatureDisplay.from_estimator(pipeline, table, units=[5], n_samples=4, max_features=6)
    Z = StandardScaler().fit_transform(table)
    mean = pipeline[-1].mean_
    found = max_activating_samples(pipeline, table, unit=5, layer=0, n_samples=4)
    values = np.stack(
        [
            weight_images(pipeline)[5],
            Z[found.indices].mean(axis=0) - mean,
            display.optimized[0] - mean,
        ]
    )
    sizes = (np.abs(values) / np.abs(values).max(axis=1, keepdims=True)).max(axis=0)
    features = np.argsort(-sizes)[:6]
    names = [label.get_text() for label in display.axes_[0, 0].get_yticklabels()]
    assert names == list(table.columns[features])
    for axes, expected in zip(display.axes_[0], values[:, features], strict=True):
        np.testing.assert_allclose([bar.get_width() for bar in axes.patches], expected, atol=1e-9)
    assert display.axes_[0, 0].get_ylabel() == "unit 5"


def test_weights_of_the_code_have_the_linear_path(X):
    linear = Autoencoder(4, hidden_layer_sizes=(), max_iter=1, random_state=0).fit(X)
    display = FeatureDisplay.from_estimator(
        linear, X, layer="code", techniques=["weights"], image_shape=(8, 8)
    )
    np.testing.assert_array_equal(display.units, range(4))
    np.testing.assert_allclose(
        images(display.axes_[:, 0]), linear.components_.reshape(-1, 8, 8), atol=1e-6
    )


def test_kernels_and_colour_images_with_channels_last(convolutional, colours):
    display = FeatureDisplay.from_estimator(convolutional, colours, units=[1], n_samples=2)
    kernels = weight_images(convolutional)[1]
    expected = 0.5 + 0.5 * np.moveaxis(kernels, 0, -1) / np.abs(kernels).max()
    np.testing.assert_allclose(display.axes_[0, 0].images[0].get_array(), expected)
    found = max_activating_samples(convolutional, colours, unit=1, layer=0, n_samples=2)
    samples = colours[found.indices]
    low, high = samples.min(), samples.max()
    np.testing.assert_allclose(images(display.axes_[0, 1:3]), (samples - low) / (high - low))


def test_images_of_two_channels_stand_side_by_side(rng):
    X = rng.uniform(size=(40, 2, 6, 6))
    fitted = ConvolutionalAutoencoder(2, **CONV).fit(X)
    display = FeatureDisplay.from_estimator(fitted, X, units=[1], n_samples=1)
    found = max_activating_samples(fitted, X, unit=1, layer=0, n_samples=1)
    drawn = display.axes_[0, 1].images[0].get_array()
    np.testing.assert_array_equal(
        np.hstack([drawn[:, :6], drawn[:, 7:]]), np.hstack(*X[found.indices])
    )
    assert headings(display.axes_[0]) == ["Weights", "Sample", "Optimized"]


def test_samples_need_no_activations():
    display = FeatureDisplay([3], samples=np.ones((1, 2, 4)), image_shape=(1, 2, 2)).plot()
    assert [axes.get_xlabel() for axes in display.axes_[0]] == ["", ""]


def test_that_pca_was_kept_is_said_once(rng):
    X = rng.normal(size=(60, 6))
    kept = Autoencoder(2, hidden_layer_sizes=(8,), max_iter=2, random_state=0).fit(X)
    assert kept.selected_ == "pca"
    with pytest.warns(UserWarning, match="PCA was kept") as caught:
        FeatureDisplay.from_estimator(kept, X, units=3)
    messages = [str(warning.message) for warning in caught]
    assert [message[:12] for message in messages] == ["PCA was kept"]


def test_above_a_convolution_there_are_no_weights(convolutional, colours):
    display = FeatureDisplay.from_estimator(convolutional, colours, layer="code", units=1)
    assert headings(display.axes_[0]) == ["Most active samples", "Optimized"]


def test_a_convolution_of_rows(X):
    convolutional = ConvolutionalAutoencoder(2, **CONV).fit(X)
    display = FeatureDisplay.from_estimator(convolutional, X, units=1)
    assert display.weights is None
    with pytest.raises(ValueError, match="'weights', and kernels are drawn as images"):
        FeatureDisplay.from_estimator(convolutional, techniques=["weights"])


def test_the_encoder_of_a_classifier(X):
    autoencoder = Autoencoder(2, **FAST | {"max_iter": 1})
    classifier = AutoencoderClassifier(autoencoder, max_iter=2, random_state=0)
    classifier.fit(X[:60], np.arange(60) % 2)
    display = FeatureDisplay.from_estimator(classifier, X, units=1, image_shape=(8, 8))
    expected = weight_images(classifier, (8, 8))[display.units[0]]
    np.testing.assert_array_equal(display.axes_[0, 0].images[0].get_array(), expected)


def test_sparse_rows(rng):
    X = csr_array(rng.poisson(0.5, size=(50, 20)).astype(float))
    hashing = HashingAutoencoder(4, hidden_layer_sizes=(8,), max_iter=1, random_state=0).fit(X)
    display = FeatureDisplay.from_estimator(hashing, X, units=[2], n_samples=3)
    found = max_activating_samples(hashing, X, unit=2, layer=0, n_samples=3)
    np.testing.assert_allclose(display.samples[0], X.toarray()[found.indices])
    after_bits = FeatureDisplay.from_estimator(hashing, X, units=[2], layer=2)
    assert after_bits.optimized is None


@pytest.mark.parametrize(
    ("image_shape", "layout"), [(None, None), ((8, 8), None), ((8, 8), "constrained")]
)
def test_on_small_axes_nothing_overlaps(fitted, X, image_shape, layout, overlaps):
    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4), layout=layout)
    display = FeatureDisplay.from_estimator(
        fitted, X, units=2, n_samples=3, image_shape=image_shape, ax=right
    )
    assert display.figure_ is figure
    assert overlaps(figure) == []
    assert all(axes.get_position().x0 > left.get_position().x1 for axes in display.axes_.flat)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"units": 0}, "units=0 must be an int of 1 or more"),
        ({"units": []}, r"units=\[\] names no unit"),
        ({"units": None}, "units=None must be a number of units or a list"),
        ({"units": 2.5}, "units=2.5 must be a number of units or a list"),
        ({"units": "all"}, "units='all' must be a number of units or a list"),
        ({"units": [0, 0]}, r"units=\[0, 0\] names a unit twice"),
        ({"units": 1000, "layer": -1}, "units=1000 are 64 units, and a figure has room for 30"),
        ({"units": [16]}, "Layer 0 has 16 units, so units must be"),
        ({"layer": 9}, "layer must be .* Got 9"),
        ({"n_samples": 0}, "n_samples=0 must be an int of 1 or more"),
        ({"max_features": 0}, "max_features=0 must be an int of 1 or more"),
        ({"techniques": ("saliency",)}, r"techniques=\('saliency',\) must be some of"),
        ({"techniques": "weights"}, "techniques='weights' must be some of"),
        ({"image_shape": (8, 9)}, r"image_shape=\(8, 9\) has 72 pixels"),
    ],
)
def test_errors_name_the_parameter(fitted, X, options, message):
    with pytest.raises(ValueError, match=message):
        FeatureDisplay.from_estimator(fitted, X, **options)


def test_samples_need_rows(fitted):
    with pytest.raises(ValueError, match="has 'samples', which need X"):
        FeatureDisplay.from_estimator(fitted, techniques=["samples"])

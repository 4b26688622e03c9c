"""`ComponentsDisplay` draws the explained variance of code and PCA, and the loadings."""

from __future__ import annotations

import sys

import matplotlib.pyplot as plt
import numpy as np
import pytest
from scipy.sparse import csr_array
from sklearn.datasets import load_wine
from sklearn.decomposition import PCA
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skae import (
    Autoencoder,
    AutoencoderClassifier,
    ConvolutionalAutoencoder,
    HashingAutoencoder,
    SparseAutoencoder,
)
from skae.inspection import code_sensitivities
from skae.inspection.displays import ComponentsDisplay
from skae.inspection.pca import pca_shares

FAST = {"hidden_layer_sizes": (32,), "max_iter": 5, "random_state": 0}


@pytest.fixture(scope="module", name="X")
def _digits(digits):
    return digits[:300]


@pytest.fixture(scope="module")
def fitted(X):
    return Autoencoder(6, **FAST).fit(X)


@pytest.fixture(scope="module")
def sparse(X):
    return SparseAutoencoder(20, **FAST | {"max_iter": 2}).fit(X)


@pytest.fixture(scope="module")
def table():
    return load_wine(as_frame=True).data


@pytest.fixture(scope="module")
def pipeline(table):
    return make_pipeline(StandardScaler(), Autoencoder(2, **FAST)).fit(table)


def heights(axes):
    return [bar.get_height() for bar in axes.patches]


def tick_labels(axis):
    return [label.get_text() for label in axis.get_ticklabels()]


def test_explained_variance_of_code_and_pca(fitted, X):
    display = ComponentsDisplay.from_estimator(fitted, X)
    expected = PCA(6).fit(X).explained_variance_ratio_
    axes = display.axes_[0]
    np.testing.assert_allclose(heights(axes), fitted.explained_variance_ratio_)
    np.testing.assert_allclose(axes.lines[0].get_ydata(), expected)
    totals = [text.get_text() for text in axes.get_legend().get_texts()]
    own = fitted.explained_variance_ratio_.sum()
    assert totals == [f"Autoencoder: {own:.1%} in all", f"PCA: {expected.sum():.1%} in all"]


def test_sparse_rows_have_no_pca():
    X = csr_array(np.random.default_rng(0).poisson(1.0, size=(50, 20)).astype(float))
    hashing = HashingAutoencoder(4, hidden_layer_sizes=(8,), max_iter=1, random_state=0).fit(X)
    display = ComponentsDisplay.from_estimator(hashing, X)
    assert not display.axes_[0].lines
    expected = np.sort(hashing.explained_variance_ratio_)[::-1]
    np.testing.assert_array_equal(heights(display.axes_[0]), expected)


def test_missing_entries_are_at_the_mean(fitted, X):
    model = fitted._model
    at_mean = np.where(X == 16, fitted.mean_, X)
    missing = pca_shares(model, np.where(X == 16, np.nan, X), 6)
    np.testing.assert_allclose(missing, pca_shares(model, at_mean, 6))


def test_constant_rows_have_no_variance_to_explain(fitted):
    np.testing.assert_array_equal(pca_shares(fitted._model, np.ones((10, 64)), 6), 0.0)


def test_heat_map_of_named_features(pipeline, table):
    display = ComponentsDisplay.from_estimator(pipeline, table)
    axes = display.axes_[1]
    np.testing.assert_array_equal(axes.images[0].get_array(), pipeline[-1].components_.T)
    assert tick_labels(axes.yaxis) == list(table.columns)
    assert tick_labels(axes.xaxis) == ["0", "1"]
    low, high = axes.images[0].get_clim()
    assert low == -high == -np.abs(pipeline[-1].components_).max()


def test_sensitivities(pipeline, table):
    display = ComponentsDisplay.from_estimator(pipeline, table, loadings="sensitivities")
    expected = code_sensitivities(pipeline, table).mean
    np.testing.assert_allclose(display.axes_[1].images[0].get_array(), expected.T)


def test_components_and_features_that_explain_most_are_drawn(sparse, X):
    display = ComponentsDisplay.from_estimator(sparse, X, n_components=4, max_features=10)
    shares, loadings = sparse.explained_variance_ratio_, sparse.components_
    order = display.components_drawn_
    np.testing.assert_array_equal(shares[order], np.sort(shares)[::-1][:4])
    assert tick_labels(display.axes_[0].xaxis) == [str(number) for number in order]
    sizes = np.square(loadings[order]).sum(axis=0)
    features = display.features_drawn_
    assert sizes[features].min() >= np.delete(sizes, features).max()
    drawn = display.axes_[1].images[0].get_array()
    np.testing.assert_array_equal(drawn, loadings[np.ix_(order, features)].T)
    assert tick_labels(display.axes_[1].yaxis) == [f"x{column}" for column in features]


def test_images(fitted, X):
    display = ComponentsDisplay.from_estimator(fitted, X, image_shape=(8, 8))
    assert len(display.axes_) == 7
    largest = np.abs(fitted.components_).max()
    for number, axes in enumerate(display.axes_[1:]):
        drawn = axes.images[0]
        np.testing.assert_array_equal(drawn.get_array(), fitted.components_[number].reshape(8, 8))
        assert drawn.get_clim() == (-largest, largest)
        assert axes.get_title() == f"{number}: {fitted.explained_variance_ratio_[number]:.1%}"


@pytest.fixture(scope="module")
def coloured():
    """Components in which red, green and blue oppose each other, and images that have them."""
    rng = np.random.default_rng(0)
    components = rng.normal(size=(2, 3, 6, 6))
    components -= components.mean(axis=1, keepdims=True)
    X = (rng.normal(size=(40, 2)) @ components.reshape(2, -1)).reshape(40, 3, 6, 6)
    return ConvolutionalAutoencoder(2, channels=(4,), max_iter=1, random_state=0).fit(X), X


def test_three_channels_are_colours_around_grey(coloured):
    autoencoder, X = coloured
    display = ComponentsDisplay.from_estimator(autoencoder, X)
    components = autoencoder.components_.reshape(2, 3, 6, 6)
    assert np.abs(components.mean(axis=1)).max() < 0.1 * np.abs(components).max()
    expected = 0.5 + 0.5 * components / np.abs(components).max()
    drawn = [np.moveaxis(axes.images[0].get_array(), -1, 0) for axes in display.axes_[1:]]
    np.testing.assert_allclose(drawn, expected)
    assert display.axes_[1].images[0].get_array().std() > 0.1
    label = "Change of a feature with a component; 0 is grey"
    assert label in {axes.get_ylabel() for axes in display.figure_.axes}


@pytest.mark.parametrize("n_channels", [2, 4])
def test_other_numbers_of_channels_stand_side_by_side(n_channels):
    loadings = np.arange(2.0 * n_channels * 4 * 3).reshape(2, -1)
    shape = n_channels, 4, 3
    display = ComponentsDisplay(np.array([0.5, 0.2]), loadings, image_shape=shape).plot()
    for axes, image in zip(display.axes_[1:], loadings.reshape(2, *shape), strict=True):
        drawn = axes.images[0].get_array()
        assert drawn.shape == (4, n_channels * 3 + n_channels - 1)
        for channel in range(n_channels):
            np.testing.assert_array_equal(drawn[:, 4 * channel : 4 * channel + 3], image[channel])
        assert np.ma.getmaskarray(drawn)[:, 3::4].all()


def test_a_code_without_variance():
    display = ComponentsDisplay(np.zeros(2), np.zeros((2, 4))).plot()
    assert heights(display.axes_[0]) == [0, 0]
    assert display.axes_[0].get_ylim() == (0, 1)


@pytest.mark.parametrize(
    ("image_shape", "layout"), [(None, None), ((8, 8), None), ((8, 8), "constrained")]
)
def test_on_small_axes_nothing_overlaps(fitted, X, image_shape, layout, overlaps):
    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4), layout=layout)
    display = ComponentsDisplay.from_estimator(fitted, X, image_shape=image_shape, ax=right)
    assert display.figure_ is figure
    assert overlaps(figure) == []
    assert all(axes.get_position().x0 > left.get_position().x1 for axes in display.axes_.flat)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n_components": 0}, "n_components=0 must be an int of 1 or more"),
        ({"max_features": None}, "max_features=None must be an int of 1 or more"),
        ({"loadings": "weights"}, "loadings='weights' must be 'components' or 'sensitivities'"),
        ({"image_shape": (8, 9)}, r"image_shape=\(8, 9\) has 72 pixels"),
    ],
)
def test_errors_name_the_parameter(fitted, X, options, message):
    with pytest.raises(ValueError, match=message):
        ComponentsDisplay.from_estimator(fitted, X, **options)


def test_a_classifier_has_no_components(X):
    classifier = AutoencoderClassifier(Autoencoder(2, **FAST), max_iter=1, random_state=0)
    classifier.fit(X[:50], np.arange(50) % 2)
    with pytest.raises(TypeError, match="AutoencoderClassifier has no decoder"):
        ComponentsDisplay.from_estimator(classifier, X)


def test_without_matplotlib_the_extra_is_named(fitted, X, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ImportError, match=r"from_estimator needs matplotlib.*skae\[plot\]"):
        ComponentsDisplay.from_estimator(fitted, X)

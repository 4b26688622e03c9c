"""`ReconstructionDisplay` draws the rows, what PCA and the autoencoder make of them, and errors."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import load_wine
from sklearn.decomposition import PCA
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skae import (
    Autoencoder,
    ConvolutionalAutoencoder,
    DenoisingAutoencoder,
    SparseAutoencoder,
    VariationalAutoencoder,
)
from skae.inspection.displays import ReconstructionDisplay
from skae.inspection.pca import pca_reconstruction

FAST = {"hidden_layer_sizes": (32,), "max_iter": 5, "random_state": 0}
DRAWN = [0, 60, 119, 178, 238]  # rows of 239, spread evenly


@pytest.fixture(scope="module", name="X")
def _digits(digits):
    return digits[:239]


@pytest.fixture(scope="module")
def fitted(X):
    return Autoencoder(6, **FAST).fit(X)


@pytest.fixture(scope="module")
def wine_table():
    return load_wine(as_frame=True).data


@pytest.fixture(scope="module")
def wine_pipeline(wine_table):
    return make_pipeline(StandardScaler(), Autoencoder(2, **FAST)).fit(wine_table)


def pca_of(X, n_components):
    pca = PCA(n_components).fit(X)
    return pca.inverse_transform(pca.transform(X))


def images(axes):
    return np.array([place.images[0].get_array() for place in axes])


def rms(difference):
    return np.sqrt(np.square(difference).mean(axis=1))


@pytest.mark.parametrize(
    "autoencoder",
    [
        Autoencoder(6, **FAST),
        Autoencoder(6, **FAST | {"hidden_layer_sizes": ()}),
        Autoencoder(6, tied_weights=True, **FAST),
        Autoencoder(6, code_activation="logistic", **FAST),
        Autoencoder(6, loss="huber", **FAST),
        Autoencoder(60, **FAST),
        DenoisingAutoencoder(6, **FAST),
        SparseAutoencoder(6, shortcut="pca", **FAST),
        VariationalAutoencoder(6, **FAST),
    ],
    ids=repr,
)
def test_the_linear_path_is_the_pca_of_scikit_learn(autoencoder, X):
    model = autoencoder.fit(X)._model
    expected = pca_of(X, min(autoencoder.n_components_, X.shape[1]))
    np.testing.assert_allclose(pca_reconstruction(model, X), expected, atol=1e-10)


def test_wide_rows_are_projected_by_pca_too(X):
    rows = X[:30]
    model = Autoencoder(6, **FAST).fit(rows)._model
    np.testing.assert_allclose(pca_reconstruction(model, rows), pca_of(rows, 6), atol=1e-10)


@pytest.mark.parametrize("changes", [{"shortcut": None}, {"loss": "poisson"}], ids=str)
def test_without_a_linear_path_pca_is_left_out(changes, X):
    display = ReconstructionDisplay.from_estimator(
        Autoencoder(6, **FAST | {"max_iter": 1}, **changes).fit(X), X, image_shape=(8, 8)
    )
    assert display.pca_errors_ is None
    labels = [axes.get_ylabel().split("\n")[0] for axes in display.axes_[:, 0]]
    assert labels == ["Input", "Autoencoder", "Autoencoder"]


def test_images(fitted, X):
    display = ReconstructionDisplay.from_estimator(fitted, X, n_rows=5, image_shape=(8, 8))
    rows, restored, linear = X[DRAWN], fitted.reconstruct(X[DRAWN]), pca_of(X, 6)[DRAWN]
    assert display.axes_.shape == (4, 5)
    for axes, expected in zip(
        display.axes_, [rows, linear, restored, restored - rows], strict=True
    ):
        np.testing.assert_allclose(images(axes), expected.reshape(-1, 8, 8), atol=1e-8)
    assert [axes.get_title() for axes in display.axes_[0]] == [f"row {row}" for row in DRAWN]
    np.testing.assert_allclose(display.errors_, rms(restored - rows))
    np.testing.assert_allclose(display.pca_errors_, rms(linear - rows))
    for axes, errors in zip(display.axes_[1:3], [linear, restored], strict=True):
        drawn = [float(place.get_xlabel()) for place in axes]
        np.testing.assert_allclose(drawn, rms(errors - rows), rtol=5e-3)


def test_the_images_of_a_row_of_axes_share_their_colours(fitted, X):
    display = ReconstructionDisplay.from_estimator(fitted, X, n_rows=5, image_shape=(8, 8))
    for axes in display.axes_[:3].flat:
        assert axes.images[0].get_clim() == (X[DRAWN].min(), X[DRAWN].max())
    largest = np.abs(images(display.axes_[3])).max()
    assert {axes.images[0].get_clim() for axes in display.axes_[3]} == {(-largest, largest)}


def test_colour_images_with_channels_last(rng):
    X = rng.uniform(size=(40, 8, 8, 3))
    autoencoder = ConvolutionalAutoencoder(2, channels=(4,), max_iter=1, random_state=0).fit(X)
    display = ReconstructionDisplay.from_estimator(autoencoder, X, n_rows=2)
    low, high = X[[0, 39]].min(), X[[0, 39]].max()
    np.testing.assert_allclose(images(display.axes_[0]), (X[[0, 39]] - low) / (high - low))
    difference = autoencoder.reconstruct(X).reshape(X.shape)[[0, 39]] - X[[0, 39]]
    expected = 0.5 + 0.5 * difference / np.abs(difference).max()
    np.testing.assert_allclose(images(display.axes_[3]), expected, atol=1e-12)


@pytest.mark.parametrize("n_channels", [2, 5])
def test_other_numbers_of_channels_stand_side_by_side(rng, n_channels):
    rows = rng.uniform(size=(3, n_channels, 4, 5))
    flat = rows.reshape(3, -1)
    display = ReconstructionDisplay(flat, flat + 1.0, image_shape=rows.shape[1:]).plot()
    drawn = images(display.axes_[0]).reshape(3, 4, -1)
    assert drawn.shape == (3, 4, n_channels * 6 - 1)
    for channel in range(n_channels):
        np.testing.assert_array_equal(drawn[..., 6 * channel : 6 * channel + 5], rows[:, channel])
    assert np.isnan(drawn[..., 5::6]).all()
    errors = images(display.axes_[2]).reshape(3, 4, -1)
    np.testing.assert_allclose(errors[~np.isnan(drawn)], 1.0)


@pytest.mark.parametrize("image_shape", [None, (1, 2, 3)])
def test_rows_without_any_entry_are_drawn(image_shape):
    rows = np.full((1, 6), np.nan)
    display = ReconstructionDisplay(rows, np.ones((1, 6)), image_shape=image_shape)
    display.plot(max_features=2)
    assert np.isnan(display.errors_).all()


@pytest.mark.parametrize("layout", [None, "constrained"])
def test_on_small_axes_nothing_overlaps(fitted, X, layout, overlaps):
    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 4), layout=layout)
    display = ReconstructionDisplay.from_estimator(fitted, X, image_shape=(8, 8), ax=right)
    assert display.figure_ is figure
    assert overlaps(figure) == []
    assert all(axes.get_position().x0 > left.get_position().x1 for axes in display.axes_.flat)


def test_a_table_on_small_axes(wine_pipeline, wine_table, overlaps):
    figure, axes = plt.subplots(1, 2, figsize=(9, 4))
    display = ReconstructionDisplay.from_estimator(wine_pipeline, wine_table, ax=axes[1])
    assert overlaps(figure) == []
    again = display.plot()
    assert again is display
    assert display.figure_ is not figure


def test_a_table_in_a_pipeline(wine_pipeline, wine_table):
    display = ReconstructionDisplay.from_estimator(wine_pipeline, wine_table, n_rows=3)
    Z = StandardScaler().fit_transform(wine_table)
    chosen = [0, 88, 177]
    restored, linear = wine_pipeline[-1].reconstruct(Z), pca_of(Z, 2)
    names = [label.get_text() for label in display.axes_[0].get_yticklabels()]
    assert names == list(wine_table.columns)
    for axes, row in zip(display.axes_, chosen, strict=True):
        drawn = {line.get_label(): line.get_xdata() for line in axes.lines}
        np.testing.assert_allclose(drawn["Input"], Z[row])
        np.testing.assert_allclose(drawn["PCA"], linear[row], atol=1e-10)
        np.testing.assert_allclose(drawn["Autoencoder"], restored[row], atol=1e-10)
        assert axes.get_title() == f"row {row}"
    texts = [[text.get_text() for text in axes.texts] for axes in display.axes_]
    assert texts[0].count("RMS error") == 2
    texts = [[float(text) for text in found if text != "RMS error"] for found in texts]
    expected = np.stack([rms(linear - Z), rms(restored - Z)], axis=1)[chosen]
    np.testing.assert_allclose(texts, expected, rtol=5e-3)


def test_rows_have_the_names_of_the_index(wine_pipeline, wine_table):
    days = pd.date_range("2026-01-01", periods=178, freq="h")
    table = pd.DataFrame(wine_table).set_index(days.strftime("%Y-%m-%d %H:%M"))
    display = ReconstructionDisplay.from_estimator(wine_pipeline, table, n_rows=2)
    assert [axes.get_title() for axes in display.axes_] == ["2026-01-01 00…", "2026-01-08 09…"]
    table = pd.DataFrame(wine_table).set_index(np.arange(178) + 5)
    display = ReconstructionDisplay.from_estimator(wine_pipeline, table, n_rows=2)
    assert [axes.get_title() for axes in display.axes_] == ["row 5", "row 182"]


def test_rows_of_a_list_have_numbers(fitted, X):
    display = ReconstructionDisplay.from_estimator(fitted, X.tolist(), n_rows=2)
    assert [axes.get_title() for axes in display.axes_] == ["row 0", "row 238"]


def test_a_wide_table_shows_the_features_that_vary_most(fitted, X):
    display = ReconstructionDisplay.from_estimator(fitted, X, n_rows=5, max_features=10)
    kept = np.sort(np.argsort(-X[DRAWN].var(axis=0), kind="stable")[:10])
    names = [label.get_text() for label in display.axes_[0].get_yticklabels()]
    assert names == [f"x{column}" for column in kept]
    np.testing.assert_allclose(display.axes_[0].lines[0].get_xdata(), X[0, kept])
    np.testing.assert_allclose(display.errors_, rms(fitted.reconstruct(X[DRAWN]) - X[DRAWN]))


def test_missing_entries_are_left_out_of_the_error(X):
    rows = X[:50].copy()
    rows[0, 20:30] = np.nan
    autoencoder = DenoisingAutoencoder(3, **FAST | {"max_iter": 1}).fit(rows)
    display = ReconstructionDisplay.from_estimator(autoencoder, rows, image_shape=(8, 8))
    error = np.square(autoencoder.reconstruct(rows) - rows)
    expected = np.sqrt(np.nanmean(error, axis=1))[display_rows(50)]
    np.testing.assert_allclose(display.errors_, expected)


def display_rows(n_rows):
    return np.linspace(0, n_rows - 1, 8).round().astype(int)


def test_another_pca_or_none(fitted, X):
    pca = PCA(2).fit(X)
    drawn = ReconstructionDisplay.from_estimator(fitted, X[DRAWN], pca=pca)
    np.testing.assert_allclose(drawn.pca_errors_, rms(pca_of(X, 2) - X)[DRAWN])
    drawn = ReconstructionDisplay.from_estimator(fitted, X, pca=None, n_rows=1)
    assert drawn.pca_errors_ is None
    for wrong in ("linear", True, PCA):
        with pytest.raises(ValueError, match=r"pca=.* must be 'auto', None or a fitted PCA"):
            ReconstructionDisplay.from_estimator(fitted, X, pca=wrong)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda figure: figure.subplots(1, 2), "its type is ndarray of 2. Of several, pass one"),
        (lambda figure: figure, "its type is Figure"),
        (lambda figure: figure.add_subplot(projection="3d"), "with the projection '3d'"),
    ],
)
def test_axes_are_single_and_plain(fitted, X, make, message):
    ax = make(plt.figure())
    with pytest.raises(TypeError, match=f"ax must be None or a single plain .*{message}"):
        ReconstructionDisplay.from_estimator(fitted, X, n_rows=2, ax=ax)


def test_axes_that_cannot_be_split(fitted, X):
    ax = plt.figure().add_axes((0.1, 0.1, 0.8, 0.8))
    with pytest.raises(ValueError, match="ax has no place in a grid"):
        ReconstructionDisplay.from_estimator(fitted, X, n_rows=2, ax=ax)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n_rows": 0}, "n_rows=0 must be an int of 1 or more"),
        ({"image_shape": (8, 9)}, r"image_shape=\(8, 9\) has 72 pixels"),
        ({"max_features": 1.5}, "max_features=1.5 must be an int of 1 or more"),
    ],
)
def test_errors_name_the_parameter(fitted, X, options, message):
    with pytest.raises(ValueError, match=message):
        ReconstructionDisplay.from_estimator(fitted, X, **options)

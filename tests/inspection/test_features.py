"""Sensitivities and contributions of features: PCA's in closed form, a network's by identities."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.datasets import load_diabetes, load_digits
from sklearn.decomposition import PCA
from sklearn.metrics import explained_variance_score

from skae import Autoencoder, ConvolutionalAutoencoder, DenoisingAutoencoder
from skae.inspection import activations, code_sensitivities, feature_contribution

X = load_diabetes(scaled=False).data
X = (X - X.mean(axis=0)) / X.std(axis=0)


@pytest.fixture(scope="module")
def linear():
    return Autoencoder(3, hidden_layer_sizes=(), max_iter=3, random_state=0).fit(X)


@pytest.fixture(scope="module")
def deep():
    return Autoencoder(3, hidden_layer_sizes=(32,), shortcut=None, max_iter=20, random_state=0).fit(
        X
    )


def test_sensitivities_of_pca_are_its_components(linear):
    sensitivities = code_sensitivities(linear, X)
    assert_allclose(sensitivities["mean"], PCA(3).fit(X).components_, atol=1e-8)
    assert_allclose(sensitivities["mean"], linear.components_, atol=1e-8)
    assert_allclose(sensitivities.root_mean_square, np.abs(linear.components_), atol=1e-8)
    assert list(sensitivities.component_names) == ["autoencoder0", "autoencoder1", "autoencoder2"]


def test_sensitivities_are_finite_differences(deep):
    step = 1e-4
    for feature in (0, 4):
        change = np.zeros(X.shape[1])
        change[feature] = step
        slope = (activations(deep, X + change) - activations(deep, X - change)) / (2 * step)
        sensitivities = code_sensitivities(deep, X)
        assert_allclose(sensitivities["mean"][:, feature], slope.mean(axis=0), rtol=1e-4, atol=1e-7)
        root = np.sqrt(np.square(slope).mean(axis=0))
        assert_allclose(sensitivities.root_mean_square[:, feature], root, rtol=1e-4)


def test_contributions_of_pca_are_variances_of_loadings(linear):
    pca = PCA(3).fit(X)
    variances = X.var(axis=0, ddof=1)
    expected = pca.explained_variance_[:, None] * np.square(pca.components_) / variances
    assert_allclose(feature_contribution(linear, X), expected, atol=1e-8)


def explained(estimator, rows):
    return explained_variance_score(rows, estimator.reconstruct(rows), multioutput="raw_values")


def test_contributions_sum_to_the_explained_variance(deep):
    contribution = feature_contribution(deep, X)
    assert_allclose(contribution.sum(axis=0), explained(deep, X), atol=1e-5)
    new = X[::7] * 1.3 + 0.2  # rows whose mean is another
    assert_allclose(feature_contribution(deep, new).sum(axis=0), explained(deep, new), atol=1e-4)
    # X in parts has the same sums.
    many = np.tile(X, (120, 1))
    assert_allclose(feature_contribution(deep, many), contribution, atol=1e-8)


def test_contributions_of_images_and_of_a_link():
    digits = load_digits().data[:200]
    images = ConvolutionalAutoencoder(3, image_shape=(8, 8), channels=(4,), max_iter=2)
    logistic = Autoencoder(3, loss="log_loss", hidden_layer_sizes=(16,), max_iter=3)
    for estimator, rows in ((images, digits), (logistic, digits / 16)):
        estimator.set_params(random_state=0).fit(rows)
        contribution = feature_contribution(estimator, rows)
        constant = rows.std(axis=0) == 0
        assert_array_equal(np.isnan(contribution).all(axis=0), constant)
        total = contribution.sum(axis=0)[~constant]
        assert_allclose(total, explained(estimator, rows)[~constant], atol=1e-4)


def test_features_that_do_not_vary_in_x_though_they_did_in_the_fit(deep):
    rows = X.copy()
    rows[:, 2:6] = 0.1, 1 / 3, 7.7, 1e6 / 7
    contribution = feature_contribution(deep, rows)
    assert_array_equal(
        np.isnan(contribution), np.isin(np.arange(10), [2, 3, 4, 5])[None].repeat(3, 0)
    )


def test_a_feature_with_a_small_variance_far_from_the_mean_of_the_fit(linear):
    """The contributions are those of the definition, with two passes over the rows."""
    rows = X.copy()
    rows[:, 3] = 1e4 + 1e-6 * X[:, 3]
    codes, restored = linear.transform(rows), linear.reconstruct(rows)
    c = (codes - codes.mean(axis=0))[:, :, None] * linear.components_
    x, r = rows - rows.mean(axis=0), restored - restored.mean(axis=0)
    expected = np.einsum("ikd,id->kd", c, 2 * x - r) / np.square(x).sum(axis=0)
    assert_allclose(feature_contribution(linear, rows), expected, rtol=1e-6, atol=1e-8)


def test_missing_entries():
    holes = np.where(np.random.default_rng(0).random(X.shape) < 0.1, np.nan, X)
    denoiser = DenoisingAutoencoder(2, max_iter=2, random_state=0).fit(holes)
    assert np.isfinite(code_sensitivities(denoiser, holes)["mean"]).all()
    with pytest.raises(ValueError, match=r"X has missing entries .* AutoencoderImputer fills in"):
        feature_contribution(denoiser, holes)


@pytest.mark.parametrize("loss", ["poisson", "multinomial"])
def test_sensitivities_to_counts_of_zero(loss):
    """A count of 0 is where the encoder's view of counts ends: the derivative is that upwards."""
    rng = np.random.default_rng(0)
    counts = rng.poisson(0.5 * np.exp(0.5 * rng.normal(size=(300, 2)) @ rng.normal(size=(2, 8))))
    rows = counts[counts.sum(axis=1) > 0].astype(float)
    fitted = Autoencoder(2, hidden_layer_sizes=(16,), loss=loss, max_iter=3, random_state=0)
    fitted.fit(rows)
    row = rows[(rows == 0).sum(axis=1) > 3][:1]
    expected, step = [], 1e-3
    for feature in range(8):
        at = [row + i * step * np.eye(8)[[feature]] for i in range(3)]
        here, near, far = (activations(fitted, rows)[0] for rows in at)
        expected.append((-3 * here + 4 * near - far) / (2 * step))  # a difference upwards
    sensitivities = code_sensitivities(fitted, row)["mean"]
    assert_allclose(sensitivities, np.transpose(expected), rtol=1e-3, atol=1e-4)


def test_contributions_where_the_decoder_has_kinks():
    relu = Autoencoder(
        3, hidden_layer_sizes=(32,), activation="relu", shortcut=None, max_iter=30, random_state=0
    ).fit(X)
    contribution = feature_contribution(relu, X)
    assert_allclose(contribution.sum(axis=0), explained(relu, X), atol=0.01)

"""`noise_variance_`, `get_covariance` and the dtype of attributes, with PCA as the oracle."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from instances import FAST_AUTOENCODERS
from scipy.sparse import csr_array
from sklearn.base import clone
from sklearn.datasets import load_digits, load_iris, load_wine
from sklearn.decomposition import PCA

from skae import (
    Autoencoder,
    ContractiveAutoencoder,
    DenoisingAutoencoder,
    OrderedAutoencoder,
    SparseAutoencoder,
    VariationalAutoencoder,
)

SHARED = (
    "mean_",
    "components_",
    "explained_variance_",
    "explained_variance_ratio_",
    "singular_values_",
)


@pytest.fixture(scope="module")
def digits():
    return load_digits().data[:600]


def kept_pca(cls=Autoencoder, n_components=4, **parameters):
    """Return an autoencoder that does not leave its start."""
    settings = {"max_iter": 1, "learning_rate_init": 1e-9, "random_state": 0}
    return cls(n_components, **settings, **parameters)


@pytest.mark.parametrize("convert", [np.asarray, csr_array])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("n_components", [3, 30])
def test_all_is_that_of_pca_if_pca_was_kept(digits, convert, dtype, n_components):
    X = convert(digits.astype(dtype))
    solver = "arpack" if convert is csr_array else "full"
    pca = PCA(n_components, svd_solver=solver).fit(X)
    autoencoder = kept_pca(n_components=n_components).fit(X)
    assert autoencoder.selected_ == "pca"
    for name in (*SHARED, "noise_variance_"):
        found, expected = getattr(autoencoder, name), getattr(pca, name)
        assert found.dtype == expected.dtype == dtype, name
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=2e-4)
    for name in ("get_covariance", "get_precision"):
        found, expected = getattr(autoencoder, name)(), getattr(pca, name)()
        assert found.dtype == expected.dtype == dtype
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=2e-4)


@pytest.mark.parametrize("cls", [ContractiveAutoencoder, DenoisingAutoencoder, OrderedAutoencoder])
def test_methods_that_kept_pca_have_its_covariance(digits, cls):
    pca, autoencoder = PCA(4).fit(digits), kept_pca(cls).fit(digits)
    assert autoencoder.selected_ == "pca"
    np.testing.assert_allclose(autoencoder.get_covariance(), pca.get_covariance(), atol=1e-4)
    assert autoencoder.noise_variance_ == pytest.approx(pca.noise_variance_, rel=1e-6)


def test_wide_rows_leave_out_as_many_directions_as_there_are_rows():
    X = np.random.default_rng(0).normal(size=(40, 100))
    pca, autoencoder = PCA(5).fit(X), kept_pca(n_components=5).fit(X)
    assert autoencoder.noise_variance_ == pytest.approx(pca.noise_variance_, rel=1e-5)
    np.testing.assert_allclose(autoencoder.get_covariance(), pca.get_covariance(), atol=1e-5)


def test_nothing_is_left_over_by_pca_of_all_directions():
    X = load_wine().data
    pca, autoencoder = PCA(13).fit(X), kept_pca(n_components=13).fit(X)
    assert autoencoder.noise_variance_ == pca.noise_variance_ == 0
    np.testing.assert_allclose(autoencoder.get_covariance(), np.cov(X.T), rtol=1e-5)
    product = autoencoder.get_precision() @ np.cov(X.T)
    np.testing.assert_allclose(product, np.eye(13), atol=1e-3)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_noise_variance_of_a_network_is_what_it_leaves_per_direction(digits, dtype):
    autoencoder = Autoencoder(4, max_iter=5, random_state=0).fit(digits.astype(dtype))
    assert autoencoder.selected_ == "network"
    left = np.square(digits - autoencoder.reconstruct(digits)).sum() / (len(digits) - 1)
    assert autoencoder.noise_variance_ == pytest.approx(left / (64 - 4), rel=1e-5)
    assert autoencoder.noise_variance_.dtype == dtype
    assert 0 < autoencoder.noise_variance_ < PCA(4).fit(digits).noise_variance_
    again = pickle.loads(pickle.dumps(autoencoder))
    assert again.noise_variance_ == autoencoder.noise_variance_


def test_noise_variance_follows_the_units(digits):
    autoencoder = Autoencoder(4, max_iter=5, random_state=0).fit(digits)
    moved = clone(autoencoder).fit(1e3 * digits)
    assert moved.noise_variance_ == pytest.approx(1e6 * autoencoder.noise_variance_, rel=1e-3)
    with np.errstate(all="raise"):
        huge = kept_pca().fit(digits * 1e200)
        assert np.isinf(huge.noise_variance_)
        assert kept_pca().fit((digits * 1e25).astype(np.float32)).singular_values_.max() < np.inf


def test_a_truncated_code_leaves_more(digits):
    autoencoder = OrderedAutoencoder(8, max_iter=15, random_state=0).fit(digits)
    assert autoencoder.selected_ == "network"
    small, code = autoencoder.truncated(3), autoencoder.transform(digits)
    reconstruction = autoencoder.inverse_transform(code[:, :3])
    left = np.square(digits - reconstruction).sum() / (len(digits) - 1)
    assert small.noise_variance_ == pytest.approx(left / (64 - 3), rel=1e-4)
    assert small.noise_variance_ > autoencoder.noise_variance_


def test_after_partial_fit_all_other_directions_are_left_out(digits):
    autoencoder = Autoencoder(5, random_state=0).partial_fit(digits[:300])
    last = digits[300:303]  # fewer rows than columns of the code
    autoencoder.partial_fit(last)
    left = np.square(last - autoencoder.reconstruct(last)).sum() / 2
    assert autoencoder.noise_variance_ == pytest.approx(left / (64 - 5), rel=1e-4)
    assert not hasattr(autoencoder, "get_covariance")
    assert np.isfinite(autoencoder.partial_fit(digits[:1]).noise_variance_)


def test_a_network_that_leaves_out_no_direction_has_no_noise_variance():
    X = load_iris().data
    autoencoder = SparseAutoencoder(16, max_iter=3, random_state=0).fit(X)
    assert autoencoder.selected_ == "network"
    with pytest.raises(AttributeError, match="code has 16 columns and X has 4 directions"):
        _ = autoencoder.noise_variance_


def test_a_linear_network_has_a_covariance_near_that_of_pca(digits):
    settings = {"hidden_layer_sizes": (), "shortcut": None, "max_iter": 60, "random_state": 0}
    pca, linear = PCA(4).fit(digits), Autoencoder(4, **settings).fit(digits)
    assert linear.selected_ == "network"
    covariance = linear.get_covariance()
    assert np.abs(covariance - pca.get_covariance()).max() < 0.02 * np.abs(covariance).max()
    total = digits.var(axis=0, ddof=1).sum()
    assert np.trace(covariance) == pytest.approx(total, rel=1e-5)  # what is explained and the rest
    np.testing.assert_allclose(linear.get_precision() @ covariance, np.eye(64), atol=1e-8)


def test_where_there_is_no_covariance_the_error_says_why(digits):
    network = Autoencoder(4, max_iter=5, random_state=0).fit(digits)
    with pytest.raises(AttributeError, match="get_covariance") as raised:
        network.get_covariance()
    assert "is not linear" in str(raised.value.__cause__)
    settings = {"hidden_layer_sizes": (), "shortcut": None, "max_iter": 3, "random_state": 0}
    tied = Autoencoder(4, tied_weights=True, **settings).fit(digits)
    with pytest.raises(AttributeError, match="get_covariance") as raised:
        tied.get_covariance()
    assert "needs a code along the principal axes" in str(raised.value.__cause__)
    counts = kept_pca(loss="poisson").fit(digits)
    assert counts.selected_ == "pca"
    assert not hasattr(counts, "get_covariance")
    assert counts.noise_variance_ > 0


def test_an_unfitted_estimator_has_neither():
    for name in ("noise_variance_", "get_covariance", "get_precision"):
        assert not hasattr(Autoencoder(), name)


def test_the_covariance_of_a_variational_autoencoder_is_that_of_its_density(digits):
    pca, variational = PCA(4).fit(digits), kept_pca(VariationalAutoencoder).fit(digits)
    assert variational.selected_ == "pca"
    np.testing.assert_allclose(variational.get_covariance(), pca.get_covariance(), atol=1e-4)
    settings = {"hidden_layer_sizes": (), "shortcut": None, "max_iter": 20, "random_state": 0}
    linear = VariationalAutoencoder(4, **settings).fit(digits)
    rows = linear.sample(200_000, random_state=0)
    expected = linear.get_covariance()
    assert np.abs(np.cov(rows.T) - expected).max() < 0.01 * np.abs(expected).max()
    network = VariationalAutoencoder(4, max_iter=5, random_state=0).fit(digits)
    assert network.selected_ == "network"
    assert not hasattr(network, "get_covariance")
    binary = VariationalAutoencoder(4, likelihood="bernoulli", max_iter=2).fit(digits / 16)
    assert binary.noise_variance_ is None
    assert not hasattr(binary, "get_covariance")


@pytest.mark.parametrize("estimator", FAST_AUTOENCODERS, ids=lambda e: type(e).__name__)
def test_attributes_have_the_dtype_of_x(estimator):
    X = load_iris().data
    double, single = clone(estimator).fit(X), clone(estimator).fit(X.astype(np.float32))
    for name in SHARED:
        assert getattr(double, name).dtype == np.float64
        assert getattr(single, name).dtype == np.float32
    # The mean in float64, as before, in what is computed with it.
    assert single._mean.dtype == np.float64
    np.testing.assert_array_equal(single.mean_, single._mean.astype(np.float32))
    assert clone(estimator).fit(X.astype(np.float32).astype(int)).mean_.dtype == np.float64


def test_score_of_float32_far_from_zero_takes_the_exact_mean():
    # Values whose mean lies between two numbers of float32.
    bits = np.random.default_rng(0).integers(0, 2, size=(200, 3))
    X = (2.0**24 + 2.0 * bits).astype(np.float32)
    autoencoder = kept_pca(n_components=1).fit(X)
    exact = X.astype(np.float64)
    error = np.square(exact - autoencoder.reconstruct(X)).sum()
    expected = 1 - error / np.square(exact - exact.mean(axis=0)).sum()
    assert autoencoder.score(X) == pytest.approx(expected, abs=1e-12)
    assert autoencoder.mean_.dtype == np.float32

"""Statistics of the code, and traversals."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA

from skae import Autoencoder, ContractiveAutoencoder, SparseAutoencoder
from skae.inspection import code_statistics, latent_traversal

X = load_digits().data[:300]


@pytest.fixture(scope="module")
def linear():
    return Autoencoder(4, hidden_layer_sizes=(), max_iter=3, random_state=0).fit(X)


def test_a_traversal_of_pca_is_a_line(linear):
    pca = PCA(4).fit(X)
    values = [-5.0, 0.0, 2.0]
    expected = pca.mean_ + np.outer(values, pca.components_[1])
    assert_allclose(latent_traversal(linear, 1, values), expected, atol=1e-6)
    at = pca.transform(X[:1])[0]
    codes = np.tile(at, (3, 1))
    codes[:, 1] = values
    assert_allclose(
        latent_traversal(linear, 1, values, at=at), pca.inverse_transform(codes), atol=1e-6
    )


def test_bad_traversals(linear):
    with pytest.raises(
        ValueError,
        match=r"The code has 4 components, so component must be .* 0 to 3\. Got 4",
    ):
        latent_traversal(linear, 4, [0])
    with pytest.raises(
        ValueError, match=r"at has shape \(3,\), but .* single code of 4 components"
    ):
        latent_traversal(linear, 0, [0], at=np.zeros(3))
    with pytest.raises(ValueError, match=r"values has shape \(\)"):
        latent_traversal(linear, 0, 1.0)
    with pytest.raises(ValueError, match=r"values must be numbers\. Got 'abc'"):
        latent_traversal(linear, 0, "abc")


def test_statistics_of_pca(linear):
    statistics = code_statistics(linear, X)
    codes = PCA(4).fit_transform(X)
    assert_allclose(statistics["mean"], 0.0, atol=1e-6)
    assert_allclose(statistics.standard_deviation, codes.std(axis=0))
    assert_allclose(statistics.correlation, np.eye(4), atol=1e-6)
    assert_allclose(statistics.singular_values, 1.0)  # a projection
    assert_array_equal(statistics.zero_fraction, 0.0)
    assert statistics.n_active == 4.0


def test_statistics_of_a_sparse_code():
    sparse = SparseAutoencoder(40, penalty="topk", n_active=4, max_iter=3, random_state=0).fit(X)
    statistics, codes = code_statistics(sparse, X), sparse.transform(X)
    assert_allclose(statistics.zero_fraction, (codes == 0).mean(axis=0))
    assert statistics.n_active == (codes != 0).sum() / len(X)
    assert set(sparse.dead_units_) <= set(statistics.dead_units)
    is_dead = np.isin(np.arange(40), statistics.dead_units)
    assert_array_equal(np.isnan(np.diag(statistics.correlation)), is_dead)


def test_units_that_no_row_moves():
    statistics = code_statistics(Autoencoder(3, random_state=0).fit(X[:3]), X[:3])
    assert_array_equal(statistics.dead_units, [2])  # three rows span two directions


def test_singular_values_are_those_of_the_contractive_autoencoder():
    contractive = ContractiveAutoencoder(3, max_iter=3, random_state=0).fit(X)
    expected = np.sqrt(np.square(contractive.singular_values(X)).mean(axis=0))
    assert_allclose(code_statistics(contractive, X).singular_values, expected, rtol=1e-6)

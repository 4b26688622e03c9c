"""PCA of sparse rows is that of the same dense rows, whatever the shape."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.sparse import csr_array

from skae.fitting.data import mean_and_scale
from skae.fitting.pca_init import PCAStart, fit_pca, pca_rows


def counts(n_rows: int, n_features: int) -> np.ndarray:
    """Return rows with a few strong directions, most of whose entries are 0."""
    rng = np.random.default_rng(0)
    factors = rng.normal(size=(n_rows, 6)) * 2.0 ** -np.arange(6)
    X = factors @ rng.normal(size=(6, n_features)) + 0.1 * rng.normal(size=(n_rows, n_features))
    X = np.where(X > 0.5, X, 0.0)
    X[:, 0] = 3.0  # a constant
    return X


def start(X: object, n_components: int | float, rows: np.ndarray | None = None) -> PCAStart:
    mean, scale = mean_and_scale(X)
    generator = torch.Generator().manual_seed(1)
    return fit_pca(pca_rows(X, mean, scale, rows), n_components, generator)


# Covariance; a triangle of rows; one of columns; randomised, tall and wide.
@pytest.mark.parametrize("shape", [(400, 20), (60, 40), (40, 200), (1200, 1050), (1050, 1200)])
@pytest.mark.parametrize("rows", [None, np.arange(5, 39)], ids=["all", "some"])
def test_it_is_that_of_dense_rows(shape, rows):
    X = counts(*shape)
    sparse, dense = start(csr_array(X), 4, rows), start(X, 4, rows)
    np.testing.assert_allclose(sparse.components, dense.components, atol=1e-9)
    np.testing.assert_allclose(sparse.standard_deviations, dense.standard_deviations, rtol=1e-9)
    np.testing.assert_allclose(sparse.centre, dense.centre, atol=1e-12)
    assert sparse.residual == pytest.approx(dense.residual, rel=1e-9)
    assert sparse.noise_variance == pytest.approx(dense.noise_variance, rel=1e-9)


@pytest.mark.parametrize("shape", [(400, 20), (60, 40), (40, 200)])
@pytest.mark.parametrize("n_components", [0.8, 60])
def test_a_share_of_the_variance_and_more_components_than_the_rank(shape, n_components):
    X = counts(*shape)
    sparse, dense = start(csr_array(X), n_components), start(X, n_components)
    assert sparse.components.shape == dense.components.shape
    np.testing.assert_allclose(sparse.standard_deviations, dense.standard_deviations, atol=1e-9)
    products = sparse.components @ sparse.components.T
    np.testing.assert_allclose(products, dense.components @ dense.components.T, atol=1e-9)


def test_a_feature_without_zeros_may_be_far_from_0():
    X = counts(400, 20)
    X[:, 1] += 1e9
    sparse, dense = start(csr_array(X), 4), start(X, 4)
    np.testing.assert_allclose(sparse.components, dense.components, atol=1e-9)


def test_constant_rows():
    X = np.tile([0.0, 2.0, 0.0], (9, 1))
    sparse, dense = start(csr_array(X), 2), start(X, 2)
    np.testing.assert_array_equal(sparse.components, dense.components)
    np.testing.assert_array_equal(sparse.centre, dense.centre)

"""The PCA of a start, and that no fit of scikit-learn's estimators is called for it."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from instances import FAST_INSTANCES
from sklearn.base import clone
from sklearn.decomposition import PCA
from sklearn.utils.discovery import all_estimators

from skae import Autoencoder
from skae.fitting.pca_init import fit_pca

# Tall, wide and square enough for each solver.
CASES = [
    ((300, 20), 3, "covariance_eigh"),
    ((300, 20), 25, "covariance_eigh"),
    ((300, 20), 0.7, "covariance_eigh"),
    ((50, 80), 10, "full"),
    ((50, 80), 60, "full"),
    ((50, 80), 0.5, "full"),
    ((1010, 1005), 3, "randomized"),
]


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize(("shape", "n_components", "solver"), CASES)
def test_equals_pca_of_scikit_learn_bit_for_bit(rng, shape, n_components, solver, dtype):
    z = (rng.normal(size=shape) / np.arange(1, shape[1] + 1) ** 0.3 + 0.1).astype(dtype)
    generator = torch.Generator().manual_seed(5)
    start = fit_pca(z.copy(), n_components, generator)
    wanted = min(n_components, *shape)
    pca = PCA(wanted, svd_solver=solver, random_state=5).fit(z)
    k = pca.n_components_
    assert len(start.components) == (k if isinstance(n_components, float) else n_components)
    np.testing.assert_array_equal(start.components[:k], pca.components_)
    np.testing.assert_array_equal(start.standard_deviations[:k], np.sqrt(pca.explained_variance_))
    assert not start.components[k:].any()
    np.testing.assert_array_equal(start.centre, pca.mean_)
    assert start.residual == max(0.0, 1.0 - pca.explained_variance_ratio_.sum(dtype=float))
    assert start.noise_variance == float(pca.noise_variance_)


def test_a_share_that_rounding_never_reaches_takes_all_components(rng):
    z = rng.normal(size=(60, 5)).astype(np.float32)
    start = fit_pca(z.copy(), 1.0 - 1e-12, torch.Generator())
    assert len(start.components) == 5


@pytest.fixture
def called(monkeypatch):
    """Record which estimators of scikit-learn are fitted, as autologging does."""
    names: list[str] = []

    def recording(name, method):
        def record(self, *positional, **named):
            names.append(name)
            return method(self, *positional, **named)

        return record

    for name, cls in all_estimators():
        for method in ("fit", "fit_transform", "fit_predict", "partial_fit"):
            if hasattr(cls, method):
                monkeypatch.setattr(cls, method, recording(name, getattr(cls, method)))
    return names


@pytest.mark.parametrize("estimator", FAST_INSTANCES, ids=lambda e: type(e).__name__)
def test_no_estimator_of_scikit_learn_is_fitted(iris, estimator, called):
    X = iris[::4]
    model = clone(estimator).fit(X, np.arange(len(X)) % 3)
    for method in ("transform", "predict", "score_samples", "partial_fit"):
        if hasattr(model, method):
            getattr(model, method)(X)
    assert called == []


def test_neither_for_a_share_of_the_variance_nor_for_folds(iris, called):
    Autoencoder(0.9, max_iter=2, random_state=0).fit(iris)
    assert called == []
    PCA(2).fit(iris)
    assert called == ["PCA"]  # what is recorded at all

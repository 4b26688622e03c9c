"""Poisson regression against scikit-learn's."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.linear_model import PoissonRegressor

from skae.core.poisson_regression import poisson_regression


@pytest.mark.parametrize("amplitude", [0.1, 1.0, 2.0])
@pytest.mark.parametrize("penalty", [0.01, 10.0])
def test_equals_scikit_learn(amplitude, penalty):
    rng = np.random.default_rng(0)
    features = rng.normal(size=(200, 3))
    rates = np.exp(amplitude * features @ rng.normal(size=(3, 4)) + 1)
    X = rng.poisson(rates).astype(float)
    level = X.mean(axis=0)
    coefficients, intercepts = poisson_regression(
        torch.from_numpy(features),
        torch.from_numpy(X / level - 1),
        torch.full((4,), penalty, dtype=torch.float64),
    )
    for j in range(4):
        # Its penalty is for the mean of the deviance, in the units of y.
        oracle = PoissonRegressor(alpha=penalty / 200, solver="newton-cholesky", tol=1e-10)
        oracle.fit(features, X[:, j] / level[j])
        np.testing.assert_allclose(coefficients[:, j], oracle.coef_, atol=2e-2 * amplitude)
        found = features @ coefficients[:, j].numpy() + float(intercepts[j])
        best = features @ oracle.coef_ + oracle.intercept_

        def objective(log_rate, coefficient, y=X[:, j] / level[j]):
            loss = np.sum(np.exp(log_rate) - y * log_rate)
            return loss + 0.5 * penalty * np.square(coefficient).sum()

        lowest = objective(best, oracle.coef_)
        assert objective(found, coefficients[:, j].numpy()) <= lowest + 1e-3 * abs(lowest)


def test_is_not_worse_than_the_mean_where_the_columns_are_noise():
    rng = np.random.default_rng(0)
    features = torch.from_numpy(rng.standard_cauchy((30, 5)))
    X = rng.poisson(0.1, (30, 50)).astype(float)
    X[0] += 1
    deviations = torch.from_numpy(X / X.mean(axis=0) - 1)
    penalties = torch.full((50,), 0.1, dtype=torch.float64)
    coefficients, intercepts = poisson_regression(features, deviations, penalties)
    log_rates = features @ coefficients + intercepts
    losses = (torch.exp(log_rates) - (1 + deviations) * log_rates).sum(0)
    assert (losses <= 30 + 1e-9).all()


def test_columns_in_parts_are_the_same(monkeypatch):
    rng = np.random.default_rng(0)
    features = torch.from_numpy(rng.normal(size=(40, 2)))
    deviations = torch.from_numpy(rng.uniform(-1, 2, (40, 7)))
    penalties = torch.ones(7, dtype=torch.float64)
    together = poisson_regression(features, deviations, penalties)
    monkeypatch.setattr("skae.core.poisson_regression._MAX_ENTRIES", 2 * 3**2)
    apart = poisson_regression(features, deviations, penalties)
    for a, b in zip(together, apart, strict=True):
        torch.testing.assert_close(a, b, atol=1e-3, rtol=1e-3)

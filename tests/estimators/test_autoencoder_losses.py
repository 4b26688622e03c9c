"""Losses with a link: the PCA start, the mean and the components."""

from __future__ import annotations

import numpy as np
import pytest
from instances import make_fast

from skae import Autoencoder, StackedAutoencoder


def fast(*positional, **changes) -> Autoencoder:
    return make_fast(Autoencoder, *positional, **changes)


@pytest.mark.parametrize("loss", ["log_loss", "poisson", "multinomial"])
def test_a_decoder_that_ignores_its_code_reconstructs_the_mean(loss):
    X = (np.random.default_rng(0).random((40, 100)) < 0.5).astype(float)
    model = fast(2, loss=loss, shortcut=None, learning_rate_init=1e-12).fit(X)
    assert np.isfinite(model.transform(X)).all()
    np.testing.assert_allclose(model.reconstruct(X), np.tile(X.mean(axis=0), (40, 1)), rtol=1e-5)


def test_shares_are_those_of_the_mean_total_of_all_rows():
    rng = np.random.default_rng(0)
    X = rng.poisson(rng.gamma(0.5, 20, (600, 1)) * rng.gamma(1, 1, 9)).astype(float)
    model = make_fast(StackedAutoencoder, 2, loss="multinomial", max_iter=3)
    totals = model.fit(X).reconstruct(X).sum(axis=1)
    assert len(model.validation_scores_) == 4  # some rows were held out
    np.testing.assert_allclose(totals, X.sum(axis=1).mean())


@pytest.mark.parametrize("loss", ["log_loss", "poisson"])
@pytest.mark.parametrize("code_activation", ["logistic", "relu"])
def test_a_pca_start_through_a_link_accounts_for_the_mean_of_the_code(
    digits, loss, code_activation
):
    """Codes whose mean is not 0: without a bias, this start is worse than the mean."""
    model = fast(8, loss=loss, code_activation=code_activation, max_iter=1)
    model.set_params(learning_rate_init=1e-12).fit(digits / 16)
    assert model.best_iter_ == 0
    assert model.score(digits / 16) > 0.3


@pytest.mark.parametrize("loss", ["log_loss", "poisson", "multinomial"])
def test_a_step_along_a_column_moves_by_one_also_where_pca_is_kept(rng, loss):
    X = rng.poisson(np.exp(rng.normal(size=(60, 2)) @ rng.normal(size=(2, 10)))).astype(float)
    X = X / X.max() if loss == "log_loss" else X + 1
    model = fast(2, loss=loss, learning_rate_init=1e-30).fit(X)
    assert model.best_iter_ == 0
    code, h = model.transform(X), 1e-4
    for unit in np.eye(2):
        ahead, behind = (model.inverse_transform(code + s * h * unit) for s in (1, -1))
        slope = (ahead - behind) / (2 * h)
        assert np.square(slope).sum(axis=1).mean() == pytest.approx(1, rel=1e-3)
    assert np.abs(model.components_).max(axis=1) == pytest.approx(model.components_.max(axis=1))


def test_log_loss_tolerates_the_rounding_of_a_scaler():
    X = np.array([[0.0, 1.0 + 2e-16], [1.0, 0.0], [0.5, 0.5]] * 10)
    assert np.isfinite(fast(1, loss="log_loss").fit(X).transform(X)).all()

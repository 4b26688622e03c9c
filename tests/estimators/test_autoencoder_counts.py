"""The Poisson and multinomial losses on counts: scale, start, deviances of new rows."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from instances import make_fast
from scipy.special import xlogy
from sklearn.decomposition import NMF, PCA

from skae import Autoencoder, ContractiveAutoencoder, DenoisingAutoencoder
from skae.base import BaseAutoencoder


def draw(
    amplitude: float, decades: float, n_rows: int = 300, seed: int = 0
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return training counts, new counts and their rates, of a log-linear Poisson model."""
    rng = np.random.default_rng(seed)
    loadings, offsets = rng.normal(size=(2, 20)), rng.normal(2, 1, 20)
    rates = np.exp(amplitude * rng.normal(size=(2 * n_rows, 2)) @ loadings + offsets)
    if decades:
        totals = 10 ** rng.uniform(6 - decades, 6, (2 * n_rows, 1))
        rates *= totals / rates.sum(axis=1, keepdims=True)
    counts = rng.poisson(rates).astype(float)
    return counts[:n_rows], counts[n_rows:], rates[n_rows:]


def deviance(X: np.ndarray, rates: np.ndarray) -> float:
    rates = np.maximum(rates, 1e-3)
    return float(2 * np.mean(xlogy(X, X) - xlogy(X, rates) - X + rates))


@pytest.mark.parametrize(
    ("amplitude", "decades", "k"), [(0.5, 0.0, 2), (1.0, 0.0, 2), (0.5, 3.0, 3)]
)
def test_deviance_of_new_rows_is_close_to_that_of_the_true_rates(amplitude, decades, k):
    X, X_new, rates = draw(amplitude, decades)
    model = make_fast(Autoencoder, k, loss="poisson").fit(X)
    found = deviance(X_new, model.reconstruct(X_new))
    pca = PCA(k).fit(X)
    nmf = NMF(k, beta_loss="kullback-leibler", solver="mu", init="nndsvda", max_iter=100, tol=1e-3)
    of_nmf = deviance(X_new, nmf.fit(X).transform(X_new) @ nmf.components_)
    assert found < deviance(X_new, pca.inverse_transform(pca.transform(X_new)))
    assert found < of_nmf
    assert found < 1.25 * deviance(X_new, rates)


@pytest.mark.parametrize(
    "estimator_class", [Autoencoder, DenoisingAutoencoder, ContractiveAutoencoder]
)
def test_the_start_is_better_than_pca_for_every_estimator(estimator_class):
    X, X_new, _ = draw(1.0, 2.0)
    model = make_fast(estimator_class, 3, loss="poisson", learning_rate_init=1e-12).fit(X)
    pca = PCA(3).fit(X)
    expected = deviance(X_new, pca.inverse_transform(pca.transform(X_new)))
    assert deviance(X_new, model.reconstruct(X_new)) < expected


def test_the_start_of_a_model_that_never_sees_the_held_out_rows():
    """With many rows, the held-out ones are not trained on: others have other numbers."""
    X, X_new, rates = draw(0.5, 0.0, n_rows=5500)
    X = X[X.sum(axis=1).argsort()]
    model = make_fast(Autoencoder, 2, loss="poisson", max_iter=1).fit(X)
    assert deviance(X_new, model.reconstruct(X_new)) < 1.1 * deviance(X_new, rates)


@pytest.mark.parametrize("loss", ["poisson", "multinomial"])
@pytest.mark.parametrize("mean", [1e2, 1e4, 1e6])
def test_counts_that_vary_little_about_a_large_mean(loss, mean):
    """Their deviance is no more than rounding noise of float32 if it is a difference of counts."""
    rng = np.random.default_rng(0)
    shares = rng.normal(size=(200, 2)) @ rng.normal(size=(2, 8))
    shares -= shares.mean(axis=1, keepdims=True)  # the same total in each row
    X = mean * (1 + 1e-4 * shares)
    model = make_fast(Autoencoder, 2, loss=loss).fit(X)
    assert 0 <= model.best_loss_ < 1e-3
    assert all(value >= 0 for value in model.loss_curve_)
    assert model.score(X) > 0.999


@pytest.mark.parametrize("loss", ["poisson", "multinomial", "log_loss"])
def test_the_fit_does_not_depend_on_the_unit_of_x(loss):
    X = draw(0.5, 0.0)[0] + 1.0
    X, units = (X, (1e-200, 1e-30, 1e12)) if loss != "log_loss" else (1e-6 * X / X.max(), (1e-20,))
    expected = make_fast(Autoencoder, 2, loss=loss).fit(X)
    for unit in units:
        model = make_fast(Autoencoder, 2, loss=loss).fit(unit * X)
        assert model.score(unit * X) == pytest.approx(expected.score(X), abs=1e-3)
        np.testing.assert_allclose(model.loss_curve_, expected.loss_curve_, rtol=2e-2)


def test_log_loss_refuses_probabilities_that_vanish_in_float32():
    X = 1e-100 * np.random.default_rng(0).random((30, 4))
    with pytest.raises(ValueError, match=r"largest value of X is 9\.\d+e-101.*MinMaxScaler"):
        make_fast(Autoencoder, 2, loss="log_loss").fit(X)


def test_a_multinomial_code_does_not_depend_on_the_total_of_a_row():
    X = draw(0.7, 0.0)[0]
    model = make_fast(Autoencoder, 2, loss="multinomial", transform_max_iter=0).fit(X)
    code = model.transform(X)
    np.testing.assert_allclose(model.transform(7.0 * X), code, atol=1e-6 * code.std())


def test_jacobian_is_with_respect_to_the_counts():
    X = draw(0.5, 1.0)[0]
    for loss in ("poisson", "multinomial"):
        model = make_fast(ContractiveAutoencoder, 2, loss=loss).fit(X)
        at, step = X[:2] + 1.0, 1e-4
        jacobians = model.jacobian(at)
        for column in (0, 7):
            moved = [at.copy(), at.copy()]
            moved[0][:, column] += step
            moved[1][:, column] -= step
            slope = (model.transform(moved[0]) - model.transform(moved[1])) / (2 * step)
            np.testing.assert_allclose(jacobians[:, :, column], slope, rtol=1e-4, atol=1e-8)


@pytest.mark.parametrize("estimator_class", [Autoencoder, DenoisingAutoencoder])
def test_partial_fit_of_sorted_counts(estimator_class):
    X, X_new, _ = draw(1.0, 2.0)
    model: BaseAutoencoder = make_fast(estimator_class, 3, loss="poisson")
    for part in np.array_split(X[X.sum(axis=1).argsort()], 6):
        model.partial_fit(part)
    pca = PCA(3).fit(X)
    expected = deviance(X_new, pca.inverse_transform(pca.transform(X_new)))
    assert deviance(X_new, model.reconstruct(X_new)) < expected


def test_a_fitted_model_of_counts_survives_saving():
    X = draw(0.5, 0.0)[0]
    model = make_fast(Autoencoder, 2, loss="multinomial").fit(X)
    opened = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(opened.transform(X), model.transform(X))
    np.testing.assert_array_equal(opened.reconstruct(X), model.reconstruct(X))


def test_a_saved_model_of_counts_keeps_its_start_until_many_rows_have_passed():
    X, X_new, _ = draw(1.0, 2.0)
    model = make_fast(Autoencoder, 3, loss="poisson").partial_fit(X)
    opened = pickle.loads(pickle.dumps(model))
    before = deviance(X_new, opened.reconstruct(X_new))
    for part in np.array_split(X[X.sum(axis=1).argsort()][:60], 6):
        opened.partial_fit(part)
    np.testing.assert_array_equal(opened.mean_, model.mean_)
    assert deviance(X_new, opened.reconstruct(X_new)) < 2 * before


def test_a_feature_that_dominates_all_others():
    rng = np.random.default_rng(0)
    X = rng.poisson(0.5, (60, 2000)).astype(np.float32)
    X[:, 0] = rng.poisson(1e7, 60)
    X[0, 0] = 0
    model = make_fast(Autoencoder, 2, loss="poisson", max_iter=1).fit(X)
    assert np.isfinite(model.transform(X)).all()


def test_a_code_wider_than_the_regression_of_the_start():
    X, X_new, _ = draw(0.5, 0.0)
    X, X_new = np.tile(X, 5), np.tile(X_new, 5)
    model = make_fast(Autoencoder, 80, loss="poisson", learning_rate_init=1e-12).fit(X)
    pca = PCA(2).fit(X)
    expected = deviance(X_new, pca.inverse_transform(pca.transform(X_new)))
    assert deviance(X_new, model.reconstruct(X_new)) < expected


@pytest.mark.parametrize("loss", ["poisson", "multinomial"])
def test_as_many_components_as_the_rank_of_the_rows(digits, loss):
    """The last column of the code is rounding noise then, which must not be amplified."""
    model = make_fast(Autoencoder, 5, loss=loss).fit(np.tile(digits[:5], (40, 1)))
    assert np.abs(model.transform(digits)).max() < 1e4
    assert np.isfinite(model.reconstruct(digits)).all()
    by_parts = make_fast(Autoencoder, 8, loss=loss)
    for start in range(0, 200, 8):
        by_parts.partial_fit(digits[start : start + 8])
    assert by_parts.score(digits[:200]) > 0.3


def test_rows_that_were_gathered_are_checked_for_a_loss_that_was_set_later(digits):
    model = make_fast(Autoencoder, 5).partial_fit(-digits[:2])
    with pytest.raises(ValueError, match="loss='poisson' needs counts"):
        model.set_params(loss="poisson").partial_fit(digits[:9])


@pytest.mark.parametrize("loss", ["poisson", "multinomial"])
def test_new_rows_must_be_counts_too(loss):
    X = draw(0.5, 0.0)[0]
    model = make_fast(Autoencoder, 2, loss=loss).fit(X)
    for method in (model.transform, model.score, model.score_samples, model.reconstruct):
        with pytest.raises(ValueError, match=f"loss='{loss}' needs counts"):
            method(X - X.mean(axis=0))


@pytest.mark.parametrize("loss", ["poisson", "multinomial"])
def test_documents_without_words_are_reconstructed_as_such(loss):
    X = np.zeros((100, 20))
    model = make_fast(Autoencoder, 2, loss=loss).fit(X)
    np.testing.assert_allclose(model.reconstruct(X), X, atol=1e-6)

"""Densities of a latent variable model: against exact ones, and the samples drawn from them."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats
from sklearn.base import clone
from sklearn.decomposition import PCA, FactorAnalysis

from skae import VariationalAutoencoder

LINEAR = {"hidden_layer_sizes": (), "shortcut": None, "weight_decay": 0.0}


def fit(X, n_components=2, **parameters) -> VariationalAutoencoder:
    defaults = {"hidden_layer_sizes": (16,), "max_iter": 10, "random_state": 0}
    return VariationalAutoencoder(n_components, **(defaults | parameters)).fit(X)


@pytest.fixture(scope="module")
def model(iris):
    return fit(iris)


@pytest.fixture(scope="module")
def binary(digits):
    return (digits > 7.5).astype(float)


# -- densities ----------------------------------------------------------------------------------


def test_start_is_probabilistic_pca(factor_model):
    X, fresh = factor_model
    model, pca = fit(X, 3, shortcut="pca"), PCA(3).fit(X)
    assert model.best_iter_ == 0  # nothing beats PCA here
    assert model.score(fresh) == pytest.approx(pca.score(fresh), rel=1e-4)
    assert model.score_samples(fresh) == pytest.approx(pca.score_samples(fresh), rel=0.01)
    assert model.noise_variance_ == pytest.approx(pca.noise_variance_, rel=0.02)
    assert model.elbo(fresh).mean() == pytest.approx(model.score(fresh), rel=1e-4)


@pytest.mark.parametrize("settings", [LINEAR, {"hidden_layer_sizes": (32,), "weight_decay": 0.0}])
def test_trained_model_finds_the_likelihood_of_a_factor_model(factor_model, settings):
    """Without the start at PCA, or trained away from it and kept: within 1 % of the oracles."""
    X, fresh = factor_model
    model = fit(X, 3, **settings, early_stopping=False, max_iter=150, learning_rate_init=0.01)
    assert model.best_iter_ == 150
    for oracle in (PCA(3).fit(X), FactorAnalysis(3).fit(X)):
        assert model.score(fresh) == pytest.approx(oracle.score(fresh), rel=0.01)
    assert model.noise_variance_ == pytest.approx(0.25, rel=0.05)


def test_importance_weighted_bound_rises_to_the_likelihood(factor_model):
    """A linear decoder has a likelihood in closed form; a half-trained encoder a loose bound."""
    X, fresh = factor_model[0], factor_model[1][:200]
    model = fit(X, 3, **LINEAR, early_stopping=False, max_iter=4)
    covariance = model.components_.T @ model.components_ + model.noise_variance_ * np.eye(10)
    mean = model.inverse_transform(np.zeros((1, 3)))[0]
    exact = stats.multivariate_normal.logpdf(fresh, mean, covariance).mean()
    scores = np.array(
        [
            [model.score_samples(fresh, n_importance=n, random_state=s).mean() for s in range(30)]
            for n in (1, 10, 100, 1000)
        ]
    )
    means, errors = scores.mean(1), scores.std(1) / np.sqrt(30)
    assert (np.diff(means) > 0).all()
    assert means[0] < exact - 0.3
    assert (means < exact + 3 * errors).all()
    assert means[3] == pytest.approx(exact, abs=0.05)


@pytest.mark.parametrize("n_importance", [1, 7, 100])
def test_elbo_never_exceeds_the_weighted_bound(model, iris, n_importance):
    lower = model.elbo(iris, n_importance=n_importance)
    weighted = model.score_samples(iris, n_importance=n_importance)
    assert (lower <= weighted).all()


def test_training_raises_the_likelihood_above_that_of_pca(held_out_split):
    X, fresh = held_out_split("digits")
    model = VariationalAutoencoder(8, max_iter=40, random_state=0).fit(X)
    pca = PCA(8).fit(X)
    assert model.score(fresh) > pca.score(fresh) + 5.0
    assert model.noise_variance_ < 0.6 * pca.noise_variance_


def test_density_is_in_the_units_of_the_data(iris):
    """A density of 1000 X + 7 is lower by log 1000 a feature; the code stays as it is."""
    model, moved = fit(iris), fit(1000 * iris + 7)
    assert moved.score_samples(1000 * iris + 7) == pytest.approx(
        model.score_samples(iris) - 4 * np.log(1000), abs=0.01
    )
    assert moved.transform(1000 * iris + 7) == pytest.approx(model.transform(iris), abs=1e-3)
    assert moved.noise_variance_ == pytest.approx(1e6 * model.noise_variance_, rel=1e-3)


def test_score_is_the_mean_of_score_samples(model, iris):
    assert model.score(iris) == pytest.approx(model.score_samples(iris).mean())


def test_scores_of_a_row_do_not_depend_on_the_others(model, iris):
    assert model.score_samples(iris[3:5]) == pytest.approx(model.score_samples(iris)[3:5])
    assert np.array_equal(model.score_samples(iris), model.score_samples(iris))
    other = model.score_samples(iris, random_state=1)
    assert not np.array_equal(other, model.score_samples(iris))
    assert model.score_samples(iris.astype(np.float32)).dtype == np.float32


def test_bernoulli_likelihood_sums_to_one(rng):
    """Over all 16 rows of four bits, the importance-weighted probabilities are a distribution."""
    bits = (np.arange(16)[:, None] >> np.arange(4) & 1).astype(float)
    X = bits[rng.choice(16, p=rng.dirichlet(np.ones(16)), size=600)]
    model = fit(X, 2, likelihood="bernoulli")
    total = np.exp(model.score_samples(bits, n_importance=5000)).sum()
    assert total == pytest.approx(1.0, abs=0.02)


def test_bernoulli_beats_independent_pixels(binary):
    model = fit(binary[:1400], 8, likelihood="bernoulli", hidden_layer_sizes=(64,), max_iter=20)
    rates = binary[:1400].mean(0).clip(1e-3, 1 - 1e-3)
    independent = stats.bernoulli.logpmf(binary[1400:], rates).sum(1).mean()
    assert model.score(binary[1400:]) > independent + 4.0
    assert model.noise_variance_ is None


# -- samples ------------------------------------------------------------------------------------


def test_samples_have_the_moments_of_the_data(factor_model):
    X, _ = factor_model
    samples = fit(X, 3).sample(20_000, random_state=0)
    assert samples.mean(0) == pytest.approx(X.mean(0), abs=0.2)
    assert np.cov(samples.T) == pytest.approx(np.cov(X.T), abs=0.6)
    without_noise = fit(X, 3).sample(20_000, return_mean=True, random_state=0)
    assert samples.var(0) - without_noise.var(0) == pytest.approx(0.25, abs=0.15)


def test_same_seed_same_samples(model):
    one, same = (model.sample(5, random_state=3) for _ in range(2))
    assert np.array_equal(one, same)
    assert not np.array_equal(one, model.sample(5, random_state=4))
    twin = clone(model).fit(np.random.default_rng(1).normal(size=(40, 4)))
    assert twin.sample(random_state=0).shape == (1, 4)


def test_bernoulli_samples_are_binary(binary):
    model = fit(binary, 4, likelihood="bernoulli", max_iter=3)
    assert set(np.unique(model.sample(50, random_state=0))) == {0.0, 1.0}
    means = model.sample(50, return_mean=True, random_state=0)
    assert ((means > 0) & (means < 1)).all()


@pytest.mark.parametrize("path", ["linear", "spherical"])
def test_interpolation_runs_from_row_to_row(model, iris, path):
    way = model.interpolate(iris[0], iris[149], steps=7, path=path)
    assert way.shape == (7, 4)
    assert way[[0, -1]] == pytest.approx(model.reconstruct(iris[[0, 149]]))


def test_paths_through_the_code(model, iris):
    ends = model.transform(iris[[0, 149]])
    middle = model.interpolate(iris[0], iris[149], steps=3)[1]
    assert middle == pytest.approx(model.inverse_transform(ends.mean(0, keepdims=True))[0])
    direction = (ends / np.linalg.norm(ends, axis=1, keepdims=True)).sum(0)
    on_arc = direction / np.linalg.norm(direction) * np.linalg.norm(ends, axis=1).mean()
    middle = model.interpolate(iris[0], iris[149], steps=3, path="spherical")[1]
    assert middle == pytest.approx(model.inverse_transform(on_arc[None])[0])

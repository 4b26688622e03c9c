"""Samples of deterministic autoencoders, from a mixture on the code."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from sklearn.exceptions import NotFittedError
from sklearn.mixture import BayesianGaussianMixture, GaussianMixture
from sklearn.neighbors import KernelDensity

from skae import Autoencoder, ContractiveAutoencoder, SparseAutoencoder


@pytest.fixture(scope="module")
def model(iris):
    return Autoencoder(2, hidden_layer_sizes=(16,), max_iter=10, random_state=0).fit(iris)


@pytest.mark.parametrize("cls", [Autoencoder, ContractiveAutoencoder, SparseAutoencoder])
def test_samples_have_the_moments_of_the_reconstructions(iris, cls):
    model = cls(3, hidden_layer_sizes=(16,), max_iter=10, random_state=0).fit(iris)
    samples, restored = model.sample(5000, X=iris, random_state=0), model.reconstruct(iris)
    assert samples.shape == (5000, 4)
    assert samples.mean(0) == pytest.approx(restored.mean(0), abs=0.1)
    assert np.cov(samples.T) == pytest.approx(np.cov(restored.T), abs=0.25)


def test_scale_of_the_code_does_not_matter(iris, model):
    """A mixture adds a constant to its covariances, which must not dominate a small code."""
    small = Autoencoder(2, hidden_layer_sizes=(16,), max_iter=10, random_state=0).fit(1e-6 * iris)
    samples = small.sample(500, X=1e-6 * iris, random_state=0)
    assert 1e6 * samples == pytest.approx(model.sample(500, X=iris, random_state=0), abs=0.05)


@pytest.mark.parametrize("scale", [1e-170, 1e170])
def test_scales_whose_squares_overflow_or_underflow(iris, model, scale):
    extreme = Autoencoder(2, hidden_layer_sizes=(16,), max_iter=10, random_state=0)
    samples = extreme.fit(scale * iris).sample(500, X=scale * iris, random_state=0) / scale
    assert samples == pytest.approx(model.sample(500, X=iris, random_state=0), abs=0.05)


def test_many_equal_codes_take_a_smaller_mixture():
    X = np.random.default_rng(0).normal(size=(9, 1))
    model = SparseAutoencoder(1, max_iter=2, random_state=0).fit(X)
    assert len(np.unique(model.transform(X))) < len(X)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert np.isfinite(model.sample(3, X=X, random_state=0)).all()


def test_same_seed_same_samples_in_no_order(iris, model):
    one, same, other = (model.sample(400, X=iris, random_state=s) for s in (0, 0, 1))
    assert np.array_equal(one, same)
    assert not np.array_equal(one, other)
    halves = one[:200].mean(0), one[200:].mean(0)  # sorted by component, these would differ by 1
    assert halves[0] == pytest.approx(halves[1], abs=0.5)


@pytest.mark.parametrize(
    "mixture", [GaussianMixture(3), BayesianGaussianMixture(n_components=3), KernelDensity()]
)
def test_any_density_can_be_used_and_is_not_changed(iris, model, mixture):
    before = mixture.get_params()
    assert model.sample(7, X=iris, mixture=mixture).shape == (7, 4)
    assert mixture.get_params() == before
    assert not [name for name in vars(mixture) if name.endswith("_")]


def test_a_density_that_has_a_seed_keeps_it(iris, model):
    one, same, other = (
        model.sample(50, X=iris, mixture=GaussianMixture(3, random_state=seed))
        for seed in (0, 0, 1)
    )
    assert np.array_equal(one, same)
    assert not np.array_equal(one, other)


def test_wide_codes_of_float32_have_a_mixture(digits):
    """Many units hardly vary; rounding to float32 would make their covariance singular."""
    X = digits.astype(np.float32)
    settings = {"hidden_layer_sizes": (), "max_iter": 20, "random_state": 0}
    wide = SparseAutoencoder(200, **settings).fit(X)
    samples = wide.sample(20, X=X, random_state=0)
    assert samples.dtype == np.float32
    assert np.isfinite(samples).all()


def test_bad_input(iris, model):
    with pytest.raises(ValueError, match="n_samples=0 must be"):
        model.sample(0, X=iris)
    with pytest.raises(ValueError, match="expecting 4 features"):
        model.sample(1, X=iris[:, :3])
    with pytest.raises(NotFittedError):
        Autoencoder().sample(1, X=iris)


def test_a_kernel_density_draws_by_the_seed_too(iris, model):
    state = np.random.get_state()[1].copy()  # noqa: NPY002
    one, same = (model.sample(4, X=iris, mixture=KernelDensity(), random_state=0) for _ in "ab")
    assert np.array_equal(one, same)
    assert np.array_equal(state, np.random.get_state()[1])  # noqa: NPY002


def test_few_rows_get_a_small_mixture(iris, model):
    assert model.sample(3, X=iris[:5], random_state=0).shape == (3, 4)


def test_few_distinct_codes_take_a_smaller_mixture(iris, model):
    rows = np.repeat(iris[:3], 1000, axis=0)
    drawn = model.sample(50, X=rows, random_state=0)
    distances = np.linalg.norm(drawn[:, None] - model.reconstruct(iris[:3]), axis=2).min(axis=1)
    assert distances.max() < 0.1
    with pytest.raises(ValueError, match="X has one row, and a mixture"):
        model.sample(X=iris[:1])


@pytest.mark.parametrize("cls", [Autoencoder, ContractiveAutoencoder, SparseAutoencoder])
def test_without_the_rows_of_the_mixture(iris, cls):
    model = cls(2, hidden_layer_sizes=(16,), max_iter=1, random_state=0)
    with pytest.raises(NotFittedError, match="not fitted yet"):
        model.sample(3)
    with pytest.raises(ValueError, match=f"sample of {cls.__name__} needs X, the rows whose codes"):
        model.fit(iris).sample(3)

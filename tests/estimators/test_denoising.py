"""Denoising autoencoder: denoising, imputation, score function and samples."""

from __future__ import annotations

import copy
import pickle
import warnings

import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA
from sklearn.impute import SimpleImputer
from sklearn.metrics import root_mean_squared_error
from sklearn.metrics.pairwise import nan_euclidean_distances

from skae import Autoencoder, DenoisingAutoencoder

NOISES = {"gaussian": 4.0, "masking": 0.3, "salt_and_pepper": 0.2}


def corrupted(X: np.ndarray, noise: str, rng: np.random.Generator) -> np.ndarray:
    """Corrupt X independently of the package, so that it is not its own oracle."""
    if noise == "gaussian":
        return X + rng.normal(scale=NOISES[noise], size=X.shape)
    hit = rng.random(X.shape) < NOISES[noise]
    if noise == "masking":
        return np.where(hit, X.mean(axis=0), X)
    return np.where(hit, np.where(rng.random(X.shape) < 0.5, X.min(axis=0), X.max(axis=0)), X)


@pytest.mark.parametrize("noise", NOISES)
def test_denoises_digits_better_than_an_autoencoder_and_pca(held_out_split, noise, rng):
    X, fresh = held_out_split("digits")
    noisy = corrupted(fresh, noise, rng)
    settings = {"n_components": 16, "hidden_layer_sizes": (64,), "max_iter": 30, "random_state": 0}
    denoiser = DenoisingAutoencoder(noise=noise, noise_level=NOISES[noise], **settings).fit(X)
    plain = Autoencoder(**settings).fit(X)
    pca = PCA(16).fit(X)
    error = np.square(denoiser.denoise(noisy) - fresh).mean()
    assert error < 0.9 * np.square(plain.reconstruct(noisy) - fresh).mean()
    assert error < 0.9 * np.square(pca.inverse_transform(pca.transform(noisy)) - fresh).mean()
    assert error < np.square(noisy - fresh).mean()


def test_noise_is_fresh_in_each_step_and_the_same_in_each_validation(digits):
    """With steps too small to change anything, only the noise tells two epochs apart."""
    model = DenoisingAutoencoder(
        4, noise_level=0.5, learning_rate_init=1e-12, max_iter=3, tol=0.0, random_state=0
    ).fit(digits)
    first, second, third = model.history_["reconstruction"]
    assert len({first, second, third}) == 3
    assert np.ptp(model.validation_scores_) < 1e-6


@pytest.mark.parametrize(("scale", "dtype"), [(1e-22, np.float32), (1e-163, np.float64)])
def test_scores_of_rows_whose_squares_vanish(iris, scale, dtype):
    model = DenoisingAutoencoder(
        2, noise="gaussian", noise_level=0.1, hidden_layer_sizes=(16,), max_iter=3, random_state=0
    )
    expected = model.fit(iris).score_function(iris[:5])
    X = (scale * iris).astype(dtype)
    scores = model.set_params(noise_level=0.1 * scale).fit(X).score_function(X[:5])
    assert scores.astype(float) * scale == pytest.approx(expected, rel=0.01, abs=0.1)


def test_starts_at_pca_and_gets_no_worse(held_out_split):
    X, fresh = held_out_split("breast_cancer")
    model = DenoisingAutoencoder(8, max_iter=20, random_state=0).fit(X)
    assert model.validation_scores_[model.best_iter_] >= model.validation_scores_[0]
    start = model.set_params(max_iter=1, learning_rate_init=1e-12).fit(X)
    assert start.best_iter_ == 0
    pca = PCA(8).fit(X)
    assert start.denoise(fresh) == pytest.approx(pca.inverse_transform(pca.transform(fresh)))


def test_a_code_as_wide_as_the_data_learns_to_denoise(held_out_split, rng):
    """PCA leaves no residual here, and still there is much to gain."""
    X, fresh = held_out_split("digits")
    model = DenoisingAutoencoder(64, noise="gaussian", noise_level=4.0, random_state=0)
    noisy = corrupted(fresh, "gaussian", rng)
    model.set_params(hidden_layer_sizes=(64,), max_iter=20).fit(X)
    assert model.n_iter_ == 20
    assert np.square(model.denoise(noisy) - fresh).mean() < 0.7 * 16


# -- missing entries ----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def with_holes(held_out_split):
    X, fresh = held_out_split("digits")
    rng = np.random.default_rng(0)
    return tuple(np.where(rng.random(part.shape) < 0.3, np.nan, part) for part in (X, fresh))


@pytest.fixture(scope="module")
def imputer(with_holes):
    return DenoisingAutoencoder(16, noise_level=0.1, max_iter=30, random_state=0).fit(with_holes[0])


def test_imputation_beats_the_mean_on_fresh_rows(imputer, with_holes, held_out_split):
    X, holes = held_out_split("digits")[1], with_holes[1]
    filled = imputer.impute(holes)
    missing = np.isnan(holes)
    assert np.array_equal(filled[~missing], holes[~missing])
    simple = SimpleImputer(keep_empty_features=True).fit(with_holes[0]).transform(holes)
    error = root_mean_squared_error(X[missing], filled[missing])
    assert error < 0.75 * root_mean_squared_error(X[missing], simple[missing])


def test_missing_entries_do_not_count(imputer, with_holes):
    holes = with_holes[0]
    assert imputer.mean_ == pytest.approx(np.nanmean(holes, axis=0))
    errors = imputer.reconstruction_error(holes, per_feature=True)
    assert np.array_equal(np.isnan(errors), np.isnan(holes))
    # As nan_euclidean_distances weighs what is there.
    expected = np.square(
        [
            nan_euclidean_distances(a[None], b[None])[0, 0]
            for a, b in zip(holes[:50], imputer.reconstruct(holes[:50]), strict=True)
        ]
    )
    assert imputer.reconstruction_error(holes[:50]) == pytest.approx(expected)
    r2 = 1 - np.nansum(errors) / np.nansum(np.square(holes - imputer.mean_))
    assert imputer.score(holes) == pytest.approx(r2)
    assert np.isfinite(imputer.transform(holes)).all()


def test_a_missing_entry_is_imputed_with_the_mean(imputer, with_holes):
    row = with_holes[1][:5]
    assert imputer.transform(np.where(np.isnan(row), imputer.mean_, row)) == pytest.approx(
        imputer.transform(row), abs=1e-9
    )


@pytest.mark.parametrize("loss", ["squared_error", "absolute_error", "huber", "log_loss"])
@pytest.mark.parametrize("dropout", [0.0, 0.1])
def test_learns_from_observed_entries(digits, loss, dropout):
    """Backpropagation and autograd both leave out the loss of missing entries."""
    X = digits[:400, 10:30] / 16
    X = np.where(np.random.default_rng(0).random(X.shape) < 0.3, np.nan, X)
    model = DenoisingAutoencoder(
        4, loss=loss, dropout=dropout, hidden_layer_sizes=(16,), max_iter=10, random_state=0
    ).fit(X)
    assert np.isfinite(model.loss_curve_).all()
    assert model.loss_curve_[0] < 1.1  # predicting the mean of the observed entries has a loss of 1
    assert model.score(X) > 0.15


def test_a_whole_row_may_be_missing(imputer):
    row = np.full((1, 64), np.nan)
    assert np.isfinite(imputer.impute(row)).all()
    assert np.isnan(imputer.score_samples(row)).all()  # neither typical nor not
    assert np.isnan(imputer.score(row))


@pytest.mark.parametrize("noise", NOISES)
def test_every_noise_takes_missing_entries(with_holes, noise):
    X = with_holes[0][:300]
    model = DenoisingAutoencoder(4, noise=noise, noise_level=NOISES[noise], max_iter=3)
    assert np.isfinite(model.fit(X).impute(X)).all()
    model.partial_fit(X)
    assert np.isfinite(model.impute(X)).all()


# -- the score of a density ---------------------------------------------------------------------


def cosine(a: np.ndarray, b: np.ndarray) -> float:
    lengths = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    return float(((a * b).sum(axis=1) / lengths).mean())


def test_score_of_a_known_gaussian(rng):
    factors = rng.normal(size=(5, 5))
    covariance = factors @ factors.T / 5 + 0.1 * np.eye(5)
    mean = np.array([1.0, -3.0, 0.0, 5.0, 2.0])
    X, fresh = (rng.multivariate_normal(mean, covariance, size=n) for n in (3000, 500))
    model = DenoisingAutoencoder(
        16, noise="gaussian", noise_level=0.3, hidden_layer_sizes=(64,), random_state=0
    ).fit(X)
    estimate, exact = model.score_function(fresh), (mean - fresh) @ np.linalg.inv(covariance)
    assert cosine(estimate, exact) > 0.95
    blurred = (mean - fresh) @ np.linalg.inv(covariance + 0.3**2 * np.eye(5))
    assert cosine(estimate, blurred) > 0.98
    assert np.linalg.norm(estimate) == pytest.approx(np.linalg.norm(blurred), rel=0.05)


@pytest.fixture(scope="module")
def two_gaussians():
    rng = np.random.default_rng(0)
    centres = np.array([[2.0, 0.0], [-2.0, 1.0]])
    X = centres[rng.integers(2, size=4000)] + rng.normal(scale=0.5, size=(4000, 2))
    model = DenoisingAutoencoder(8, noise="gaussian", noise_level=0.4, random_state=0)
    return centres, X, model.set_params(hidden_layer_sizes=(64,)).fit(X[:3500])


def test_score_of_two_gaussians(two_gaussians):
    centres, X, model = two_gaussians
    fresh = X[3500:]
    steps = centres - fresh[:, None]
    weights = np.exp(-np.square(steps).sum(-1) / (2 * 0.5**2))
    weights /= weights.sum(axis=1, keepdims=True)
    exact = (weights[:, :, None] * steps).sum(axis=1) / 0.5**2
    assert cosine(model.score_function(fresh), exact) > 0.95


def test_score_is_that_of_the_fitted_noise(two_gaussians):
    model, rows = two_gaussians[2], two_gaussians[1][:5]
    before = model.score_function(rows)
    model.set_params(noise="masking", noise_level=0.1)
    assert np.array_equal(model.score_function(rows), before)
    model.set_params(noise="gaussian", noise_level=0.4)


def test_samples_come_from_both_modes(two_gaussians):
    centres, _, model = two_gaussians
    rows = model.sample(2000, random_state=0)
    right = rows[:, 0] > 0
    assert 0.35 < right.mean() < 0.65
    for mode, centre in zip((rows[right], rows[~right]), centres, strict=True):
        assert np.median(mode, axis=0) == pytest.approx(centre, abs=0.25)
        assert mode.std(axis=0) == pytest.approx([0.5, 0.5], abs=0.3)
    means = model.sample(2000, random_state=0, return_mean=True)
    assert means[:, 1].std() < rows[:, 1].std()


def test_samples_depend_on_the_seed_alone_also_after_pickling(two_gaussians):
    model = two_gaussians[2]
    first = model.sample(3, n_steps=5, random_state=1)
    assert np.array_equal(first, model.sample(3, n_steps=5, random_state=1))
    assert not np.array_equal(first, model.sample(3, n_steps=5, random_state=2))
    opened = pickle.loads(pickle.dumps(model))
    assert np.array_equal(first, opened.sample(3, n_steps=5, random_state=1))


@pytest.mark.parametrize("loss", ["log_loss", "poisson"])
def test_samples_have_the_distribution_of_the_loss(loss, rng):
    rates = 4.0 * np.abs(rng.normal(size=(500, 1)) @ np.ones((1, 6)))
    X = (
        (rng.random((500, 6)) < rates / 16) * 1.0
        if loss == "log_loss"
        else rng.poisson(rates) * 1.0
    )
    model = DenoisingAutoencoder(
        2, loss=loss, noise_level=0.5, hidden_layer_sizes=(16,), max_iter=20, random_state=0
    ).fit(X)
    rows = model.sample(200, n_steps=20, random_state=0)
    assert rows.mean() == pytest.approx(X.mean(), rel=0.5)
    if loss == "log_loss":
        assert set(rows.ravel()) == {0.0, 1.0}


def test_a_masked_entry_at_the_mean_is_drawn_anew(rng):
    X = rng.poisson(3.0, (400, 8)).astype(float)
    X[:, 2] = np.repeat([1.0, 2.0, 3.0, 6.0], 100)  # of mean 3
    model = DenoisingAutoencoder(
        4, hidden_layer_sizes=(32,), loss="poisson", max_iter=10, random_state=0
    ).fit(X)
    rows = model.sample(300, n_steps=60, random_state=0)
    assert (rows[:, 2] == 3.0).mean() < 0.5
    assert rows[:, 2].std() > 0.5 * X[:, 2].std()


@pytest.mark.parametrize("loss", ["poisson", "log_loss"])
def test_samples_of_counts_are_counts_and_of_bits_are_bits(loss, rng):
    X = rng.poisson(1.5, (300, 6)).astype(float)
    X = np.minimum(X, 1.0) if loss == "log_loss" else X
    model = DenoisingAutoencoder(
        4, hidden_layer_sizes=(32,), loss=loss, max_iter=5, random_state=0
    ).fit(X)
    rows = model.sample(200, n_steps=5, random_state=0)
    np.testing.assert_array_equal(rows, rows.round())
    assert rows.min() >= 0
    model.partial_fit(rows)


def test_a_feature_whose_values_are_all_held_out_is_scaled_by_them(rng):
    X = rng.normal(size=(5000, 5))
    X[:, 4] = np.nan
    X[17, 4] = 1.0
    for seed in range(10):
        model = DenoisingAutoencoder(2, hidden_layer_sizes=(8,), max_iter=1, random_state=seed)
        assert model.fit(X).mean_[4] == 1.0


def test_a_chain_that_leaves_the_data_raises(two_gaussians):
    """A network with huge outputs stands for one whose chain runs away."""
    model = copy.deepcopy(two_gaussians[2])
    with torch.no_grad():
        model._model.network.decoder.layers[-1].bias.fill_(1e12)
    model._model._networks.clear()
    with pytest.raises(ValueError, match=r"The chain left the data.*higher noise_level"):
        model.sample(2, random_state=0)


# -- bad input ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"noise": "pink"}, "The 'noise' parameter"),
        ({"noise_level": -0.1}, "The 'noise_level' parameter"),
        ({"noise_level": 1.0}, "noise_level=1.0 is the share of corrupted entries under"),
        ({"noise": "salt_and_pepper", "noise_level": 3}, "so it must be below 1. Lower it, or"),
    ],
)
def test_bad_parameters(iris, parameters, message):
    with pytest.raises(ValueError, match=message):
        DenoisingAutoencoder(**parameters).fit(iris)


def test_a_feature_without_values_raises(iris):
    X = iris.copy()
    X[:, 2] = np.nan
    model = DenoisingAutoencoder()
    with pytest.raises(ValueError, match=r"Features \[2\] have no value in any training row"):
        model.fit(X)
    assert not hasattr(model, "n_features_in_")


def test_infinite_values(iris):
    X = iris.copy()
    X[0, 0] = np.inf
    with pytest.raises(ValueError, match="Input X contains infinity"):
        DenoisingAutoencoder().fit(X)


def test_values_outside_the_domain_are_found_beside_missing_ones():
    X = np.array([[0.5, np.nan], [2.0, 0.1], [0.3, 0.2]])
    with pytest.raises(ValueError, match=r"values from 0\.1 to 2"):
        DenoisingAutoencoder(1, loss="log_loss").fit(X)


def test_methods_that_need_noise_raise_without_it(iris):
    masked = DenoisingAutoencoder(hidden_layer_sizes=(), max_iter=1).fit(iris)
    with pytest.raises(ValueError, match="score_function needs a model trained with noise='gauss"):
        masked.score_function(iris)
    clean = DenoisingAutoencoder(noise_level=0, hidden_layer_sizes=(), max_iter=1).fit(iris)
    with pytest.raises(ValueError, match="trained with noise_level > 0"):
        clean.sample(3)
    for name, value in (("n_samples", 0), ("n_steps", 0)):
        with pytest.raises(ValueError, match=f"{name}=0 must be an int"):
            masked.sample(**{name: value})


def test_masked_chains_keep_the_moments_of_digits(digits):
    model = DenoisingAutoencoder(16, noise_level=0.3, max_iter=30, random_state=0).fit(digits)
    rows = model.sample(300, random_state=0)
    assert rows.mean() == pytest.approx(digits.mean(), rel=0.15)
    assert rows.std() == pytest.approx(digits.std(), rel=0.25)
    # Pixels are correlated as in the data, not as in noise.
    varied = digits.std(axis=0) > 1
    ours, theirs = (np.corrcoef(part[:, varied].T).ravel() for part in (rows, digits))
    off_diagonal = theirs < 0.999
    assert np.corrcoef(ours[off_diagonal], theirs[off_diagonal])[0, 1] > 0.7


def test_rarely_masked_columns_are_drawn_with_their_deviation(digits):
    rows = digits[:100]
    model = DenoisingAutoencoder(8, noise_level=0.02, max_iter=5, random_state=0).fit(rows)
    deviations = model.sample(500, random_state=0, n_steps=20).std(axis=0)
    varied = rows.std(axis=0) > 1
    assert (deviations[varied] > 0.1 * rows.std(axis=0)[varied]).all()


def test_a_column_that_is_never_masked_is_drawn_with_its_own_deviation(rng):
    rows = rng.standard_normal((100, 6)) * [0.01, 1, 1, 1, 1, 100]
    model = DenoisingAutoencoder(2, noise_level=1e-9, max_iter=1, random_state=0).fit(rows)
    deviations = model._walkback.residual_deviations * model._model.scale
    np.testing.assert_allclose(deviations, rows.std(axis=0), rtol=1e-4)


def test_samples_of_counts_have_their_totals():
    rng = np.random.default_rng(0)
    shares = rng.dirichlet(np.ones(20), 3)[rng.integers(3, size=400)]
    X = rng.poisson(shares * 200).astype(float)
    model = DenoisingAutoencoder(3, loss="multinomial", random_state=0, max_iter=5).fit(X)
    drawn = model.sample(200, n_steps=20, random_state=0)
    assert drawn.sum(axis=1).mean() == pytest.approx(X.sum(axis=1).mean(), rel=0.02)


@pytest.mark.parametrize("missing", [0.0, 0.5, 0.9])
def test_predicting_the_mean_scores_0_however_much_is_missing(missing):
    rng = np.random.default_rng(0)
    X = (rng.random((400, 20)) < 0.3).astype(float)
    X[rng.random(X.shape) < missing] = np.nan
    model = DenoisingAutoencoder(2, loss="log_loss", shortcut=None, random_state=0, max_iter=1)
    assert model.fit(X).validation_scores_[0] == pytest.approx(0, abs=1e-3)


def test_salt_and_pepper_accepts_a_batch_without_a_feature(iris):
    shuffled = np.random.default_rng(0).permutation(iris)
    model = DenoisingAutoencoder(2, noise="salt_and_pepper", random_state=0)
    model.partial_fit(shuffled[:100])
    without = shuffled[100:].copy()
    without[:, 1] = np.nan
    assert max(model.partial_fit(without).loss_curve_) < 1


def test_clean_rows_as_y_are_not_ignored_without_a_word(digits):
    noisy = digits[:60] + 1.0
    with pytest.warns(UserWarning, match="ignores y, which has as many columns as X"):
        DenoisingAutoencoder(2, max_iter=1).fit(noisy, digits[:60])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.filterwarnings("ignore", "PCA was kept")
        for y in (None, noisy, np.zeros(60), np.zeros((60, 3))):
            DenoisingAutoencoder(2, max_iter=1).fit(noisy, noisy if y is noisy else y)

"""Variational autoencoder: its code, its noise and its training."""

from __future__ import annotations

import pickle
import warnings
from collections.abc import Callable

import numpy as np
import pytest
from sklearn.decomposition import PCA
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.model_selection import GridSearchCV

from skae import Autoencoder, VariationalAutoencoder

Draw = Callable[[int], np.ndarray]
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


# -- the code -----------------------------------------------------------------------------------


def test_encode_distribution(model, iris):
    mean, deviation = model.encode_distribution(iris)
    assert np.array_equal(mean, model.transform(iris))
    assert mean.shape == deviation.shape == (150, 2)
    assert (deviation > 0).all()
    assert (deviation < 1).all()


def test_history_is_in_nats_and_sums_to_the_loss(model):
    assert set(model.history_) == {"reconstruction", "divergence"}
    assert np.add(*model.history_.values()) == pytest.approx(model.loss_curve_)
    assert model.best_loss_ == pytest.approx(-model.validation_scores_[model.best_iter_])


def test_loss_is_minus_the_lower_bound(factor_model):
    X, _ = factor_model
    model = fit(X, 3, early_stopping=False, max_iter=20)
    assert model.loss_curve_[-1] == pytest.approx(-model.elbo(X).mean(), rel=0.01)
    tiny = fit(X[:8], 2)  # too few rows for a validation: the start is kept
    assert tiny.n_iter_ == 0
    assert tiny.best_loss_ == pytest.approx(-tiny.elbo(X[:8]).mean(), abs=2.0)


def test_divergence_falls_with_beta(iris):
    def divergence(beta: float) -> float:
        model = fit(iris, beta=beta, shortcut=None, early_stopping=False, max_iter=50)
        mean, deviation = model.encode_distribution(iris)
        return 0.5 * (mean**2 + deviation**2 - 2 * np.log(deviation) - 1).sum(1).mean()

    values = [divergence(beta) for beta in (0.1, 1.0)]
    with pytest.warns(UserWarning, match="posterior collapse"):
        values.append(divergence(10.0))
    assert values[0] > 1.2 * values[1] > 1.2**2 * values[2]


def test_unused_units_are_not_active(factor_model):
    """Three factors in a code of six: the other columns are not used, and PCA keeps the three."""
    X, _ = factor_model
    model = fit(X, 6, shortcut="pca")
    assert len(fit(X, 3, shortcut="pca").active_units_) == 3
    variances = model.transform(X).var(0)
    assert np.array_equal(model.active_units_, np.flatnonzero(variances > 0.01))


def test_warns_of_posterior_collapse(rng):
    X = rng.normal(size=(300, 5))
    with pytest.warns(UserWarning, match=r"posterior collapse.*Lower beta \(now 50\)"):
        model = fit(X, 2, beta=50.0, shortcut=None, early_stopping=False, max_iter=30)
    assert len(model.active_units_) == 0
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert len(fit(X, 2).active_units_) > 0


# -- as an estimator ----------------------------------------------------------------------------


def test_what_follows_from_other_parameters_is_not_a_parameter(model):
    assert {"loss", "code_activation"}.isdisjoint(model.get_params())
    with pytest.raises(ValueError, match="Invalid parameter 'loss'"):
        model.set_params(loss="huber")
    with pytest.raises(TypeError, match="code_activation"):
        VariationalAutoencoder(2, code_activation="relu")


def test_grid_search_prefers_beta_of_one(factor_model):
    """By likelihood; by reconstruction, the least beta would win."""
    X, _ = factor_model
    base = VariationalAutoencoder(3, **LINEAR, early_stopping=False, max_iter=60, random_state=0)
    search = GridSearchCV(
        base.set_params(learning_rate_init=0.01), {"beta": [0.05, 1.0, 20.0]}, cv=2
    )
    with pytest.warns(UserWarning, match=r"posterior collapse.*Lower beta \(now 20\)"):
        search.fit(X[:400])
    assert search.best_params_ == {"beta": 1.0}


def test_pickles_small(model, iris):
    data = pickle.dumps(model)
    assert len(data) < 30_000
    assert np.array_equal(pickle.loads(data).score_samples(iris), model.score_samples(iris))


@pytest.mark.parametrize("dropout", [0.0, 0.2])
@pytest.mark.parametrize("tied_weights", [False, True])
@pytest.mark.parametrize("solver", ["adamw", "muon", "sgd", "lbfgs"])
def test_no_setting_is_below_pca(iris, dropout, tied_weights, solver):
    model = fit(iris, solver=solver, dropout=dropout, tied_weights=tied_weights)
    assert model.score(iris) > PCA(2).fit(iris).score(iris) - 0.05


def test_the_default_learning_rate_of_sgd_does_not_diverge(digits):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fit(digits, 2, hidden_layer_sizes=(256, 128), solver="sgd")
        wide = np.kron(digits.reshape(-1, 8, 8), np.ones((1, 3, 3))).reshape(len(digits), -1)
        fit(wide[:600], 8, hidden_layer_sizes=(256, 128), solver="sgd", max_iter=3)


def test_warm_start_continues(iris):
    model = fit(iris, warm_start=True, shortcut=None, early_stopping=False, max_iter=100)
    first = model.loss_curve_[0]
    assert model.fit(iris).loss_curve_[0] < first - 0.5


def test_a_warm_start_without_a_gain_changes_nothing(iris):
    model = fit(iris, warm_start=True)
    before = model.noise_variance_, model.score(iris)
    model.set_params(learning_rate_init=1e-12).fit(iris)
    assert model.best_iter_ == 0
    assert (model.noise_variance_, model.score(iris)) == pytest.approx(before, rel=1e-6)


def test_partial_fit_takes_a_new_learning_rate(binary):
    """For a learning rate that falls from part to part; at a rate of almost 0 nothing moves."""
    model = VariationalAutoencoder(4, likelihood="bernoulli", learning_rate_init=0.003)
    for _ in range(3):
        model.partial_fit(binary)
    before = model.transform(binary)
    model.set_params(learning_rate_init=1e-12).partial_fit(binary)
    assert model.transform(binary) == pytest.approx(before, abs=1e-5)
    assert model.n_iter_ == 4


def test_constant_features_and_wide_codes(iris):
    X = np.column_stack([iris, np.full(150, 3.0)])
    model = fit(X, 7)
    assert np.isfinite(model.score_samples(X)).all()
    assert model.noise_variance_ > 0
    assert model.transform(X).shape == (150, 7)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda m, X: fit(X, likelihood="bernoulli"), ValueError, r"needs X in \[0, 1\], but X"),
        (lambda m, X: fit(X, likelihood="poisson"), ValueError, "The 'likelihood' parameter"),
        (lambda m, X: fit(X, beta=0.0), ValueError, "The 'beta' parameter"),
        (lambda m, X: m.sample(0), ValueError, "n_samples=0 must be an int of 1 or more"),
        (lambda m, X: m.score_samples(X, n_importance=0), ValueError, "n_importance=0 must be"),
        (lambda m, X: m.interpolate(X[0], X[:2]), ValueError, r"b has shape \(2, 4\)"),
        (
            lambda m, X: m.interpolate(X[0], X[1], steps=1),
            ValueError,
            "steps=1 must be an int of 2",
        ),
        (lambda m, X: m.interpolate(X[0], X[1], path="arc"), ValueError, "path='arc' must be"),
        (lambda m, X: VariationalAutoencoder().sample(), NotFittedError, "not fitted yet"),
        (lambda m, X: VariationalAutoencoder().elbo(X), NotFittedError, "not fitted yet"),
    ],
)
def test_bad_input(model, iris, call, error, message):
    with pytest.raises(error, match=message):
        call(model, iris)


def test_scores_outside_the_range_of_bernoulli_are_refused(binary):
    model = fit(binary, likelihood="bernoulli", max_iter=1)
    with pytest.raises(ValueError, match=r"needs X in \[0, 1\]"):
        model.score_samples(binary * 3)


def test_the_unit_of_the_code_is_the_prior(iris):
    """The prior is the unit: standard deviations are about 1 or less, whatever the scale of X."""
    model = fit(100 * iris)
    assert model.transform(100 * iris).std(0).max() < 1.5
    assert Autoencoder(2, max_iter=5, random_state=0).fit_transform(100 * iris).std(0).max() > 50


# -- few rows, extreme scales, training in parts ------------------------------------------------


@pytest.mark.parametrize(("n_rows", "n_components"), [(30, 20), (60, 40), (60, 8)])
def test_fewer_rows_than_features_are_never_below_pca(digits, n_rows, n_components):
    """The noise of PCA stays with PCA: residuals of training rows would be far too small."""
    X, fresh = digits[:n_rows], digits[500:1000]
    model, pca = fit(X, n_components, shortcut="pca"), PCA(n_components).fit(X)
    assert model.best_iter_ == 0
    assert model.score(fresh) == pytest.approx(pca.score(fresh), abs=0.01)
    assert model.noise_variance_ == pytest.approx(pca.noise_variance_, rel=1e-4)


def student(rng: np.random.Generator) -> Draw:
    """Features without structure, of almost infinite variance."""
    return lambda n: rng.standard_t(2.5, size=(n, 8))


def word_counts(rng: np.random.Generator) -> Draw:
    """Counts over four topics, in documents of log-normal lengths."""
    topics = np.random.default_rng(20002).dirichlet(np.full(20, 0.3), size=4)

    def draw(n):
        shares = rng.dirichlet(np.full(4, 0.5), size=n) @ topics
        return rng.poisson(rng.lognormal(4, 1.2, size=n)[:, None] * shares).astype(float)

    return draw


def log_normal(rng: np.random.Generator) -> Draw:
    """Linear mixtures of four log-normal variables."""
    mixing = rng.normal(size=(4, 20))
    return lambda n: np.exp(rng.normal(size=(n, 4))) @ mixing + 0.3 * rng.normal(size=(n, 20))


def contaminated(rng: np.random.Generator) -> Draw:
    """A curved surface, with a twentieth of the rows multiplied by eight."""
    mixing = rng.normal(size=(4, 20))

    def draw(n):
        X = np.tanh(rng.normal(size=(n, 4)) @ mixing) + 0.1 * rng.normal(size=(n, 20))
        X[rng.random(n) < 0.05] *= 8
        return X

    return draw


@pytest.mark.parametrize(
    ("distribution", "seed", "n_rows", "random_state"),
    [
        (student, 65, 45, 1),
        (word_counts, 1779, 30, 2),
        (log_normal, 51, 45, 1),
        (contaminated, 102, 100, 3),
    ],
)
def test_skewed_samples_are_not_below_pca(distribution, seed, n_rows, random_state):
    """One large row of a few moves the held-out residual, hence the noise variance, threefold."""
    draw = distribution(np.random.default_rng(seed))
    X, fresh = draw(n_rows), draw(2000)
    model = VariationalAutoencoder(2, random_state=random_state).fit(X)
    gain = model.score_samples(fresh, n_importance=50) - PCA(2).fit(X).score_samples(fresh)
    assert gain.mean() > -gain.std() / len(gain) ** 0.5 - 1e-3


@pytest.mark.parametrize("seed", [0, 1])
def test_binary_samples_are_not_below_the_start(seed):
    draw = word_counts(np.random.default_rng(seed))
    X, fresh = ((draw(n) > 2).astype(float) for n in (45, 1000))
    start = fit(X, likelihood="bernoulli", learning_rate_init=1e-12)
    assert start.best_iter_ == 0
    model = fit(X, likelihood="bernoulli")
    gain = model.score_samples(fresh) - start.score_samples(fresh)
    assert gain.mean() > -gain.std() / len(gain) ** 0.5 - 1e-3


def test_noise_of_a_trained_model_is_that_of_fresh_rows(held_out_split):
    X, fresh = held_out_split("digits")
    model = fit(X[:300], 8, hidden_layer_sizes=(64,), max_iter=40)
    assert model.best_iter_ > 0
    mean, deviation = model.encode_distribution(fresh)
    drawn = mean + deviation * np.random.default_rng(0).normal(size=mean.shape)
    residual = np.square(fresh - model.inverse_transform(drawn)).mean()
    assert model.noise_variance_ == pytest.approx(residual, rel=0.2)


def test_validation_does_not_depend_on_the_unit(digits):
    """A density has no zero: what counts as a gain must not move with the unit of X."""
    X = digits[:300]
    plain = fit(X, 2, max_iter=30)
    assert plain.best_iter_ > 0
    for factor in (2.0**-40, 2.0**10, 2.0**40):
        scaled = fit(X * factor, 2, max_iter=30)
        assert scaled.best_iter_ == plain.best_iter_
        assert scaled.n_iter_ == plain.n_iter_


@pytest.mark.parametrize("factor", [1e-160, 1e150])
def test_extreme_scales(iris, factor):
    model = fit(iris * factor)
    assert np.isfinite(model.score_samples(iris * factor)).all()
    assert np.isfinite(model.sample(3, random_state=0)).all()


def test_parameters_changed_after_fit_do_not_change_the_density(binary):
    model = fit(binary, likelihood="bernoulli", max_iter=2)
    before = model.score_samples(binary)
    model.set_params(likelihood="gaussian")
    assert np.array_equal(model.score_samples(binary), before)
    assert set(np.unique(model.sample(9, random_state=0))) <= {0.0, 1.0}


def test_a_part_that_diverges_leaves_the_noise_finite(iris):
    model = VariationalAutoencoder(2, random_state=0).partial_fit(iris)
    with pytest.warns(ConvergenceWarning, match="Training diverged"):
        model.partial_fit(1e6 * iris)
    assert np.isfinite(model.score(iris))
    assert np.isfinite(model.noise_variance_)


def test_partial_fit_checks_parameters_in_each_call(iris):
    model = VariationalAutoencoder(2).partial_fit(iris)
    with pytest.raises(ValueError, match="The 'beta' parameter"):
        model.set_params(beta=-3.0).partial_fit(iris)


def test_noise_after_many_parts_is_not_that_of_the_last(iris):
    model = VariationalAutoencoder(2, random_state=0)
    order = np.random.default_rng(0).permutation(150)
    for start in [*range(0, 150, 15)] * 5:
        model.partial_fit(iris[order[start : start + 15]])
    before = model.noise_variance_
    assert model.partial_fit(iris[:1]).noise_variance_ == pytest.approx(before, rel=0.15)


@pytest.mark.parametrize("shortcut", ["pca", None])
@pytest.mark.parametrize("by_parts", [False, True])
def test_without_held_out_rows_the_noise_is_that_of_the_training_rows(digits, shortcut, by_parts):
    settings = {"batch_size": 300, "max_iter": 3, "learning_rate_init": 0.01}
    model = VariationalAutoencoder(
        4, shortcut=shortcut, early_stopping=False, random_state=0, **settings
    )
    if by_parts:
        for _ in range(3):
            model.partial_fit(digits)
    elif shortcut is None:
        with pytest.warns(UserWarning, match="posterior collapse"):
            model.fit(digits)
    else:
        model.fit(digits)
    assert model.best_iter_ == 3
    mean, deviation = model.encode_distribution(digits)
    drawn = mean + deviation * np.random.default_rng(0).normal(size=mean.shape)
    residual = np.square(digits - model.inverse_transform(drawn)).mean()
    assert model.noise_variance_ == pytest.approx(residual, rel=0.005)


def test_the_noise_is_that_of_all_held_out_rows(factor_model, monkeypatch):
    """However many of them are encoded at a time."""
    X = factor_model[0]
    whole = fit(X, 3, shortcut=None)
    monkeypatch.setattr("skae.fitting.selection._MAX_ROWS", 7)
    parts = fit(X, 3, shortcut=None)
    assert parts.noise_variance_ == pytest.approx(whole.noise_variance_, rel=0.1)

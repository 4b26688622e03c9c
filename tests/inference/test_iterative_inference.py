"""Iterative inference: codes with the best reconstruction, as PCA's codes are."""

from __future__ import annotations

import numpy as np
import pytest
from instances import make_fast
from scipy.optimize import least_squares
from sklearn.decomposition import PCA

from skae import Autoencoder, ConvolutionalAutoencoder, StackedAutoencoder

SETTINGS = {
    Autoencoder: {},
    ConvolutionalAutoencoder: {
        "image_shape": (8, 8),
        "channels": (8,),
        "hidden_layer_sizes": (),
    },
    StackedAutoencoder: {"pretraining_iter": 3},
}
each_class = pytest.mark.parametrize("estimator_class", SETTINGS, ids=lambda cls: cls.__name__)


def trained(estimator_class=Autoencoder, **changes):
    settings = {"max_iter": 15, "hidden_layer_sizes": (32,), **SETTINGS[estimator_class]}
    return make_fast(estimator_class, 4, **{**settings, **changes})


def from_encoder(model, method, X):
    """Return the result of a method without iterative inference."""
    n_steps = model.transform_max_iter
    try:
        return getattr(model.set_params(transform_max_iter=0), method)(X)
    finally:
        model.set_params(transform_max_iter=n_steps)


@each_class
def test_no_row_is_reconstructed_worse_than_by_the_encoder(estimator_class, digits):
    model = trained(estimator_class).fit(digits[:1200])
    before = from_encoder(model, "reconstruction_error", digits[1200:])
    after = model.reconstruction_error(digits[1200:])
    assert (after <= before * (1 + 1e-9)).all()
    assert after.sum() < 0.99 * before.sum()


@each_class
def test_the_code_is_near_the_best_that_least_squares_finds(estimator_class, digits):
    model = trained(estimator_class, transform_max_iter=30).fit(digits[:1200])
    rows = digits[1200:1215]
    for row, code in zip(rows, model.transform(rows), strict=True):
        best = least_squares(lambda c, row=row: model.inverse_transform(c[None])[0] - row, code)
        assert ((model.inverse_transform(code[None])[0] - row) ** 2).sum() < 1.02 * 2 * best.cost


def test_the_code_of_a_linear_decoder_is_the_least_squares_one(digits):
    model = trained(hidden_layer_sizes=(), shortcut=None, transform_max_iter=100).fit(digits)
    code = model.transform(digits[:50])
    centre = model.inverse_transform(np.zeros((1, 4)))
    expected = np.linalg.lstsq(model.components_.T, (digits[:50] - centre).T, rcond=None)[0].T
    error = np.square(digits[:50] - model.inverse_transform(code)).sum()
    least = np.square(digits[:50] - model.inverse_transform(expected)).sum()
    assert error == pytest.approx(least, rel=1e-3)


def test_the_code_of_pca_stays(iris):
    model = Autoencoder(2, max_iter=1, learning_rate_init=1e-9, random_state=0).fit(iris)
    assert model.best_iter_ == 0
    np.testing.assert_array_equal(model.transform(iris), from_encoder(model, "transform", iris))
    np.testing.assert_allclose(model.transform(iris), PCA(2).fit_transform(iris), atol=1e-9)


def test_a_code_that_is_not_linear_stays(digits):
    """A step might leave the range of its activation."""
    model = trained(code_activation="logistic").fit(digits)
    code = model.transform(digits)
    np.testing.assert_array_equal(code, from_encoder(model, "transform", digits))
    assert code.min() > 0
    assert code.max() < 1


@each_class
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_code_is_canonical(estimator_class, dtype, digits):
    X = digits.astype(dtype)
    model = trained(estimator_class).fit(X)
    code = model.transform(X)
    assert np.abs(code - from_encoder(model, "transform", X)).max() > 0.1
    tolerance = 1e-6 if dtype is np.float64 else 1e-4
    assert np.abs(code.mean(axis=0) / code.std(axis=0)).max() < tolerance
    assert np.abs(np.corrcoef(code.T) - np.eye(4)).max() < tolerance
    assert (np.diff(code.var(axis=0)) < 0).all()
    assert model.explained_variance_ratio_.sum() == pytest.approx(model.score(X), abs=1e-6)


def test_tied_weights_and_partial_fit_describe_the_code_that_transform_gives(digits):
    options = {"early_stopping": False, "learning_rate_init": 0.02, "max_iter": 30}
    tied = trained(tied_weights=True, **options).fit(digits)
    moved = tied.transform(digits) - from_encoder(tied, "transform", digits)
    assert np.abs(moved).max() > 0.1
    assert np.abs(np.corrcoef(tied.transform(digits).T) - np.eye(4)).max() < 1e-6
    for model in (tied, trained().partial_fit(digits)):
        assert model.explained_variance_ratio_.sum() == pytest.approx(model.score(digits), abs=1e-5)


def poisson(X, mean):
    return (mean - X * np.log(mean)).sum(axis=1)


def multinomial(X, mean):
    return -(X * np.log(mean / mean.sum(axis=1, keepdims=True))).sum(axis=1)


def log_loss(X, mean):
    return -(X * np.log(mean) + (1 - X) * np.log1p(-mean)).sum(axis=1)


def absolute_error(X, mean):
    return np.abs(X - mean).sum(axis=1)


@pytest.mark.parametrize("loss", [poisson, multinomial, log_loss, absolute_error])
def test_every_loss_is_minimised_itself(loss, digits):
    X = digits[:600] / 16 if loss is log_loss else digits[:600]
    if loss is multinomial:
        X = X[:, X.any(axis=0)]
    model = trained(loss=loss.__name__, early_stopping=False).fit(X)
    after = loss(X, model.reconstruct(X))
    before = loss(X, from_encoder(model, "reconstruct", X))
    assert (after <= before + 1e-9 * np.abs(before)).all()
    assert after.sum() < before.sum() - 1e-3 * abs(before.sum())


def test_constant_features_make_no_row_worse(digits):
    """Without PCA init, the decoder has yet to learn them; refinement must not make them worse."""
    X = np.column_stack([digits[:, :20], np.full((len(digits), 60), 7.0)])
    model = trained(shortcut=None, max_iter=2).fit(X)
    before = from_encoder(model, "reconstruction_error", X)
    assert (model.reconstruction_error(X) <= before * (1 + 1e-9)).all()


@pytest.mark.parametrize("shortcut", ["pca", None])
def test_a_constant_share_makes_no_row_worse(digits, shortcut):
    X = np.column_stack([digits[:600][:, digits[:600].any(axis=0)], np.full(600, 400.0)])
    model = trained(shortcut=shortcut, loss="multinomial", early_stopping=False).fit(X)
    after = multinomial(X, model.reconstruct(X))
    before = multinomial(X, from_encoder(model, "reconstruct", X))
    assert (after <= before + 1e-9 * np.abs(before)).all()


def test_codes_that_are_exact_do_not_run_away(rng):
    """The log loss of bits is 0 only at infinity."""
    X = np.repeat(rng.integers(0, 2, (400, 3)), 4, axis=1).astype(float)
    model = trained(loss="log_loss", early_stopping=False, max_iter=30).fit(X)
    code = model.transform(X)
    assert np.abs(np.corrcoef(code[:, :3].T) - np.eye(3)).max() < 1e-4
    assert model.explained_variance_ratio_.sum() == pytest.approx(model.score(X), abs=1e-6)
    assert model.score(X) > 0.99


def test_rows_that_the_loss_forbids_do_not_run_away(digits):
    X = digits[:600] / 16
    model = trained(loss="log_loss", early_stopping=False).fit(X)
    largest = np.abs(model.transform(X)).max()
    assert np.abs(model.transform(3 * X)).max() < 10 * largest


def test_may_be_set_after_a_fit(digits):
    model = trained(transform_max_iter=0).fit(digits[:1200])
    before = model.reconstruction_error(digits[1200:])
    after = model.set_params(transform_max_iter=10).reconstruction_error(digits[1200:])
    assert (after <= before * (1 + 1e-9)).all()
    assert after.sum() < 0.99 * before.sum()


@pytest.mark.parametrize("value", [-1, 1.5, True, None])
def test_what_is_set_after_a_fit_is_checked(iris, value):
    model = trained().fit(iris).set_params(transform_max_iter=value)
    with pytest.raises(ValueError, match=f"transform_max_iter={value} must be an int of 0 or more"):
        model.transform(iris)


def test_the_loss_of_the_start_is_that_of_the_encoder(digits):
    model = trained(StackedAutoencoder, fine_tune=False, early_stopping=False).fit(digits)
    assert model.best_loss_ == pytest.approx(1 - from_encoder(model, "score", digits), abs=1e-5)
    assert model.best_loss_ > 1 - model.score(digits) + 1e-3


def test_pca_codes_are_not_optimal_under_another_loss(iris):
    """A warm start that trains nothing leaves the code as it was."""
    model = trained(loss="absolute_error", warm_start=True, max_iter=1, hidden_layer_sizes=(8,))
    code = model.set_params(n_components=2).fit(iris).transform(iris)
    assert model.best_iter_ == 0
    error = np.abs(iris - model.reconstruct(iris)).sum()
    assert error < 0.98 * np.abs(iris - from_encoder(model, "reconstruct", iris)).sum()
    assert model.fit(iris).best_iter_ == 0
    np.testing.assert_allclose(model.transform(iris), code, atol=0.05)


def test_rows_far_out_are_not_made_worse(digits):
    model = trained().fit(digits)
    far = digits[:50] * np.logspace(0, 12, 50)[:, None]
    before = from_encoder(model, "reconstruction_error", far)
    assert (model.reconstruction_error(far) <= before * (1 + 1e-9)).all()
    assert np.isfinite(model.transform(digits[:1] * 1e200)).all()

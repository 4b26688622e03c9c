"""Predictive sparse decomposition: codes, predictions and the dictionary."""

from __future__ import annotations

import copy
import warnings

import numpy as np
import pytest
import torch
from sklearn.datasets import make_sparse_coded_signal
from sklearn.decomposition import DictionaryLearning, sparse_encode
from sklearn.exceptions import ConvergenceWarning

from skae import PredictiveSparseDecomposition


def fast(n_components=20, **parameters) -> PredictiveSparseDecomposition:
    defaults = {"max_iter": 20, "random_state": 0}
    return PredictiveSparseDecomposition(n_components, **(defaults | parameters))


def cost(model, X, code) -> float:
    """Return the objective of a code in the units of X."""
    error = np.square(X - model.mean_ - code @ model.components_).sum()
    return error + 2 * model.alpha_ * np.abs(code).sum()


@pytest.fixture(scope="module")
def model(digits):
    return fast(80).fit(digits[:1200])


def test_a_negative_threshold_has_a_gradient(model, digits):
    network = copy.deepcopy(model._model.network)
    with torch.no_grad():
        network.thresholds.fill_(-0.1)
    z = torch.from_numpy(digits[:50] - model.mean_).float() / model._model.scale
    network.encode(z).abs().sum().backward()
    assert (network.thresholds.grad < 0).all()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_optimised_code_is_that_of_scikit_learn(model, digits, dtype):
    X = digits[1200:1300].astype(dtype)
    code = model.sparse_code(X)
    assert code.dtype == dtype
    centred = X - model.mean_
    expected = sparse_encode(
        centred, model.components_, alpha=model.alpha_, algorithm="lasso_lars", max_iter=10_000
    )
    assert cost(model, X, code) == pytest.approx(cost(model, X, expected), rel=1e-4)


def test_alpha_is_in_the_units_of_x(model, digits):
    X = digits[:1200]
    total_variance = np.square(X - X.mean(axis=0)).sum(axis=1).mean()
    assert model.alpha_ == pytest.approx(0.5 * model.alpha * np.sqrt(total_variance), rel=1e-2)


def test_no_code_costs_less_than_the_optimised_one(model, digits):
    X = digits[1200:]
    code = model.sparse_code(X)
    lowest = cost(model, X, code)
    assert cost(model, X, model.transform(X)) > lowest
    rng = np.random.default_rng(0)
    for size in (1e-2, 1.0):
        assert cost(model, X, code + size * rng.normal(size=code.shape)) > lowest


def test_prediction_is_near_the_optimised_code(model, digits):
    X = digits[1200:]
    predicted, optimised = model.transform(X), model.sparse_code(X)
    assert np.corrcoef(predicted.ravel(), optimised.ravel())[0, 1] > 0.8
    assert (predicted == 0).mean() > 0.2
    assert model.score(X) > 0.9


def test_atoms_have_norm_1_and_make_the_reconstruction(model, digits):
    np.testing.assert_allclose(np.linalg.norm(model.components_, axis=1), 1.0, rtol=1e-6)
    code = model.transform(digits)
    expected = model.mean_ + code @ model.components_
    np.testing.assert_allclose(model.inverse_transform(code), expected, atol=1e-9)


def test_reconstruction_is_linear_after_a_single_split(rng):
    X = rng.standard_t(1.5, size=(6000, 10))
    fitted = fast(8, max_iter=2).fit(X)
    code = fitted.sparse_code(X)
    expected = fitted.mean_ + code @ fitted.components_
    np.testing.assert_allclose(fitted.inverse_transform(code), expected, atol=1e-6)


def test_codes_scale_with_x(digits):
    X = digits[:500]
    plain, large = fast(max_iter=5).fit(X), fast(max_iter=5).fit(1024 * X)
    np.testing.assert_allclose(large.transform(1024 * X), 1024 * plain.transform(X), rtol=1e-6)
    assert large.alpha_ == pytest.approx(1024 * plain.alpha_)
    np.testing.assert_allclose(large.components_, plain.components_, atol=1e-9)


@pytest.mark.parametrize("scale", [1e-170, 1e170])
def test_sparse_codes_at_scales_whose_squares_overflow(iris, scale):
    expected = fast(8).fit(iris).sparse_code(iris)
    codes = fast(8).fit(scale * iris).sparse_code(scale * iris)
    np.testing.assert_allclose(codes / scale, expected, atol=1e-4)


def test_zeros_rise_with_alpha(digits):
    X = digits[:1200]
    zeros = [
        (fast(80, alpha=alpha).fit(X).sparse_code(X[:200]) == 0).mean()
        for alpha in (0.01, 0.05, 0.2)
    ]
    assert zeros[0] + 0.03 < zeros[1]
    assert zeros[1] + 0.03 < zeros[2]


def test_warns_of_a_code_of_zeros(digits):
    with pytest.warns(UserWarning, match=r"every optimised code is 0.*Lower alpha \(now 30\)"):
        model = fast(alpha=30.0).fit(digits)
    assert not model.sparse_code(digits).any()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fast(alpha=0.0, max_iter=2).fit(digits)  # codes without a penalty are not 0


def test_an_interrupt_in_the_first_epoch_keeps_the_start(digits, monkeypatch):
    def interrupted(*args, **settings):
        raise KeyboardInterrupt

    monkeypatch.setattr("skae.core.optimizers.AdamW.step", interrupted)
    with pytest.warns(ConvergenceWarning, match="best state so far is that of the start"):
        model = fast().fit(digits)
    assert model.n_iter_ == 0
    assert np.isfinite(model.transform(digits)).all()


def test_a_heavier_prediction_weight_makes_codes_easier_to_predict(digits):
    X = digits[:1200]
    distances = []
    for weight in (0.03, 30.0):
        fitted = fast(80, prediction_weight=weight).fit(X)
        optimised = fitted.sparse_code(X[:200])
        gap = np.square(fitted.transform(X[:200]) - optimised).sum()
        distances.append(gap / np.square(optimised).sum())
    assert distances[1] < 0.8 * distances[0]


def test_finds_the_dictionary_that_made_the_data():
    X, atoms, _ = make_sparse_coded_signal(
        n_samples=2000, n_components=12, n_features=10, n_nonzero_coefs=2, random_state=0
    )
    options = {"alpha": 0.2, "prediction_weight": 0.1, "max_iter": 60, "learning_rate_init": 1e-2}
    fitted = fast(12, **options).fit(X)
    assert np.abs(fitted.components_ @ atoms.T).max(axis=0).min() > 0.99


def test_dictionary_is_as_good_as_scikit_learns(digits):
    X, fresh = digits[:1200], digits[1200:]
    ours = fast(32, max_iter=60).fit(X)
    theirs = DictionaryLearning(
        32, alpha=ours.alpha_, fit_algorithm="cd", max_iter=15, random_state=0
    ).fit(X - ours.mean_)
    costs = []
    for atoms in (ours.components_, theirs.components_):
        code = sparse_encode(fresh - ours.mean_, atoms, alpha=ours.alpha_, algorithm="lasso_cd")
        error = np.square(fresh - ours.mean_ - code @ atoms).sum()
        costs.append(error + 2 * ours.alpha_ * np.abs(code).sum())
    assert costs[0] < 1.03 * costs[1]


def test_terms_are_reported(model):
    assert set(model.history_) == {"reconstruction", "sparsity", "prediction"}
    assert model.loss_curve_[-1] < model.loss_curve_[0]


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"alpha": -1}, "The 'alpha' parameter"),
        ({"prediction_weight": 0}, "The 'prediction_weight' parameter"),
        ({"n_components": 0}, "The 'n_components' parameter"),
        ({"n_components": 0.5}, "The 'n_components' parameter"),
    ],
)
def test_parameters(iris, parameters, message):
    with pytest.raises(ValueError, match=message):
        PredictiveSparseDecomposition(**parameters).fit(iris)


@pytest.mark.parametrize("name", ["loss", "shortcut", "tied_weights", "code_activation"])
def test_not_parameters(name):
    with pytest.raises(TypeError, match=name):
        PredictiveSparseDecomposition(**{name: None})


def test_codes_without_a_penalty_are_those_of_least_squares(iris):
    model = fast(3, alpha=0).fit(iris)
    code = model.sparse_code(iris)
    slope = (iris - model.mean_ - code @ model.components_) @ model.components_.T
    np.testing.assert_allclose(slope, 0, atol=1e-9)

"""Regressor on an autoencoder's encoder."""

from __future__ import annotations

import numpy as np
import pytest
from instances import make_fast
from sklearn.base import clone
from sklearn.datasets import load_diabetes, load_digits
from sklearn.linear_model import LinearRegression
from sklearn.model_selection import cross_val_score
from sklearn.preprocessing import StandardScaler

from skae import (
    Autoencoder,
    AutoencoderRegressor,
)

SMALL = {"hidden_layer_sizes": (16,), "max_iter": 5, "random_state": 0}


def test_a_frozen_linear_regressor_is_least_squares_on_the_code_of_the_encoder():
    X, y = load_diabetes(return_X_y=True)
    autoencoder = Autoencoder(5, transform_max_iter=0, random_state=0)
    model = AutoencoderRegressor(autoencoder, freeze=True, solver="lbfgs", weight_decay=0.0).fit(
        X, y
    )
    code = model.autoencoder_.transform(X)
    expected = LinearRegression().fit(code, y).predict(code)
    assert model.predict(X) == pytest.approx(expected, abs=0.5)


def test_several_targets():
    X, y = load_diabetes(return_X_y=True)
    Y = np.column_stack([y, 1e6 - 1000 * y])
    model = AutoencoderRegressor(Autoencoder(6, **SMALL), random_state=0).fit(X, Y)
    predicted = model.predict(X)
    assert predicted.shape == Y.shape
    assert model.score(X, Y) > 0.4
    assert np.corrcoef(predicted.T)[0, 1] < -0.9
    assert AutoencoderRegressor(Autoencoder(6, **SMALL)).fit(X, y).predict(X).shape == y.shape


@pytest.mark.parametrize("n_components", [8, 32])
def test_a_regressor_learns_by_sgd(n_components):
    X, y = load_digits(return_X_y=True)
    X = StandardScaler().fit_transform(X)
    autoencoder = make_fast(Autoencoder, n_components, hidden_layer_sizes=(32,))
    regressor = AutoencoderRegressor(autoencoder, solver="sgd", random_state=0)
    assert regressor.fit(X[:400], y[:400]).score(X[400:800], y[400:800]) > 0.5


def test_rows_that_are_all_equal():
    X, y = np.ones((20, 3)), np.arange(20.0)
    regressor = make_fast(AutoencoderRegressor, autoencoder=make_fast(Autoencoder, 2))
    assert regressor.fit(X, np.ones(20)).predict(X) == pytest.approx(1.0)
    one = regressor.fit(np.eye(20), y, sample_weight=np.eye(20)[3])
    assert one.predict(np.eye(20)) == pytest.approx(3.0)


def test_shift_and_scale_of_the_target_do_not_matter():
    X, y = load_diabetes(return_X_y=True)
    plain, moved = (
        AutoencoderRegressor(Autoencoder(5, **SMALL), random_state=0).fit(X, target)
        for target in (y, 1000 * y + 1e5)
    )
    assert moved.predict(X) == pytest.approx(1000 * plain.predict(X) + 1e5, rel=1e-4)


@pytest.mark.parametrize("size", [1e307, 1e-310])
def test_the_size_of_equal_weights_does_not_matter(iris, size):
    y = iris[:, 0]
    plain, weighted = (make_fast(AutoencoderRegressor, max_iter=5) for _ in range(2))
    weighted.fit(iris, y, sample_weight=np.full(len(y), size))
    np.testing.assert_allclose(weighted.predict(iris), plain.fit(iris, y).predict(iris), rtol=1e-5)


def test_rows_without_a_target_train_the_autoencoder_alone():
    X, y = load_diabetes(return_X_y=True)
    y_few = np.where(np.arange(len(y)) < 150, y, np.nan)
    autoencoder = Autoencoder(6, **SMALL).fit(X)
    model = AutoencoderRegressor(autoencoder, prefit=True, freeze=True, random_state=0)
    some = clone(model).set_params(autoencoder=autoencoder).fit(X[:150], y[:150])
    many = model.fit(X, y_few)
    # The head standardises by all rows given; the fits differ by that alone.
    assert np.corrcoef(some.predict(X), many.predict(X))[0, 1] > 0.98
    assert many.score(X, y_few) == many.score(X[:150], y[:150])
    weights = np.arange(1.0, len(y) + 1)
    weighted = many.score(X, y_few, sample_weight=weights)
    assert weighted == many.score(X[:150], y[:150], sample_weight=weights[:150])


def test_rows_without_targets_in_a_cross_validation():
    X, y = load_diabetes(return_X_y=True)
    Y = np.column_stack([y, -y])
    Y[np.arange(len(y)) % 4 == 0] = np.nan
    model = AutoencoderRegressor(Autoencoder(6, **SMALL), random_state=0)
    scores = cross_val_score(model, X, Y, cv=2, error_score="raise")
    assert scores.min() > 0.3
    none = AutoencoderRegressor(Autoencoder(6, **SMALL), random_state=0).fit(
        X, np.where(np.isnan(Y[:, 0]), None, y.astype(object))
    )
    assert none.score(X, y) > 0.3

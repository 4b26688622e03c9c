"""What holds for every fitted estimator."""

from __future__ import annotations

import inspect
import pickle

import joblib
import numpy as np
import pytest
from instances import FAST_AUTOENCODERS, FAST_INSTANCES
from sklearn.base import clone
from sklearn.datasets import load_digits


@pytest.mark.parametrize("estimator", FAST_INSTANCES, ids=lambda e: type(e).__name__)
def test_equal_fits_have_equal_hashes(estimator):
    """`Pipeline(memory=...)` compares joblib's hashes."""
    X, y = load_digits(return_X_y=True)
    X, y = X[:60] / 16, y[:60]
    fitted = [clone(estimator).fit(X, y) for _ in range(2)]
    first = joblib.hash(fitted[0])
    assert first == joblib.hash(fitted[0]) == joblib.hash(fitted[1])
    assert first == joblib.hash(pickle.loads(pickle.dumps(fitted[0])))


@pytest.mark.parametrize("estimator", FAST_AUTOENCODERS, ids=lambda e: type(e).__name__)
def test_rows_without_variance_have_none_to_explain(estimator):
    for value in (0.0, 0.37):
        X = np.full((30, 64), value)
        fitted = clone(estimator).fit(X)
        assert np.array_equal(fitted.mean_, X[0])
        assert 0.0 <= fitted.explained_variance_ratio_.sum() <= 1.0


@pytest.mark.parametrize("estimator", FAST_AUTOENCODERS, ids=lambda e: type(e).__name__)
def test_no_method_of_rows_draws_from_the_generator_of_numpy(estimator):
    X = load_digits().data[:40] / 16
    noise = {"noise": "gaussian"} if hasattr(estimator, "noise") else {}  # has all methods
    fitted = clone(estimator).set_params(**noise).fit(X)
    before = pickle.dumps(np.random.get_state())  # noqa: NPY002 (the state that must not change)
    called = []
    for name, method in inspect.getmembers(fitted, inspect.ismethod):
        required = [
            parameter.name
            for parameter in inspect.signature(method).parameters.values()
            if parameter.default is parameter.empty and parameter.kind.name[:4] != "VAR_"
        ]
        if (
            not name.startswith("_")
            and required == ["X"]
            and "fit" not in name
            and name != "inverse_transform"
        ):
            takes_seed = "random_state" in inspect.signature(method).parameters
            method(X=X, **({"random_state": 0} if takes_seed else {}))
            called.append(name)
    assert "transform" in called
    assert pickle.dumps(np.random.get_state()) == before  # noqa: NPY002

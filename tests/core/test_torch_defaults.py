"""What a caller tells torch to do by default changes nothing here."""

from __future__ import annotations

from contextlib import ExitStack

import numpy as np
import pytest
import torch
from instances import FAST_INSTANCES
from sklearn.base import clone
from sklearn.datasets import load_digits


@pytest.fixture(scope="module")
def digits():
    X, y = load_digits(return_X_y=True)
    return (X[:120] / 16).astype(np.float32), y[:120]


@pytest.fixture
def unusual_defaults():
    with ExitStack() as defaults:
        defaults.callback(torch.set_default_dtype, torch.get_default_dtype())
        torch.set_default_dtype(torch.float64)
        defaults.enter_context(torch.device("meta"))
        defaults.enter_context(torch.autocast("cpu", torch.bfloat16))
        defaults.enter_context(torch.inference_mode())
        yield


def defaults():
    return (
        torch.get_default_dtype(),
        torch.get_default_device(),
        torch.is_autocast_enabled("cpu"),
        torch.is_inference_mode_enabled(),
    )


def results(estimator, X):
    """Return what the methods that run a network or draw make of X."""
    if not hasattr(estimator, "transform"):
        return {"predict": estimator.predict(X)}
    code = estimator.transform(X)
    found = {"transform": code}
    if hasattr(estimator, "inverse_transform"):
        found["inverse_transform"] = estimator.inverse_transform(code)
    if hasattr(estimator, "elbo"):
        found["elbo"] = estimator.elbo(X, n_importance=3)
        found["deviation"] = estimator.encode_distribution(X)[1]
    if hasattr(estimator, "score_function"):
        found["sample"] = estimator.sample(3, random_state=0)
    if hasattr(estimator, "jacobian"):
        found["jacobian"] = estimator.jacobian(X)
    return found


@pytest.fixture(scope="module", params=FAST_INSTANCES, ids=lambda e: type(e).__name__)
def case(request, digits):
    """An estimator, and what it returns under the defaults that torch begins with."""
    X, y = digits
    return request.param, results(clone(request.param).fit(X, y), X)


def test_every_result_is_the_same_under_other_defaults_of_torch(case, digits, unusual_defaults):
    estimator, expected = case
    before = defaults()
    found = results(clone(estimator).fit(*digits), digits[0])
    assert defaults() == before
    for name, values in expected.items():
        assert found[name].dtype == values.dtype
        np.testing.assert_array_equal(found[name], values, err_msg=name)

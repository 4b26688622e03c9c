"""The page that shows how to add a method is run, so that it cannot drift."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.utils.estimator_checks import check_estimator

from skae import Autoencoder

PAGE = Path(__file__).parents[1] / "docs" / "adding_a_method.md"


@pytest.fixture(scope="module")
def page():
    module = ModuleType("adding_a_method")
    sys.modules[module.__name__] = module  # dataclasses look their module up
    for source in re.findall(r"```python\n(.*?)```", PAGE.read_text(), flags=re.DOTALL):
        exec(compile(source, str(PAGE), "exec"), module.__dict__)
    yield module
    del sys.modules[module.__name__]


def test_a_stronger_penalty_gives_a_smaller_code(page, iris):
    def size(alpha: float) -> float:
        model = page.RidgeCodeAutoencoder(
            2, alpha=alpha, max_iter=30, early_stopping=False, shortcut=None, random_state=0
        )
        return model.fit(iris).history_["ridge"][-1] / alpha

    assert size(1.0) < 0.5 * size(0.01)


def test_it_has_all_that_estimators_have(page, iris):
    model = page.RidgeCodeAutoencoder(2, max_iter=3, random_state=0).fit(iris)
    assert set(model.history_) == {"reconstruction", "ridge"}
    assert clone(model).get_params()["alpha"] == 0.1
    with pytest.raises(ValueError, match="The 'alpha' parameter"):
        page.RidgeCodeAutoencoder(2, alpha=-1.0).fit(iris)


def test_scikit_learn_checks_it(page):
    fast = page.RidgeCodeAutoencoder(hidden_layer_sizes=(8,), max_iter=3, random_state=0)
    check_estimator(fast, on_skip=None)


def test_a_weight_of_zero_changes_no_bit(page, iris):
    parameters = {"max_iter": 5, "random_state": 0}
    without = Autoencoder(2, transform_max_iter=0, **parameters).fit(iris)
    zero = page.RidgeCodeAutoencoder(2, alpha=0.0, **parameters).fit(iris)
    assert np.array_equal(without.transform(iris), zero.transform(iris))


def test_a_code_with_a_ridge_penalty_is_rotated_to_its_principal_axes(page, iris):
    model = page.RidgeCodeAutoencoder(3, alpha=0.01, max_iter=20, random_state=0).fit(iris)
    covariance = np.cov(model.transform(iris), rowvar=False)
    np.testing.assert_allclose(covariance, np.diag(np.diag(covariance)), atol=1e-4)


def test_a_penalty_and_a_corruption_combine(page, iris, monkeypatch):
    seen = []

    class Recorded(page.NoisyRidgeCodeAutoencoder):
        def _corruption(self, model, data):
            add_noise = super()._corruption(model, data)

            def recorded(batch: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
                inputs = add_noise(batch, generator)
                seen.append(float((inputs - batch).std()))
                return inputs

            return recorded

    model = Recorded(2, max_iter=3, random_state=0).fit(iris)
    assert set(model.history_) == {"reconstruction", "ridge"}
    n_steps = 3 * round(len(iris) / 16)
    assert len(seen) > n_steps  # every step, and the validation of every epoch
    np.testing.assert_allclose(np.mean(seen), 0.1, rtol=0.1)

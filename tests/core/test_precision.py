"""Training with products of reduced precision: the same result, to what its rounding is."""

from __future__ import annotations

import numpy as np
import pytest
from instances import AUTOENCODERS, make_fast
from sklearn.base import clone

from skae import Autoencoder


@pytest.fixture
def reduced(monkeypatch):
    """Reduce on any machine, and in steps of any size."""
    monkeypatch.setattr("skae.core.numerics.has_bfloat16_units", lambda device_type: True)
    monkeypatch.setattr("skae.core.numerics.SMALL_STEP", 0.0)


def errors(model, X: np.ndarray) -> np.ndarray:
    return model.fit(X[:300]).reconstruction_error(X[300:400])


@pytest.mark.parametrize("estimator_class", AUTOENCODERS, ids=lambda cls: cls.__name__)
def test_reduced_precision_learns_the_same(estimator_class, digits, reduced):
    X = digits / 16.0
    exact = make_fast(estimator_class, early_stopping=False)
    expected = errors(exact, X)
    given = errors(clone(exact).set_params(precision="bfloat16"), X)
    assert not np.array_equal(given, expected)
    assert np.linalg.norm(given - expected) < 0.02 * np.linalg.norm(expected)


def test_the_start_is_pca_in_reduced_precision_too(digits, reduced):
    starts = [
        Autoencoder(8, max_iter=1, precision=precision, random_state=0)
        .fit(digits)
        .validation_scores_[0]
        for precision in ("float32", "bfloat16")
    ]
    assert starts[0] == starts[1]

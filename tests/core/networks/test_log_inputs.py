"""The logarithm that the encoder of counts takes."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from skae.fitting.data import mean_and_scale, training_rows
from skae.fitting.loss_init import LogOfCounts


def both_ways(X: np.ndarray, *, by_total: bool) -> tuple[np.ndarray, np.ndarray]:
    """Return the standardised logarithms of the map, and as computed from X itself."""
    logarithm = LogOfCounts(X, None, by_total=by_total)
    logs = logarithm(X)
    units, of_logs = mean_and_scale(X), mean_and_scale(logs)
    z = training_rows(X, *units)
    found = logarithm.input_map(*units, *of_logs).float()(z)
    return found.numpy(), (logs - of_logs[0]) / of_logs[1]


@pytest.mark.parametrize("by_total", [False, True])
@pytest.mark.parametrize("scale", [1e-100, 1.0, 1e8])
def test_equals_the_logarithm_of_the_counts(by_total, scale):
    rng = np.random.default_rng(0)
    X = scale * rng.poisson(np.exp(rng.normal(0, 2, (50, 1)) + rng.normal(0, 1, (50, 6))))
    X[3] = 0.0
    found, expected = both_ways(X, by_total=by_total)
    np.testing.assert_allclose(found, expected, atol=2e-4)


@pytest.mark.parametrize("by_total", [False, True])
def test_small_deviations_from_a_large_mean_keep_their_digits(by_total):
    X = 1e6 + np.random.default_rng(0).normal(size=(50, 6))
    found, expected = both_ways(X, by_total=by_total)
    np.testing.assert_allclose(found, expected, atol=1e-3)
    assert found.std() == pytest.approx(1, abs=1e-3)


def test_is_finite_below_zero_where_noise_may_take_a_count():
    X = np.random.default_rng(0).poisson(2.0, (50, 6)).astype(float)
    logarithm = LogOfCounts(X, None, by_total=False)
    units, of_logs = mean_and_scale(X), mean_and_scale(logarithm(X))
    function = logarithm.input_map(*units, *of_logs)
    zero, below = (
        function((torch.full((1, 6), value) - torch.from_numpy(units[0])) / units[1])
        for value in (0.0, -5.0)
    )
    torch.testing.assert_close(below, zero)


def test_unit_of_a_count():
    counts = np.array([[0.0, 3.0], [1.0, 40.0]])
    assert LogOfCounts(counts, None, by_total=False).unit == 1.0
    assert LogOfCounts(1e-9 * counts, None, by_total=False).unit == pytest.approx(1e-9)
    continuous = np.array([[1e-30, 5.0], [2.0, 4.0]])
    assert LogOfCounts(continuous, None, by_total=False).unit == pytest.approx(11 / 4 / 1000)

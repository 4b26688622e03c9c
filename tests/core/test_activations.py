"""Activations against their formulas."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from skae.core.activations import ACTIVATIONS


@pytest.mark.parametrize(
    ("name", "oracle"),
    [
        ("identity", lambda x: x),
        ("relu", lambda x: np.maximum(x, 0)),
        ("tanh", np.tanh),
        ("logistic", lambda x: 1 / (1 + np.exp(-x))),
        ("silu", lambda x: x / (1 + np.exp(-x))),
    ],
)
def test_activation_is_its_formula(name, oracle):
    x = torch.linspace(-4, 4, 33, dtype=torch.float64)
    np.testing.assert_allclose(ACTIVATIONS[name].function(x).numpy(), oracle(x.numpy()), atol=1e-12)


def test_gelu_is_x_times_the_normal_distribution():
    x = torch.linspace(-4, 4, 33, dtype=torch.float64)
    expected = x * torch.distributions.Normal(0.0, 1.0).cdf(x)
    torch.testing.assert_close(ACTIVATIONS["gelu"].function(x), expected, rtol=0, atol=1e-7)

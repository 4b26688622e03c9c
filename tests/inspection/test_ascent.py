"""Inputs that maximise an activation, where they are known in closed form."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.datasets import load_digits

from skae import Autoencoder, HashingAutoencoder
from skae.core.ascent import maximise
from skae.inspection import activations, maximize_activation

X = load_digits().data[:400]


@pytest.fixture(scope="module")
def linear():
    return Autoencoder(4, hidden_layer_sizes=(), max_iter=3, random_state=0).fit(X)


@pytest.fixture(scope="module")
def deep():
    return Autoencoder(4, hidden_layer_sizes=(32, 16), max_iter=8, random_state=0).fit(X)


def rms_distance():
    return np.sqrt(np.square(X - X.mean(axis=0)).sum(axis=1).mean())


def test_a_linear_unit_within_a_ball(linear):
    """The answer is the mean plus the radius along the weights."""
    direction = linear.components_[1] / np.linalg.norm(linear.components_[1])
    for radius in (None, 3.0):
        found = maximize_activation(linear, 1, radius=radius, random_state=0)
        length = rms_distance() if radius is None else radius
        assert_allclose(found.input, X.mean(axis=0) + length * direction, atol=1e-6 * length)
        assert found.activation == pytest.approx(length)  # PCA's rows have norm 1
        assert_allclose(found.activations, length)


def test_a_linear_unit_within_a_box(linear):
    """The answer is the corner that the signs of the weights name."""
    weights = linear.components_[2]
    varies = X.std(axis=0) > 0
    found = maximize_activation(linear, 2, bounds=(0, 16), random_state=0)
    assert_allclose(found.input[varies], np.where(weights > 0, 16.0, 0.0)[varies], atol=1e-9)
    low, high = X.min(axis=0), X.max(axis=0)
    found = maximize_activation(linear, 2, bounds=(low, high), random_state=0)
    assert_allclose(found.input[varies], np.where(weights > 0, high, low)[varies], atol=1e-9)


def test_a_box_within_a_ball(linear):
    found = maximize_activation(linear, 0, bounds=(0, 16), radius=20.0, random_state=0)
    for row in found.inputs:
        assert np.linalg.norm(row - X.mean(axis=0)) <= 20.0 + 1e-9
        assert row.min() >= -1e-12
        assert row.max() <= 16.0 + 1e-12


def best_in_box_and_ball(weights, low, high, radius):
    """Return where a linear function is highest: t times its weights, cut at the bounds."""
    shortest, longest = 0.0, 1e9
    for _ in range(200):
        t = (shortest + longest) / 2
        inside = np.linalg.norm(np.clip(t * weights, low, high)) <= radius
        shortest, longest = (t, longest) if inside else (shortest, t)
    return np.clip(shortest * weights, low, high)


@pytest.mark.parametrize("radius", [20.0, 30.0, 36.0])
def test_a_linear_unit_within_a_box_and_a_ball(linear, radius):
    """The function is concave, so every restart ends at the same maximum."""
    mean = X.mean(axis=0)
    for unit, weights in enumerate(linear.components_):
        best = best_in_box_and_ball(weights, -mean, 16 - mean, radius)
        found = maximize_activation(linear, unit, bounds=(0, 16), radius=radius, random_state=0)
        assert_allclose(found.activations, weights @ best, rtol=1e-6)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1), st.floats(1e-6, 1e6))
def test_a_quadratic_function_on_a_ball(seed, factor):
    """Its maximum is the first eigenvector, whatever the scale of the function."""
    rng = np.random.default_rng(seed)
    root = rng.normal(size=(6, 6))
    matrix = torch.from_numpy(root @ root.T)
    values, vectors = torch.linalg.eigh(matrix)

    def project(x):
        return x / x.norm(dim=1, keepdim=True).clamp_min(2.0) * 2.0

    starts = project(torch.from_numpy(rng.normal(size=(4, 6))))
    found, reached = maximise(
        lambda x: factor * ((x @ matrix) * x).sum(1), starts, project, 2.0, 2000
    )
    assert_allclose(reached, 4 * factor * values[-1], rtol=1e-6)
    assert_allclose((found @ vectors[:, -1]).abs(), 2.0, rtol=1e-2)


def test_a_concave_function_has_its_maximum_inside():
    centre = torch.tensor([[0.3, -0.2, 0.1]], dtype=torch.float64)
    scales = torch.tensor([1.0, 10.0, 100.0], dtype=torch.float64)
    found, values = maximise(
        lambda x: -(scales * (x - centre).square()).sum(1),
        torch.zeros(2, 3, dtype=torch.float64),
        lambda x: x / x.norm(dim=1, keepdim=True).clamp_min(1.0),
        1.0,
        1000,
    )
    assert_allclose(found, centre.expand(2, 3), atol=1e-4)
    assert_allclose(values, 0.0, atol=1e-6)


def test_nothing_to_climb():
    start = torch.ones(2, 3, dtype=torch.float64)
    found, values = maximise(lambda x: 0.0 * x.sum(1), start, lambda x: x, 1.0, 100)
    assert_array_equal(found, start)
    assert_array_equal(values, 0.0)


@pytest.mark.parametrize("layer", [0, 1, "code", 3])
def test_no_row_within_reach_activates_a_unit_more(deep, layer):
    found = maximize_activation(deep, 3, layer=layer, bounds=(0, 16), random_state=0)
    assert found.activation >= activations(deep, X, layer=layer)[:, 3].max()
    assert (np.diff(found.activations) <= 1e-12 * abs(found.activation)).all()
    # Nor a small step: the best of small random changes is no better.
    noise = np.random.default_rng(0).normal(scale=0.05, size=(200, 64))
    nearby = np.clip(found.input + noise, 0, 16)
    assert activations(deep, nearby, layer=layer)[:, 3].max() <= found.activation * (1 + 1e-6)


def test_the_seed_decides(deep):
    state = torch.get_rng_state()
    one, two, three = (
        maximize_activation(deep, 3, layer=1, max_iter=2, random_state=seed) for seed in (0, 0, 1)
    )
    assert_array_equal(one.inputs, two.inputs)
    assert not np.array_equal(one.inputs, three.inputs)
    assert_array_equal(state, torch.get_rng_state())


def test_inputs_stay_in_the_domain_of_the_loss():
    logistic = Autoencoder(2, loss="log_loss", hidden_layer_sizes=(8,), max_iter=2, random_state=0)
    found = maximize_activation(logistic.fit(X / 16), 0, random_state=0)
    assert found.inputs.min() >= -1e-12
    assert found.inputs.max() <= 1 + 1e-12
    counts = Autoencoder(2, loss="poisson", hidden_layer_sizes=(8,), max_iter=2, random_state=0)
    assert maximize_activation(counts.fit(X), 0, random_state=0).inputs.min() >= -1e-9


def test_layers_after_bits_have_no_gradient():
    hashing = HashingAutoencoder(4, max_iter=2, random_state=0).fit(X)
    with pytest.raises(ValueError, match="layer=-1 follows bits"):
        maximize_activation(hashing, 0, layer=-1)


@pytest.mark.parametrize(
    ("parameters", "text"),
    [
        ({"bounds": (17, 20)}, r"must contain mean_, .* for 64 of 64 features, .* is x0"),
        ({"bounds": 3}, r"bounds must be a pair"),
        ({"bounds": (np.zeros(3), 1)}, r"each of the 64 features"),
        ({"bounds": (16, 0)}, r"no low may be above its high"),
        ({"bounds": ("a", "b")}, r"bounds must be a pair"),
        ({"bounds": (np.nan, 16)}, r"must be a pair \(low, high\) of numbers"),
        ({"radius": 0}, r"radius must be None or a number above 0.* Got 0"),
        ({"radius": np.inf}, r"at most .* Got inf"),
        ({"radius": 1e200}, r"at most .* Got 1e\+200"),
        ({"radius": "2"}, r"Got '2'"),
        ({"n_restarts": 0}, r"n_restarts=0 must be an int of 1 or more"),
        ({"max_iter": -1}, r"max_iter=-1 must be an int of 0 or more"),
        ({"unit": 4}, r"Layer 'code' has 4 units, so unit must be an int from 0 to 3. Got 4"),
    ],
)
def test_bad_parameters(linear, parameters, text):
    with pytest.raises(ValueError, match=text):
        maximize_activation(linear, **({"unit": 0} | parameters))

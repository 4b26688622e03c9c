"""Penalties against closed forms, and invariance to the scale of the code."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.stats import entropy

from skae.core.networks.autoencoder import Architecture, build_network
from skae.core.penalties import (
    bernoulli_divergence,
    l1,
    l2,
    largest_unused,
    student_t,
    unit_gains,
)


def decoder(hidden=(), *, n_models=None, activation="relu", tied=False):
    architecture = Architecture(6, 4, hidden, activation, tied_weights=tied)
    generator = torch.Generator().manual_seed(0)
    network = build_network(architecture, generator=generator, n_models=n_models or 1).double()
    return (network.select_model(0) if n_models is None else network).decoder


def test_values_by_hand():
    h = torch.tensor([[1.0, -2.0], [0.0, 3.0]])
    assert float(l1(h)) == pytest.approx((1 + 2 + 3) / 2)
    assert float(l2(h)) == pytest.approx((1 + 4 + 9) / 2)
    expected = (math.log(2) + math.log(5) + math.log(10)) / 2
    assert float(student_t(h)) == pytest.approx(expected)


def test_divergence_is_that_of_bernoulli_variables():
    code = torch.rand(50, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    rates = code.mean(0).numpy()
    expected = sum(entropy([0.1, 0.9], [rate, 1 - rate]) for rate in rates)
    assert float(bernoulli_divergence(code, 0.1)) == pytest.approx(expected)
    at_target = torch.full((5, 3), 0.1, dtype=torch.float64)
    assert float(bernoulli_divergence(at_target, 0.1)) == pytest.approx(0, abs=1e-12)


def test_divergence_of_a_collapsed_unit_is_finite_and_activates_it():
    code = torch.zeros(5, 2, requires_grad=True)
    value = bernoulli_divergence(code + 1e-5, 0.1)
    value.backward()
    assert torch.isfinite(value)
    assert (code.grad < 0).all()


def test_gains_of_one_layer_are_the_norms_of_its_atoms():
    net = decoder()
    expected = np.linalg.norm(net.layers[0].weight.detach(), axis=1) / math.sqrt(6)
    assert unit_gains(net).detach().numpy()[0] == pytest.approx(expected)
    skip = torch.randn(4, 6, dtype=torch.float64)
    net.set_skip(skip, None)
    net.scale = 0.5
    atoms = 0.5 * net.layers[0].weight.detach() + skip
    expected = np.linalg.norm(atoms, axis=1) / math.sqrt(6)
    assert unit_gains(net).detach().numpy()[0] == pytest.approx(expected)


@pytest.mark.parametrize("hidden", [(), (5,), (5, 7)])
@pytest.mark.parametrize("tied", [False, True])
def test_shrinking_the_code_and_growing_any_decoder_layer_changes_no_size(hidden, tied):
    """The scale escape: a penalty on ``code * gains`` is blind to it."""
    net = decoder(hidden, tied=tied)
    before = unit_gains(net).detach()
    for layer in net.layers:
        with torch.no_grad():
            layer.weight.mul_(10.0)
        assert torch.allclose(unit_gains(net).detach() / 10.0, before)
        with torch.no_grad():
            layer.weight.div_(10.0)


@pytest.mark.parametrize("hidden", [(), (5,)])
def test_gains_with_a_model_axis_are_those_of_each_model(hidden):
    both = decoder(hidden, n_models=2)
    with torch.no_grad():
        both.layers[0].weight[1].mul_(3.0)
    gains = unit_gains(both).detach()
    assert gains.shape == (2, 1, 4)
    assert torch.allclose(gains[0, 0], unit_gains(decoder(hidden)).detach()[0])
    assert torch.allclose(gains[1], 3 * gains[0])


def test_unused_units_are_those_that_no_row_of_the_batch_uses():
    units = torch.tensor([[5.0, 4.0, 3.0, 2.0], [5.0, 1.0, 2.0, 4.0]])
    code = torch.tensor([[5.0, 0.0, 0.0, 0.0], [5.0, 0.0, 0.0, 0.0]])
    expected = torch.tensor([[0.0, 4.0, 0.0, 0.0], [0.0, 0.0, 0.0, 4.0]])
    assert torch.equal(largest_unused(units, code, 1), expected)
    # More asked for than there are: no infinity comes through.
    assert torch.equal(largest_unused(units, code, 4), units * torch.tensor([0.0, 1, 1, 1]))
    assert largest_unused(units, units, 2) is None


@pytest.mark.parametrize("hidden", [(), (5,)])
def test_gains_have_a_gradient_where_a_unit_adds_nothing(hidden):
    """A start at PCA: the layers are 0, and so is the skip beyond the rank of the data."""
    net = decoder(hidden)
    with torch.no_grad():
        net.layers[-1].weight.zero_()
    net.set_skip(torch.zeros(4, 6, dtype=torch.float64), None)
    unit_gains(net).sum().backward()
    assert all(torch.isfinite(p.grad).all() for p in net.parameters() if p.grad is not None)

"""The code of a hashing network: noisy in an autoencoder's training, and binary afterwards."""

from __future__ import annotations

import pytest
import torch

from skae.core.networks.autoencoder import build_network
from skae.core.networks.hashing import HashingArchitecture, HashingNetwork


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def build() -> HashingNetwork:
    network = build_network(HashingArchitecture(6, 4, (5,), "tanh"), generator=seeded())
    network.set_generator(seeded(1))
    return network


def rows(n: int) -> torch.Tensor:
    return torch.randn(1, n, 6, generator=seeded())


def test_code_is_binary_outside_of_training():
    code = build().eval().encode(rows(20))
    assert set(code.unique().tolist()) == {0.0, 1.0}


def test_straight_through_is_binary_with_the_gradient_of_the_logistic_code():
    gradients = []
    for straight_through in (False, True):
        network = build()
        code = network.noisy_code(rows(20), 1.0, straight_through=straight_through)
        code.sum().backward()
        gradients.append(network.encoder.layers[0].weight.grad)
        assert torch.equal(code.detach().round(), code.detach()) == straight_through
    torch.testing.assert_close(*gradients)
    assert float(gradients[0].abs().max()) > 1e-3


def test_noise_has_its_level():
    network = build()
    x = rows(4000)
    units = network.encoder(x)
    code = network.noisy_code(x, 3.0, straight_through=False)
    noise = torch.logit(code.double(), eps=1e-9) - (units - units.mean(1, keepdim=True))
    usual = noise.abs() < 15  # beyond, the logistic function is 0 or 1 in float32
    assert float(noise[usual].detach().std()) == pytest.approx(3.0, rel=0.03)


def test_thresholds_follow_the_batches_in_training():
    network = build()
    x = rows(50) + 2.0
    for _ in range(200):
        network.noisy_code(x, 0.0, straight_through=False)
    expected = network.encoder(x).mean(1, keepdim=True).detach()
    torch.testing.assert_close(network.thresholds, expected)


def test_code_of_fine_tuning_is_binary_with_the_gradient_of_the_logistic_function():
    network, x = build(), rows(20)
    code = network.encode(x)
    assert set(code.detach().unique().tolist()) == {0.0, 1.0}
    weight = network.encoder.layers[0].weight
    (gradient,) = torch.autograd.grad(code.sum(), weight)
    logistic = torch.sigmoid(network.encoder(x) - network.thresholds)
    torch.testing.assert_close(gradient, *torch.autograd.grad(logistic.sum(), weight))
    assert torch.equal(code, network.eval().encode(x))

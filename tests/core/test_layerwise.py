"""A deep network as shallow ones that share its layers."""

from __future__ import annotations

import pytest
import torch

from skae.core.activations import ACTIVATIONS
from skae.core.backprop import hidden_derivative
from skae.core.layerwise import hidden_loss, hidden_model, layer_output, shallow_networks
from skae.core.networks.autoencoder import Architecture, build_network


@pytest.fixture
def network():
    architecture = Architecture(6, 2, (5, 4), "tanh", code_activation="identity")
    return build_network(architecture, generator=torch.Generator().manual_seed(0))


def test_shallow_networks_are_made_of_the_layers(network):
    shallow = shallow_networks(network)
    layers = network.encoder.layers, network.decoder.layers
    for i, part in enumerate(shallow):
        assert part.encoder.layers[0] is layers[0][i]
        assert part.decoder.layers[0] is layers[1][2 - i]
    assert [part.code_activation for part in shallow] == ["tanh", "tanh", "identity"]


def test_outputs_of_the_layers_make_the_code(network):
    x = torch.randn(9, 6, generator=torch.Generator().manual_seed(1))
    y = x
    for part in shallow_networks(network):
        y = layer_output(part, y)
    assert torch.equal(y, network.encode(x[None])[0])


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_derivative_of_the_hidden_loss_agrees_with_autograd(activation):
    generator = torch.Generator().manual_seed(0)
    output = torch.randn(4, 3, generator=generator, dtype=torch.float64, requires_grad=True)
    target = torch.rand(4, 3, generator=generator, dtype=torch.float64)
    hidden_loss(activation).function(output, target, reduction="none").sum().backward()
    derivative = hidden_derivative(activation)(output.detach(), target)
    assert derivative.numpy() == pytest.approx(output.grad.numpy())


def test_predicting_the_mean_of_a_layer_scores_one(network):
    h = torch.rand(50, 5, generator=torch.Generator().manual_seed(0))
    model = hidden_model(shallow_networks(network)[1], "identity", h)
    assert float(model.reconstruction(h.mean(0).expand_as(h), h)) == pytest.approx(1.0)

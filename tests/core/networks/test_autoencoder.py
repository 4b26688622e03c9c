"""Networks of encoder and decoder: sizes, the start at zero, tied weights and the model axis."""

from __future__ import annotations

import pytest
import torch

from skae.core.activations import ACTIVATIONS
from skae.core.networks.autoencoder import Architecture, AutoencoderNetwork, build_network
from skae.core.networks.conv import ConvolutionalArchitecture
from skae.core.networks.dictionary import DictionaryArchitecture


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def build(*, n_models=None, zero_output=False, **changes) -> AutoencoderNetwork:
    """Return a network, without a model axis where `n_models` is None."""
    architecture = Architecture(
        **{"n_features": 7, "n_components": 3, "hidden_layer_sizes": (5, 4)} | changes
    )
    network = build_network(
        architecture, generator=seeded(), n_models=n_models or 1, zero_output=zero_output
    )
    return network.select_model(0) if n_models is None else network


def rows(n=11, d=7):
    return torch.randn(n, d, generator=seeded(1))


def n_weights(network):
    return sum(p.numel() for name, p in network.named_parameters() if name.endswith("weight"))


@pytest.mark.parametrize(
    "architecture",
    [
        Architecture(7, 3, ()),
        Architecture(7, 30, (5, 4)),
        Architecture(7, 3, (5, 40)),
        ConvolutionalArchitecture(30, 3, (6,), image_shape=(1, 5, 6), channels=(4, 8)),
        ConvolutionalArchitecture(600, 3, (6,), image_shape=(6, 10, 10), channels=(2, 4)),
    ],
)
def test_max_width_is_the_size_of_the_largest_output_of_a_layer(architecture):
    network = build_network(architecture, generator=seeded()).select_model(0)
    sizes = [architecture.n_features]
    for layer in [*network.encoder.stages(), *network.decoder.modules()]:
        layer.register_forward_hook(lambda layer, x, y: sizes.append(y.numel() // len(y)))
    network(rows(3, architecture.n_features))
    assert architecture.max_width() == max(sizes)
    assert network.max_width == max(sizes)


def test_decoder_mirrors_the_encoder():
    network = build()
    encoder = [tuple(layer.weight.shape) for layer in network.encoder.layers]
    decoder = [tuple(layer.weight.shape) for layer in network.decoder.layers]
    assert encoder == [(7, 5), (5, 4), (4, 3)]
    assert decoder == [(3, 4), (4, 5), (5, 7)]


def test_no_hidden_layers_is_one_layer_each_way():
    network = build(hidden_layer_sizes=())
    assert [tuple(layer.weight.shape) for layer in network.encoder.layers] == [(7, 3)]


@pytest.mark.parametrize("activation", sorted(ACTIVATIONS))
@pytest.mark.parametrize("tied_weights", [False, True])
@pytest.mark.parametrize("hidden_layer_sizes", [(), (5,), (5, 4)])
def test_encoder_and_decoder_start_at_zero(activation, tied_weights, hidden_layer_sizes):
    network = build(
        zero_output=True,
        activation=activation,
        tied_weights=tied_weights,
        hidden_layer_sizes=hidden_layer_sizes,
    )
    x = rows()
    assert network.encoder(x).abs().max() == 0
    # The decoder is evaluated where the start is: at a code of 0.
    assert network.decoder(torch.zeros(2, 3)).abs().max() < 1e-6


def test_tied_weights_are_one_tensor_and_half_as_many():
    tied, untied = build(tied_weights=True), build()
    for encoding, decoding in zip(tied.encoder.layers, reversed(tied.decoder.layers), strict=True):
        assert encoding.weight is decoding.weight
    assert 2 * n_weights(tied) == n_weights(untied)


@pytest.mark.parametrize("tied_weights", [False, True])
def test_each_model_of_an_axis_computes_what_it_computes_alone(tied_weights):
    stacked = build(n_models=3, tied_weights=tied_weights)
    with torch.no_grad():
        for p in stacked.parameters():
            p.add_(torch.randn(p.shape, generator=seeded(6)), alpha=0.3)
    x = torch.randn(3, 11, 7, generator=seeded(7))
    together = stacked(x)
    for i in range(3):
        torch.testing.assert_close(stacked.select_model(i)(x[i]), together[i])


def test_models_of_an_axis_start_alike():
    for p in build(n_models=3).parameters():
        assert torch.equal(p[0], p[1])
        assert torch.equal(p[0], p[2])


def test_selecting_a_model_keeps_weights_tied():
    network = build(n_models=2, tied_weights=True).select_model(1)
    assert network.encoder.layers[0].weight is network.decoder.layers[-1].weight


@pytest.mark.parametrize(
    "architecture",
    [
        Architecture(20, 3, (7, 5)),
        Architecture(20, 3, (7, 5), tied_weights=True),
        Architecture(20, 3, ()),
        DictionaryArchitecture(20, 30, (7,)),
        ConvolutionalArchitecture(2 * 9 * 7, 3, (6,), image_shape=(2, 9, 7), channels=(4, 5)),
    ],
    ids=str,
)
def test_weights_are_counted_before_a_network_is_built(architecture):
    network = build_network(architecture, generator=torch.Generator())
    assert architecture.n_weights() == n_weights(network)

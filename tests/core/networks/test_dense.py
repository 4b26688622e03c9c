"""Dense layers, and MLPs with their skip connection, initial weights and dropout."""

from __future__ import annotations

import pytest
import torch

from skae.core.activations import ACTIVATIONS
from skae.core.networks.autoencoder import Architecture, AutoencoderNetwork, build_network
from skae.core.networks.dense import Dense
from skae.core.refine import with_gradients


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def build(**changes) -> AutoencoderNetwork:
    """Return a network without a model axis."""
    architecture = Architecture(
        **{"n_features": 7, "n_components": 3, "hidden_layer_sizes": (5, 4)} | changes
    )
    return build_network(architecture, generator=seeded()).select_model(0)


def rows(n=11, d=7):
    return torch.randn(n, d, generator=seeded(1))


def test_dense_is_an_affine_map():
    weight, bias, x = torch.randn(1, 7, 4), torch.randn(1, 1, 4), rows()[None]
    layer = Dense(weight)
    assert not layer.bias.any()
    layer.bias.data.copy_(bias)
    torch.testing.assert_close(layer(x), x @ weight + bias)


def test_transposed_dense_uses_the_transpose():
    weight, bias, x = torch.randn(1, 4, 7), torch.randn(1, 1, 4), rows()[None]
    layer = Dense(weight, transposed=True)
    layer.bias.data.copy_(bias)
    torch.testing.assert_close(layer(x), x @ weight.mT + bias)


def test_mlp_is_its_formula():
    network = build(activation="tanh", code_activation="logistic").double()
    x = rows().double()
    skip = torch.randn(7, 3, generator=seeded(2)).double()
    skip_bias = torch.randn(3, generator=seeded(3)).double()
    network.encoder.set_skip(skip, skip_bias)
    network.encoder.scale = 0.25

    y = x
    first, second, last = network.encoder.layers
    for layer in (first, second):
        y = torch.tanh(y @ layer.weight + layer.bias)
    y = 0.25 * (y @ last.weight + last.bias) + x @ skip + skip_bias
    torch.testing.assert_close(network.encode(x), torch.sigmoid(y))


@pytest.mark.parametrize("activation", ["relu", "gelu", "silu", "tanh", "identity"])
def test_initial_weights_keep_the_variance_of_a_signal(activation):
    network = build(
        n_features=300, n_components=300, hidden_layer_sizes=(300,) * 4, activation=activation
    )
    code = network.encode(torch.randn(400, 300, generator=seeded(5)))
    assert 0.1 < code.square().mean() < 4


def test_dropout_has_the_mean_of_the_network_without():
    network = build(hidden_layer_sizes=(5,), dropout=0.4)
    network.set_generator(seeded(8))
    x = rows(1)
    dropped = network.encoder(x.expand(4000, -1))
    standard_error = dropped.std(0) / len(dropped) ** 0.5
    network.eval()
    assert ((dropped.mean(0) - network.encoder(x)[0]).abs() < 5 * standard_error).all()


def test_dropout_draws_from_its_generator_alone():
    network, x = build(dropout=0.5), rows()
    state = torch.get_rng_state()
    network.set_generator(seeded(9))
    first = network(x)
    network.set_generator(seeded(9))
    assert torch.equal(network(x), first)
    assert torch.equal(torch.get_rng_state(), state)


def test_skip_survives_a_change_of_precision():
    network = build()
    exact = torch.randn(7, 3, generator=seeded(10), dtype=torch.float64)
    network.encoder.set_skip(exact, None)
    network.float().double()
    assert not torch.equal(network.encoder.skip, exact)
    network.restore_skips()
    assert torch.equal(network.encoder.skip, exact)


@pytest.mark.parametrize("tied", [False, True], ids=["untied", "tied"])
@pytest.mark.parametrize("has_skip", [False, True], ids=["no_skip", "skip"])
@pytest.mark.parametrize("hidden", [(), (5, 4)], ids=["linear", "deep"])
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_distances_have_the_gradient_of_autograd(activation, hidden, has_skip, tied):
    network = build(activation=activation, hidden_layer_sizes=hidden, tied_weights=tied).double()
    decoder, target = network.decoder, rows().double()
    decoder.scale = 0.25
    if has_skip:
        skip, bias = (torch.randn(n, 7, generator=seeded(2)).double() for n in (3, 1))
        decoder.set_skip(skip, bias[0])
    codes = torch.randn(4, 3, generator=seeded(3)).double()
    chosen = torch.tensor([2, 3, 5, 8])

    def losses(codes, rows):
        return 0.5 * (decoder(codes) - target[rows]).square().sum(1)

    with torch.no_grad():
        found = decoder.distances_to(target)(codes, chosen)
    torch.testing.assert_close(found, with_gradients(losses)(codes, chosen))

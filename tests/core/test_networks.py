from __future__ import annotations

import numpy as np
import pytest
import torch

from skae._core.convolution import ConvolutionalArchitecture
from skae._core.networks import ACTIVATIONS, Architecture, Dense, build_network, select_model
from skae._core.predictive import PredictiveArchitecture


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def network_of(*, n_models=None, start_at_zero=False, **changes):
    architecture = Architecture(
        **{"n_features": 7, "n_components": 3, "hidden_layer_sizes": (5, 4)} | changes
    )
    return build_network(
        architecture, generator=seeded(), n_models=n_models, start_at_zero=start_at_zero
    )


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
def test_widest_is_the_most_numbers_that_any_layer_makes_of_a_row(architecture):
    network = build_network(architecture, generator=seeded())
    seen = [architecture.n_features]
    for half in (network.encoder, network.decoder):
        for layer in half.all_layers() if half is network.encoder else half.modules():
            layer.register_forward_hook(lambda layer, x, y: seen.append(y.numel() // len(y)))
    network(rows(3, architecture.n_features))
    assert architecture.widest() == max(seen)


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
    np.testing.assert_allclose(ACTIVATIONS[name](x).numpy(), oracle(x.numpy()), atol=1e-12)


def test_gelu_is_x_times_the_normal_distribution():
    x = torch.linspace(-4, 4, 33, dtype=torch.float64)
    expected = x * torch.distributions.Normal(0.0, 1.0).cdf(x)
    torch.testing.assert_close(ACTIVATIONS["gelu"](x), expected, rtol=0, atol=1e-7)


def test_dense_is_an_affine_map():
    weight, bias, x = torch.randn(7, 4), torch.randn(4), rows()
    torch.testing.assert_close(Dense(weight, bias)(x), x @ weight + bias)


def test_transposed_dense_uses_the_transpose():
    weight, bias, x = torch.randn(4, 7), torch.randn(4), rows()
    torch.testing.assert_close(Dense(weight, bias, transposed=True)(x), x @ weight.T + bias)


def test_network_is_its_formula():
    network = network_of(activation="tanh", code_activation="logistic").double()
    x = rows().double()
    shortcut = torch.randn(7, 3, generator=seeded(2)).double()
    offset = torch.randn(3, generator=seeded(3)).double()
    network.encoder.set_linear_path(shortcut, offset)
    network.encoder.scale = 0.25

    y = x
    first, second, last = network.encoder.layers
    for layer in (first, second):
        y = torch.tanh(y @ layer.weight + layer.bias)
    y = 0.25 * (y @ last.weight + last.bias) + x @ shortcut + offset
    torch.testing.assert_close(network.encode(x), torch.sigmoid(y))


def test_decoder_mirrors_the_encoder():
    network = network_of()
    encoder = [tuple(layer.weight.shape) for layer in network.encoder.layers]
    decoder = [tuple(layer.weight.shape) for layer in network.decoder.layers]
    assert encoder == [(7, 5), (5, 4), (4, 3)]
    assert decoder == [(3, 4), (4, 5), (5, 7)]


def test_no_hidden_layers_is_one_layer_each_way():
    network = network_of(hidden_layer_sizes=())
    assert [tuple(layer.weight.shape) for layer in network.encoder.layers] == [(7, 3)]


@pytest.mark.parametrize("activation", sorted(ACTIVATIONS))
@pytest.mark.parametrize("tied_weights", [False, True])
@pytest.mark.parametrize("hidden_layer_sizes", [(), (5,), (5, 4)])
def test_both_halves_start_at_zero(activation, tied_weights, hidden_layer_sizes):
    network = network_of(
        start_at_zero=True,
        activation=activation,
        tied_weights=tied_weights,
        hidden_layer_sizes=hidden_layer_sizes,
    )
    x = rows()
    assert network.encoder(x).abs().max() == 0
    # The decoder is asked where the start is: at a code of 0.
    assert network.decoder(torch.zeros(2, 3)).abs().max() < 1e-6


@pytest.mark.parametrize("activation", ["relu", "gelu", "silu", "tanh", "identity"])
def test_fresh_weights_keep_a_signal_alive(activation):
    network = network_of(
        n_features=300, n_components=300, hidden_layer_sizes=(300,) * 4, activation=activation
    )
    code = network.encode(torch.randn(400, 300, generator=seeded(5)))
    assert 0.1 < code.square().mean() < 4


def test_tied_weights_are_one_tensor_and_half_as_many():
    tied, untied = network_of(tied_weights=True), network_of()
    for encoding, decoding in zip(tied.encoder.layers, reversed(tied.decoder.layers), strict=True):
        assert encoding.weight is decoding.weight
    assert 2 * n_weights(tied) == n_weights(untied)


@pytest.mark.parametrize("tied_weights", [False, True])
def test_each_model_of_an_axis_computes_what_it_computes_alone(tied_weights):
    stacked = network_of(n_models=3, tied_weights=tied_weights)
    with torch.no_grad():
        for p in stacked.parameters():
            p.add_(torch.randn(p.shape, generator=seeded(6)), alpha=0.3)
    x = torch.randn(3, 11, 7, generator=seeded(7))
    together = stacked(x)
    for i in range(3):
        alone = network_of(n_models=3, tied_weights=tied_weights)
        alone.load_state_dict(stacked.state_dict())
        torch.testing.assert_close(select_model(alone, i)(x[i]), together[i])


def test_models_of_an_axis_start_alike():
    for p in network_of(n_models=3).parameters():
        assert torch.equal(p[0], p[1])
        assert torch.equal(p[0], p[2])


def test_selecting_a_model_keeps_weights_tied():
    network = select_model(network_of(n_models=2, tied_weights=True), 1)
    assert network.encoder.layers[0].weight is network.decoder.layers[-1].weight


def test_dropout_has_the_mean_of_the_network_without():
    network = network_of(hidden_layer_sizes=(5,), dropout=0.4)
    network.set_generator(seeded(8))
    x = rows(1)
    dropped = network.encoder(x.expand(4000, -1))
    standard_error = dropped.std(0) / len(dropped) ** 0.5
    network.eval()
    assert ((dropped.mean(0) - network.encoder(x)[0]).abs() < 5 * standard_error).all()


def test_dropout_draws_from_its_generator_alone():
    network, x = network_of(dropout=0.5), rows()
    state = torch.get_rng_state()
    network.set_generator(seeded(9))
    first = network(x)
    network.set_generator(seeded(9))
    assert torch.equal(network(x), first)
    assert torch.equal(torch.get_rng_state(), state)


def test_linear_path_survives_a_change_of_precision():
    network = network_of()
    exact = torch.randn(7, 3, generator=seeded(10), dtype=torch.float64)
    network.encoder.set_linear_path(exact, None)
    network.float().double()
    assert not torch.equal(network.encoder.shortcut, exact)
    network.restore_linear_paths()
    assert torch.equal(network.encoder.shortcut, exact)


@pytest.mark.parametrize(
    "architecture",
    [
        Architecture(20, 3, (7, 5)),
        Architecture(20, 3, (7, 5), tied_weights=True),
        Architecture(20, 3, ()),
        PredictiveArchitecture(20, 30, (7,)),
        ConvolutionalArchitecture(2 * 9 * 7, 3, (6,), image_shape=(2, 9, 7), channels=(4, 5)),
    ],
    ids=str,
)
def test_weights_are_counted_before_a_network_is_made(architecture):
    network = build_network(architecture, generator=torch.Generator())
    weights = [p for name, p in network.named_parameters() if name.endswith("weight")]
    assert architecture.n_weights() == sum(p.numel() for p in weights)

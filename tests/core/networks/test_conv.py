"""Convolutions: the folded resize against the two steps, sizes, masks, and the model axis."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from skae.core.networks.autoencoder import AutoencoderNetwork, build_network
from skae.core.networks.conv import (
    ConvolutionalArchitecture,
    ConvolutionalDecoder,
    ConvolutionalEncoder,
    ResizeConvolution,
)


def randn(*shape: int, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


def build(
    shape=(2, 7, 5), channels=(3, 4), hidden=(), *, n_models=None, zero_output=False
) -> AutoencoderNetwork:
    """Return a network in float64, without a model axis where `n_models` is None."""
    n_features = shape[0] * shape[1] * shape[2]
    architecture = ConvolutionalArchitecture(
        n_features, 3, hidden, "tanh", image_shape=shape, channels=channels
    )
    generator = torch.Generator().manual_seed(0)
    network = build_network(
        architecture, generator=generator, n_models=n_models or 1, zero_output=zero_output
    )
    return (network.select_model(0) if n_models is None else network).double()


@pytest.mark.parametrize("size", [(8, 6), (7, 5), (1, 6), (8, 1), (1, 1)])
def test_resize_and_convolution_in_one_are_the_two_steps(size):
    small = ((size[0] + 1) // 2, (size[1] + 1) // 2)
    images = randn(2, 3, *small)
    layer = ResizeConvolution(randn(27, 4, seed=1), randn(4, seed=2), size)
    larger = F.interpolate(images, scale_factor=2, mode="nearest")
    expected = F.conv2d(larger, layer.kernels(), layer.bias, padding=1)
    torch.testing.assert_close(layer(images), expected[..., : size[0], : size[1]])


def test_resize_and_convolution_draw_no_checkerboard():
    """Away from the edges, a constant image stays constant whatever the kernel."""
    layer = ResizeConvolution(randn(18, 3, seed=1), randn(3, seed=2), (12, 12))
    inner = layer(torch.ones(1, 2, 6, 6, dtype=torch.float64))[..., 2:-2, 2:-2]
    torch.testing.assert_close(inner, inner[..., :1, :1].expand_as(inner))


@pytest.mark.parametrize(
    ("shape", "channels", "smallest"),
    [
        ((1, 28, 28), (4, 8), (8, 7, 7)),
        ((3, 9, 14), (4,), (4, 5, 7)),
        ((2, 7, 5), (3, 4, 5), (5, 1, 1)),
        ((1, 1, 13), (2, 2), (2, 1, 4)),
    ],
)
@pytest.mark.parametrize("hidden", [(), (6,)])
def test_output_has_the_size_of_the_input(shape, channels, smallest, hidden):
    network = build(shape, channels, hidden)
    decoder = network.decoder
    assert isinstance(decoder, ConvolutionalDecoder)
    assert decoder.shape == smallest
    x = randn(4, shape[0] * shape[1] * shape[2])
    assert network.encode(x).shape == (4, 3)
    assert network(x).shape == x.shape


def test_encoder_is_torch_convolutions():
    network = build()
    x = randn(4, 70)
    images = x.view(4, 2, 7, 5)
    encoder = network.encoder
    assert isinstance(encoder, ConvolutionalEncoder)
    for layer in encoder.convolutions:
        images = torch.tanh(F.conv2d(images, layer.kernels(), layer.bias, stride=2, padding=1))
    (last,) = encoder.layers
    torch.testing.assert_close(encoder(x), images.flatten(1) @ last.weight + last.bias)


@pytest.mark.parametrize("model", [0, 2])
def test_each_model_of_an_axis_computes_what_it_computes_alone(model):
    network = build(hidden=(6,), n_models=3)
    with torch.no_grad():
        for i, p in enumerate(network.parameters()):
            p.add_(randn(*p.shape, seed=i), alpha=0.3)
    x = randn(3, 4, 70)
    codes, outputs = network.encode(x)[model], network(x)[model]
    alone = network.select_model(model)
    torch.testing.assert_close(alone.encode(x[model]), codes)
    torch.testing.assert_close(alone(x[model]), outputs)


def test_dropout_reaches_the_convolutions():
    network = build()
    network.set_generator(torch.Generator().manual_seed(0))
    x = randn(4, 70)
    whole = network.encode(x)
    network.encoder.dropout = 0.5
    assert not torch.equal(network.train().encode(x), whole)
    assert torch.equal(network.eval().encode(x), whole)


def test_zero_output_starts_at_zero():
    network = build(zero_output=True)
    x = randn(4, 70)
    assert not network.encode(x).any()
    assert not network.decode(randn(4, 3)).any()


def test_masked_pixels_do_not_reach_the_code():
    network = build()
    masked = torch.zeros(70, dtype=torch.bool)
    masked[[3, 40]] = True
    network.encoder.mask_inputs(masked)
    x = randn(4, 70)
    changed = x.clone()
    changed[:, masked] = 9.0
    assert torch.equal(network.encode(changed), network.encode(x))
    changed[:, 4] = 9.0
    assert not torch.equal(network.encode(changed), network.encode(x))


def test_multiply_adds_of_a_row():
    """Counted by hand: 1 x 4 x 4 to 2 x 2 x 2 to a code of 3, and back."""
    network = build((1, 4, 4), (2,))
    biases = 2 + 3 + 8 + 1
    weights = 18 + 24 + 24 + 18
    assert network.multiply_adds() == weights + biases + 2 * (9 * 4 + 4 * 16)

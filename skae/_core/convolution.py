"""Encoder and decoder of images: convolutions beside the linear path.

Rows are flattened images, channels first. The decoder's convolutions come after a resize to twice
the size by nearest neighbour: transposed convolutions of free kernels overlap unevenly and draw
checkerboards (Odena et al. 2016). The two steps together are a transposed convolution whose kernel
is made of that of 3 x 3, and so they are computed: at a third of the cost, to the same numbers.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from skae._core.networks import (
    ACTIVATIONS,
    Architecture,
    AutoencoderNetwork,
    Dense,
    Perceptron,
    Weights,
)

Size = tuple[int, int]
_TAPS = 9  # of a kernel of 3 x 3


class Convolution(nn.Module):
    """Convolution of 3 x 3 to half the size, ``(h + 1) // 2`` by ``(w + 1) // 2``.

    The weight is a matrix ``(in * 9, out)``, or one a model, as `Dense` has it. The channels of
    models side by side lie one after another.
    """

    def __init__(self, weight: Tensor, bias: Tensor) -> None:
        super().__init__()
        self.weight = nn.Parameter(weight)
        self.bias = nn.Parameter(bias)

    @property
    def n_models(self) -> int:
        """Number of models side by side."""
        return 1 if self.weight.ndim == 2 else len(self.weight)

    def kernels(self) -> Tensor:
        """Return the weights as ``(models * out, in, 3, 3)``."""
        return self.weight.mT.reshape(self.bias.numel(), -1, 3, 3)

    def forward(self, images: Tensor) -> Tensor:
        bias, groups = self.bias.view(-1), self.n_models
        return F.conv2d(images, self.kernels(), bias, stride=2, padding=1, groups=groups)


class ResizeConvolution(Convolution):
    """Resize to twice the size, convolution of 3 x 3, cut to `size`."""

    def __init__(self, weight: Tensor, bias: Tensor, size: Size) -> None:
        super().__init__(weight, bias)
        self.size = size

    def forward(self, images: Tensor) -> Tensor:
        kernels = self.kernels().flatten(0, 1)[:, None]
        # What each pixel adds to the larger image: its square of 2 x 2, convolved with the kernel.
        spread = F.conv2d(kernels, kernels.new_ones(1, 1, 2, 2), padding=1).flip(-1, -2)
        spread = spread.view(self.n_models, self.bias.shape[-1], -1, 4, 4)
        spread = spread.transpose(1, 2).flatten(0, 1)
        bias, groups = self.bias.view(-1), self.n_models
        larger = F.conv_transpose2d(images, spread, bias, stride=2, padding=1, groups=groups)
        return larger[..., : self.size[0], : self.size[1]]


def _as_images(rows: Tensor, shape: tuple[int, int, int]) -> Tensor:
    """Return images with the channels of models side by side, ``(rows, channels, h, w)``."""
    images = rows.unflatten(-1, shape)
    if images.ndim == 5:
        images = images.transpose(0, 1).flatten(1, 2)
    return images.contiguous(memory_format=torch.channels_last)


def _as_rows(images: Tensor, like: Tensor) -> Tensor:
    """Flatten images, with a model axis where `like` has one."""
    if like.ndim == 2:
        return images.flatten(1)
    return images.unflatten(1, (len(like), -1)).transpose(0, 1).flatten(2)


class ConvolutionalHalf(Perceptron):
    """Dense layers, and convolutions of images whose inputs have `shape`."""

    convolutions: Sequence[Convolution]
    ignored: Tensor | None  # inputs that are taken for 0

    def __init__(
        self,
        layers: Sequence[Dense],
        convolutions: Sequence[Convolution],
        shape: tuple[int, int, int],
        activation: str,
        dropout: float,
    ) -> None:
        super().__init__(layers, activation, dropout)
        self.convolutions = nn.ModuleList(convolutions)  # type: ignore[assignment]
        self.shape = shape
        self.register_buffer("ignored", None)

    @property
    def is_linear(self) -> bool:
        return False


class ConvolutionalEncoder(ConvolutionalHalf):
    """Convolutions of images of `shape`, then dense layers."""

    def hidden(self, x: Tensor) -> Tensor:
        activation = ACTIVATIONS[self.activation]
        images = x if self.ignored is None else x.masked_fill(self.ignored, 0.0)
        images = _as_images(images, self.shape)
        for convolution in self.convolutions:
            images = self.dropped(activation(convolution(images)))
        return super().hidden(_as_rows(images, x))

    def all_layers(self) -> list[nn.Module]:
        return [*self.convolutions, *self.layers]

    def ignore(self, inputs: Tensor) -> None:
        """Take these inputs for 0; no single weight belongs to one."""
        self.ignored = inputs if inputs.any() else None

    def heed(self, inputs: Tensor) -> None:
        if self.ignored is not None:
            self.ignore(self.ignored & ~inputs.to(self.ignored.device))

    def ignores(self) -> Tensor:
        if self.ignored is not None:
            return self.ignored
        device = next(self.parameters()).device
        return torch.zeros(math.prod(self.shape), dtype=torch.bool, device=device)


class ConvolutionalDecoder(ConvolutionalHalf):
    """Dense layers up to images of `shape`, then convolutions of ever larger ones."""

    def output(self, hidden: Tensor, x: Tensor) -> Tensor:
        activation = ACTIVATIONS[self.activation]
        images = _as_images(self.layers[-1](hidden), self.shape)
        for convolution in self.convolutions:
            images = convolution(self.dropped(activation(images)))
        return self.add_linear_path(_as_rows(images, x), x)

    @torch.no_grad()
    def silence(self) -> None:
        self.convolutions[-1].weight.zero_()


class ConvolutionalNetwork(AutoencoderNetwork):
    """An autoencoder of images."""

    architecture: ConvolutionalArchitecture

    def n_products(self) -> int:
        architecture = self.architecture
        channels = [architecture.image_shape[0], *architecture.channels]
        n_products = super().n_products()
        for (n_in, n_out), (larger, smaller) in zip(
            pairwise(channels), pairwise(architecture.image_sizes()), strict=True
        ):
            # On the way up, four taps for each pixel of the larger image.
            n_products += n_in * n_out * (_TAPS * math.prod(smaller) + 4 * math.prod(larger))
        return n_products


@dataclass(frozen=True)
class ConvolutionalArchitecture(Architecture):
    """Of encoder and decoder with convolutions, without tied weights.

    Attributes
    ----------
    image_shape : (channels, height, width)
    channels : tuple of int
        Of each convolution of the encoder; the decoder mirrors them.
    """

    image_shape: tuple[int, int, int] = (1, 1, 1)
    channels: tuple[int, ...] = ()

    def image_sizes(self) -> list[Size]:
        """Height and width of the image, and after each convolution."""
        sizes = [self.image_shape[1:]]
        for _ in self.channels:
            height, width = sizes[-1]
            sizes.append(((height + 1) // 2, (width + 1) // 2))
        return sizes

    @property
    def sizes(self) -> list[int]:
        return [self.channels[-1] * math.prod(self.image_sizes()[-1]), *super().sizes[1:]]

    def n_weights(self) -> int:
        kernels = pairwise([self.image_shape[0], *self.channels])
        return super().n_weights() + 2 * _TAPS * sum(n_in * n_out for n_in, n_out in kernels)

    def widest(self) -> int:
        images = zip(self.channels, self.image_sizes()[1:], strict=True)
        return max(self.n_features, super().widest(), *(n * math.prod(s) for n, s in images))

    def halves(self, weights: Weights) -> tuple[Perceptron, Perceptron]:
        channels, images = [self.image_shape[0], *self.channels], self.image_sizes()
        smallest = (channels[-1], *images[-1])

        def kernels(n_in: int, n_out: int) -> tuple[Tensor, Tensor]:
            dense = weights.dense(_TAPS * n_in, n_out, self.activation)
            return dense.weight, dense.bias

        down = [Convolution(*kernels(*pair)) for pair in pairwise(channels)]
        encoder_layers = weights.chain(self.sizes, self.activation)
        # Of the decoder it is the last convolution that starts at 0, if anything does.
        decoder_layers = replace(weights, start_at_zero=False).chain(
            self.sizes[::-1], self.activation
        )
        up = [
            ResizeConvolution(*kernels(*pair), size)
            for pair, size in zip(pairwise(channels[::-1]), images[-2::-1], strict=True)
        ]
        encoder = ConvolutionalEncoder(
            encoder_layers, down, self.image_shape, self.activation, self.dropout
        )
        decoder = ConvolutionalDecoder(decoder_layers, up, smallest, self.activation, self.dropout)
        if weights.start_at_zero:
            decoder.silence()
        return encoder, decoder

    def join(
        self, encoder: Perceptron, decoder: Perceptron, weights: Weights
    ) -> ConvolutionalNetwork:
        return ConvolutionalNetwork(encoder, decoder, self.code_activation)

"""Convolutional encoder and decoder for images.

Rows are flattened images, channels first unless `channels_last` is set. Each convolution of the
decoder follows a nearest-neighbour resize to twice the size, because transposed convolutions with
free kernels overlap unevenly and draw checkerboards (Odena et al. 2016). Resize and convolution
together equal a transposed convolution with a kernel derived from the 3 x 3 kernel. They are
computed in this form, at a third of the cost and with the same result.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from skae.core.activations import ACTIVATIONS
from skae.core.networks.autoencoder import Architecture, AutoencoderNetwork
from skae.core.networks.dense import MLP, Dense, WeightInit

Size = tuple[int, int]
_TAPS = 9  # of a 3 x 3 kernel


class Convolution(nn.Module):
    """A 3 x 3 convolution to half the size, ``(h + 1) // 2`` by ``(w + 1) // 2``.

    The weight is a matrix ``(in * 9, out)``, or one matrix per model, as in `Dense`. The channels
    of the models are concatenated.
    """

    def __init__(self, weight: Tensor, bias: Tensor) -> None:
        super().__init__()
        self.weight = nn.Parameter(weight)
        self.bias = nn.Parameter(bias)

    @property
    def n_models(self) -> int:
        """Number of models."""
        return 1 if self.weight.ndim == 2 else len(self.weight)

    def kernels(self) -> Tensor:
        """Return the weights as ``(models * out, in, 3, 3)``."""
        return self.weight.mT.reshape(self.bias.numel(), -1, 3, 3)

    def forward(self, images: Tensor) -> Tensor:
        return self.linear(images, self.bias.view(-1))

    def linear(self, images: Tensor, bias: Tensor | None = None) -> Tensor:
        """Return the convolution, plus a bias if there is one."""
        kernels, groups = self.kernels(), self.n_models
        return F.conv2d(images, kernels, bias, stride=2, padding=1, groups=groups)


class ResizeConvolution(Convolution):
    """Resize to twice the size, then a 3 x 3 convolution, cropped to `size`."""

    def __init__(self, weight: Tensor, bias: Tensor, size: Size) -> None:
        super().__init__(weight, bias)
        self.size = size

    def linear(self, images: Tensor, bias: Tensor | None = None) -> Tensor:
        kernels = self.kernels().flatten(0, 1)[:, None]
        # What each pixel adds to the larger image: a 2 x 2 square convolved with the kernel.
        spread = F.conv2d(kernels, kernels.new_ones(1, 1, 2, 2), padding=1).flip(-1, -2)
        spread = spread.view(self.n_models, self.bias.shape[-1], -1, 4, 4)
        spread = spread.transpose(1, 2).flatten(0, 1)
        larger = F.conv_transpose2d(images, spread, bias, stride=2, padding=1, groups=self.n_models)
        return larger[..., : self.size[0], : self.size[1]]


def _as_images(rows: Tensor, shape: tuple[int, int, int], *, channels_last: bool = False) -> Tensor:
    """Return images ``(rows, channels, h, w)``, with the channels of all models concatenated.

    `shape` is (channels, h, w); `channels_last` says whether they are last in the rows.
    """
    if channels_last:
        images = rows.unflatten(-1, (*shape[1:], shape[0])).movedim(-1, -3)
    else:
        images = rows.unflatten(-1, shape)
    if images.ndim == 5:
        images = images.transpose(0, 1).flatten(1, 2)
    return images.contiguous(memory_format=torch.channels_last)


def _as_rows(images: Tensor, like: Tensor, *, channels_last: bool = False) -> Tensor:
    """Flatten images, with a model axis if `like` has one."""
    if like.ndim == 3:
        images = images.unflatten(1, (len(like), -1)).transpose(0, 1)
    if channels_last:
        images = images.movedim(-3, -1)
    return images.flatten(-3)


class ConvolutionalMLP(MLP):
    """Dense layers and convolutions; `shape` is that of the images before the convolutions."""

    convolutions: Sequence[Convolution]
    masked: Tensor | None  # inputs that are treated as 0
    channels_last: bool = False  # in the rows of X

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
        self.register_buffer("masked", None)

    @property
    def is_linear(self) -> bool:
        return False


class ConvolutionalEncoder(ConvolutionalMLP):
    """Convolutions of images of `shape`, then dense layers."""

    def hidden(self, x: Tensor) -> Tensor:
        activation = ACTIVATIONS[self.activation].function
        images = x if self.masked is None else x.masked_fill(self.masked, 0.0)
        images = _as_images(images, self.shape, channels_last=self.channels_last)
        for convolution in self.convolutions:
            images = activation(convolution(images))
            if self.dropout and self.training:
                images = self.drop(images)
        return super().hidden(_as_rows(images, x))

    def stages(self) -> list[nn.Module]:
        return [*self.convolutions, *self.layers]

    def mask_inputs(self, mask: Tensor) -> None:
        """Treat these inputs as 0, because no weight belongs to a single input."""
        self.masked = mask if mask.any() else None

    def unmask_inputs(self, mask: Tensor) -> None:
        if self.masked is not None:
            self.mask_inputs(self.masked & ~mask.to(self.masked.device))

    def masked_inputs(self) -> Tensor:
        if self.masked is not None:
            return self.masked
        device = next(self.parameters()).device
        return torch.zeros(math.prod(self.shape), dtype=torch.bool, device=device)


class ConvolutionalDecoder(ConvolutionalMLP):
    """Dense layers up to images of `shape`, then convolutions to ever larger images."""

    def stages(self) -> list[nn.Module]:
        return [*self.layers, *self.convolutions]

    def output(self, hidden: Tensor, x: Tensor) -> Tensor:
        activation = ACTIVATIONS[self.activation].function
        images = _as_images(self.layers[-1](hidden), self.shape)
        for convolution in self.convolutions:
            images = activation(images)
            if self.dropout and self.training:
                images = self.drop(images)
            images = convolution(images)
        return self.add_skip(_as_rows(images, x, channels_last=self.channels_last), x)

    def push_forward(self, x: Tensor, *, adds_skip: bool = True) -> tuple[Tensor, Tensor | None]:
        activation = ACTIVATIONS[self.activation]
        product, _ = super().push_forward(x, adds_skip=False)
        weight = self.layers[-1].weight
        # The images of the rows give the slopes, through which those of the directions pass.
        images = _as_images(self.layers[-1](super().hidden(x)), self.shape)
        directions = _as_images(torch.matmul(product, weight).flatten(0, 1), self.shape)
        for convolution in self.convolutions:
            after = activation.function(images)
            slopes = activation.backward(torch.ones_like(images), images, after)
            directions = convolution.linear(directions * slopes.repeat_interleave(x.shape[1], 0))
            images = convolution(after)
        rows = _as_rows(directions, x, channels_last=self.channels_last).view(*x.shape, -1)
        if adds_skip and self.skip is not None:
            rows = rows.mul_(self.scale).add_(self.skip)
        return rows, None

    @torch.no_grad()
    def scale_output(self, factor: float) -> None:
        self.convolutions[-1].weight.mul_(factor)
        self.convolutions[-1].bias.mul_(factor)

    @torch.no_grad()
    def zero_output(self) -> None:
        self.convolutions[-1].weight.zero_()


class ConvolutionalNetwork(AutoencoderNetwork):
    """A convolutional autoencoder of images."""

    architecture: ConvolutionalArchitecture

    def default_learning_rate(self, solver: str) -> float:
        if solver != "sgd":
            return super().default_learning_rate(solver)
        # The gradient of a kernel is a sum over all positions. The rate is 0.01 on images of 8 x 8.
        return min(0.01, 0.64 / math.prod(self.architecture.image_shape[1:]))

    def multiply_adds(self) -> int:
        architecture = self.architecture
        channels = [architecture.image_shape[0], *architecture.channels]
        multiply_adds = super().multiply_adds()
        for (n_in, n_out), (larger, smaller) in zip(
            pairwise(channels), pairwise(architecture.image_sizes()), strict=True
        ):
            # In the decoder, four taps for each pixel of the larger image.
            multiply_adds += n_in * n_out * (_TAPS * math.prod(smaller) + 4 * math.prod(larger))
        return multiply_adds


@dataclass(frozen=True)
class ConvolutionalArchitecture(Architecture):
    """Architecture of a `ConvolutionalNetwork`, without tied weights.

    Attributes
    ----------
    image_shape : (channels, height, width)
    channels : tuple of int
        Channels of each convolution of the encoder; the decoder mirrors them.
    channels_last : bool
        Whether a row of X is ``(height, width, channels)`` flattened.
    """

    image_shape: tuple[int, int, int] = (1, 1, 1)
    channels: tuple[int, ...] = ()
    channels_last: bool = False

    def image_sizes(self) -> list[Size]:
        """Return the height and width of the image, and those after each convolution."""
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

    def max_width(self) -> int:
        images = zip(self.channels, self.image_sizes()[1:], strict=True)
        return max(self.n_features, super().max_width(), *(n * math.prod(s) for n, s in images))

    def mlps(self, init: WeightInit) -> tuple[MLP, MLP]:
        channels, images = [self.image_shape[0], *self.channels], self.image_sizes()
        smallest = (channels[-1], *images[-1])

        def kernels(n_in: int, n_out: int) -> tuple[Tensor, Tensor]:
            dense = init.dense(_TAPS * n_in, n_out, self.activation)
            return dense.weight, dense.bias

        down = [Convolution(*kernels(*pair)) for pair in pairwise(channels)]
        encoder_layers = init.layers(self.sizes, self.activation)
        # In the decoder, `zero_output` applies to the last convolution, not to a dense layer.
        decoder_layers = replace(init, zero_output=False).layers(self.sizes[::-1], self.activation)
        up = [
            ResizeConvolution(*kernels(*pair), size)
            for pair, size in zip(pairwise(channels[::-1]), images[-2::-1], strict=True)
        ]
        encoder = ConvolutionalEncoder(
            encoder_layers, down, self.image_shape, self.activation, self.dropout
        )
        decoder = ConvolutionalDecoder(decoder_layers, up, smallest, self.activation, self.dropout)
        encoder.channels_last = decoder.channels_last = self.channels_last
        if init.zero_output:
            decoder.zero_output()
        return encoder, decoder

    def join(self, encoder: MLP, decoder: MLP, init: WeightInit) -> ConvolutionalNetwork:
        return ConvolutionalNetwork(encoder, decoder, self.code_activation)

"""Dense layers, MLPs with a linear skip connection, and their initial weights.

During training, every module holds several models of one shape on a leading model axis: weights are
``(models, in, out)``, biases ``(models, 1, out)`` and batches ``(models, rows, columns)``. A single
model has an axis of length 1. A fitted network has no model axis: see
`skae.core.networks.autoencoder.Network.select_model`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn

from skae.core.activations import ACTIVATIONS
from skae.core.entry_rows import EntryRows


class Dense(nn.Module):
    """``x W + b``, or ``x W^T + b`` if `transposed` (a tied decoder layer).

    W is stored as ``(in, out)``, like scikit-learn's `coefs_`. Without the transpose of
    `nn.Linear`, a small training step is a fifth faster. b starts at 0.

    Parameters
    ----------
    weight : Tensor of shape (n_models, in, out)
    transposed : bool
    """

    weight: nn.Parameter
    bias: nn.Parameter

    def __init__(self, weight: Tensor, *, transposed: bool = False) -> None:
        super().__init__()
        self.weight = weight if isinstance(weight, nn.Parameter) else nn.Parameter(weight)
        n_models, n_out = len(weight), weight.shape[-2 if transposed else -1]
        self.bias = nn.Parameter(torch.zeros(n_models, 1, n_out, dtype=torch.float32))
        self.transposed = transposed

    def forward(self, x: Tensor) -> Tensor:
        weight = self.weight.mT if self.transposed else self.weight
        if isinstance(x, EntryRows):
            return x.times(weight) + self.bias
        if weight.ndim == 2:
            return torch.addmm(self.bias, x, weight)
        return torch.baddbmm(self.bias, x, weight)


class MLP(nn.Module):
    """``scale * mlp(x) + x skip + skip_bias``: an encoder or a decoder.

    The encoder of counts first maps x to its logarithm, its `input_map`.

    Parameters
    ----------
    layers : sequence of Dense
    activation : str
        Activation between the layers; the last layer has none.
    dropout : float
        Probability with which a hidden unit is set to 0 in training.
    """

    skip: Tensor | None
    skip_bias: Tensor | None
    layers: Sequence[Dense]

    def __init__(self, layers: Sequence[Dense], activation: str, dropout: float = 0.0) -> None:
        super().__init__()
        self.layers = nn.ModuleList(layers)  # type: ignore[assignment]
        self.activation = activation
        self.dropout = dropout
        self.generator: torch.Generator | None = None
        self.input_map: nn.Module | None = None
        self.scale = 1.0
        # The skip connection is fixed, not trained. Weight decay then pulls the network towards PCA
        # rather than 0, and the start stays exactly PCA. A trained skip connection reached the same
        # errors.
        self.register_buffer("skip", None)
        self.register_buffer("skip_bias", None)
        self.exact_skip: tuple[Tensor | None, Tensor | None] = (None, None)

    def set_skip(
        self, weight: Tensor | None, bias: Tensor | None, dtype: torch.dtype | None = None
    ) -> None:
        """Set the skip connection ``x weight + bias``, given as float64 on any device.

        `dtype` is its precision until `AutoencoderNetwork.restore_skips`.
        """
        self.exact_skip = (weight, bias)
        device = self.layers[0].bias.device
        self.skip = None if weight is None else weight.to(device, dtype)
        self.skip_bias = None if bias is None else bias.to(device, dtype)

    def forward(self, x: Tensor) -> Tensor:
        if self.input_map is not None:
            x = self.input_map(x)
        return self.output(self.hidden(x), x)

    def hidden(self, x: Tensor) -> Tensor:
        """Return the activations of the last hidden layer; x itself if there is none."""
        activation = ACTIVATIONS[self.activation].function
        y = x
        for layer in [*self.layers][:-1]:  # slicing a ModuleList makes a new one
            y = activation(layer(y))
            if self.dropout and self.training:
                y = self.drop(y)
        return y

    def drop(self, y: Tensor) -> Tensor:
        """Set units to 0 with probability `dropout`, and scale the others up."""
        kept = torch.empty_like(y).bernoulli_(1 - self.dropout, generator=self.generator)
        return y * kept.div_(1 - self.dropout)

    def output(self, hidden: Tensor, x: Tensor) -> Tensor:
        """Return the output, given the last hidden layer and the input."""
        return self.add_skip(self.layers[-1](hidden), x)

    def add_skip(self, y: Tensor, x: Tensor) -> Tensor:
        """Return ``scale * y + x skip + skip_bias``; y is the layers' output for x."""
        if y.dtype is torch.bfloat16:
            # Only the layers have reduced precision, so that the start stays PCA.
            with torch.autocast(y.device.type, enabled=False):
                return self.add_skip(y.float(), x.float())
        skip, bias = self.skip, self.skip_bias  # looking a buffer up takes as long as a small sum
        if skip is not None:
            if isinstance(x, EntryRows):
                y = torch.add(x.times(skip), y, alpha=self.scale)
            elif x.ndim == 2:
                y = torch.addmm(y, x, skip, beta=self.scale)
            elif len(x) == 1:
                y = torch.baddbmm(y, x, skip, beta=self.scale)
            else:  # baddbmm would first copy y
                y = torch.add(torch.matmul(x, skip), y, alpha=self.scale)
        return y if bias is None else y + bias

    def push_forward(self, x: Tensor, *, adds_skip: bool = True) -> tuple[Tensor, Tensor | None]:
        """Return the transposed Jacobian at each row of x as a product ``A B``.

        A has shape ``(rows, inputs, h)``, and B, ``(h, outputs)``, is the same for all rows; None
        is the identity. The network has no model axis, and its layers are `Dense`.
        """
        activation = ACTIVATIONS[self.activation]
        weights = [layer.weight.mT if layer.transposed else layer.weight for layer in self.layers]
        axes = torch.eye(x.shape[1], dtype=x.dtype, device=x.device).expand(len(x), -1, -1)
        product, y = axes, x
        for layer, weight in zip(self.layers[:-1], weights[:-1], strict=True):
            before = layer(y)
            y = activation.function(before)
            slopes = activation.backward(torch.ones_like(before), before, y).unsqueeze(-2)
            product = weight * slopes if product is axes else torch.matmul(product, weight) * slopes
        if self.skip is None or not adds_skip:
            return product, weights[-1]
        return torch.cat([product, axes], -1), torch.cat([weights[-1] * self.scale, self.skip])

    def distances_to(
        self, target: Tensor
    ) -> Callable[[Tensor, Tensor | slice], tuple[Tensor, Tensor]]:
        """Return the loss that refinement lowers under the squared error, and its gradient.

        That is a function ``(x, rows) -> (losses, gradients)``: half the squared distance of each
        output from its row of the target, and the derivative with respect to x. Written by hand,
        since for a few rows autograd takes longer than the products. The network has no model axis,
        and its layers are `Dense`.
        """
        activation = ACTIVATIONS[self.activation]
        layers = [
            (layer.bias, layer.weight.mT if layer.transposed else layer.weight)
            for layer in self.layers
        ]
        (last_bias, last_weight), skip, skip_bias = layers.pop(), self.skip, self.skip_bias
        scale = 1.0 if skip is None else self.scale

        def distances(x: Tensor, rows: Tensor | slice) -> tuple[Tensor, Tensor]:
            y, passed = x, []
            for bias, weight in layers:
                before = torch.addmm(bias, y, weight)
                y = activation.function(before)
                passed.append((before, y, weight))
            output = torch.addmm(last_bias, y, last_weight)
            if skip is not None:
                output = torch.addmm(output, x, skip, beta=scale)
            if skip_bias is not None:
                output = output + skip_bias
            residual = output - target[rows]
            gradient = (residual if scale == 1.0 else residual * scale) @ last_weight.mT
            for before, after, weight in passed[::-1]:
                gradient = activation.backward(gradient, before, after) @ weight.mT
            if skip is not None:
                gradient = gradient + residual @ skip.mT
            return residual.square_().sum(1) * 0.5, gradient

        return distances

    def stages(self) -> list[nn.Module]:
        """Return every module that has weights, in order from the input."""
        return list(self.layers)

    @property
    def is_linear(self) -> bool:
        """Whether the output is a linear function of the input."""
        return len(self.layers) == 1

    @torch.no_grad()
    def mask_inputs(self, mask: Tensor) -> None:
        """Set the weights of the masked inputs to 0."""
        self.layers[0].weight[..., mask, :] = 0.0

    def unmask_inputs(self, mask: Tensor) -> None:
        """Let training use the masked inputs again. A dense weight of 0 needs no unmasking."""

    def masked_inputs(self) -> Tensor:
        """Return the mask of the inputs whose weights are all 0."""
        masked = ~self.layers[0].weight.any(-1)
        return masked if self.skip is None else masked & ~self.skip.any(-1)

    @torch.no_grad()
    def scale_output(self, factor: float) -> None:
        """Multiply the output of the layers by a factor."""
        self.layers[-1].weight.mul_(factor)
        self.layers[-1].bias.mul_(factor)

    @torch.no_grad()
    def zero_output(self) -> None:
        """Make the output of the layers independent of the input."""
        if not self.layers[-1].transposed:  # tied weights belong to the encoder too
            self.layers[-1].weight.zero_()


@dataclass(frozen=True)
class WeightInit:
    """Draws the initial weights of the layers.

    Attributes
    ----------
    generator : torch.Generator or None
        None leaves the weights at 0, to be filled.
    n_models : int
        Length of the model axis; all models start from the same weights.
    zero_output : bool
        Whether the last layer of an MLP starts at 0.
    """

    generator: torch.Generator | None
    n_models: int = 1
    zero_output: bool = False

    def dense(
        self, n_in: int, n_out: int, activation: str = "identity", *, is_zero: bool = False
    ) -> Dense:
        """Return a layer that, together with its activation, preserves the signal's variance."""
        weight = torch.zeros(n_in, n_out, dtype=torch.float32)
        if not is_zero and self.generator is not None:
            deviation = math.sqrt(ACTIVATIONS[activation].gain / n_in)
            weight.normal_(0.0, deviation, generator=self.generator)
        return Dense(weight.repeat(self.n_models, 1, 1))

    def layers(self, sizes: Sequence[int], activation: str) -> list[Dense]:
        """Return the layers of an MLP, with the activation after all but the last."""
        *inner, last = pairwise(sizes)
        layers = [self.dense(n_in, n_out, activation) for n_in, n_out in inner]
        return [*layers, self.dense(*last, is_zero=self.zero_output)]

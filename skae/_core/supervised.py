"""An encoder under a head: what a classifier or regressor trains."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from skae._core.model import Model, NetworkInUnits
from skae._core.networks import AutoencoderNetwork, Network, Perceptron, Weights
from skae._core.numerics import defaults_of_torch, resting_place


class EncoderWithHead(Network):
    """``head((code - centre) / spread)``, the code of an autoencoder's encoder.

    Parameters
    ----------
    network : AutoencoderNetwork
        Its decoder stays as it is.
    head : Perceptron
    codes : Tensor of shape (rows, components)
        Of the training rows: the head sees columns of mean 0 and variance 1, as far as they vary.

    Attributes
    ----------
    head_alone : bool
        Whether the whole encoder is frozen; the inputs are then codes, not rows.
    """

    centre: Tensor
    spread: Tensor

    def __init__(self, network: AutoencoderNetwork, head: Perceptron, codes: Tensor) -> None:
        super().__init__()
        self.network = network
        self.head = head
        deviations = codes.std(0, correction=0)
        varies = deviations > 1e-6 * deviations.max()  # the rest is rounding
        self.register_buffer("centre", codes.mean(0))
        self.register_buffer("spread", torch.where(varies, deviations, torch.inf))
        self.head_alone = False

    def freeze(self, n_layers: int) -> None:
        """Leave this many of the encoder's lowest layers as they are."""
        layers = self.network.encoder.all_layers()
        self.network.requires_grad_(False)
        for layer in layers[n_layers:]:
            layer.requires_grad_(True)
        self.head_alone = n_layers >= len(layers)
        for parameter in self.network.parameters(recurse=False):  # of the code itself
            parameter.requires_grad_(not self.head_alone)

    def widest(self) -> int:
        of_head = (layer.bias.shape[-1] for layer in self.head.layers)
        return max(self.network.widest(), *of_head)

    def n_products(self) -> int:
        if self.head_alone:
            return super().n_products()
        return self.network.n_products() + sum(p.numel() for p in self.head.parameters())

    def forward(self, inputs: Tensor) -> Tensor:
        """Return the outputs of rows in training units, or of codes where the head is alone."""
        codes = inputs if self.head_alone else self.network.encode(inputs)
        return self.head((codes - self.centre) / self.spread)

    def set_generator(self, generator: torch.Generator | None) -> None:
        self.network.set_generator(generator)
        self.head.generator = generator


def build_head(sizes: Sequence[int], activation: str, generator: torch.Generator) -> Perceptron:
    """Make a perceptron whose outputs start at 0."""
    layers = Weights(generator, start_at_zero=True).chain(sizes, activation)
    return Perceptron(layers, activation)


def class_losses(output: Tensor, target: Tensor) -> Tensor:
    """Cross-entropy of each row; the target is one column of class numbers."""
    return F.cross_entropy(output, target[:, 0].long(), reduction="none")


def squared_losses(output: Tensor, target: Tensor) -> Tensor:
    """Squared error of each row, a mean over its targets."""
    return (output - target).square().mean(-1)


class Predictor(NetworkInUnits[EncoderWithHead]):
    """A trained encoder with its head, in the units of their rows."""

    @classmethod
    def of(cls, network: EncoderWithHead, model: Model) -> Predictor:
        """Finish a training."""
        network.set_generator(None)
        network.head_alone = False
        network.to(resting_place(next(network.parameters()).device))
        network.network.restore_linear_paths()
        return cls(network.eval(), model.mean, model.scale)

    @defaults_of_torch()
    @torch.no_grad()
    def outputs(self, x: Tensor) -> Tensor:
        """Return the outputs of rows in the units of X, in the precision of x."""
        network = self.network_in(x.dtype)
        chunks = x.split(self.rows_at_a_time)
        return torch.cat([network(self.standardised(chunk)).cpu() for chunk in chunks])

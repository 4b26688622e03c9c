"""Restricted Boltzmann machines (Hinton & Salakhutdinov 2006), built from two layers of a network.

The energy of visible units v and hidden units h is

    E(v, h) = -v W h - b v - c h,

plus |v|^2 / 2 for normal visible units and |h|^2 / 2 for normal hidden units. W and c are the
weight and bias of an encoder layer; b is the bias of its mirror image in the decoder.
scikit-learn's `BernoulliRBM` supports neither kind of normal units.
"""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor
from torch.nn import functional as F

from skae.core.autograd import Terms
from skae.core.csr_rows import CSRRows
from skae.core.model import Model


class BoltzmannMachine:
    """A restricted Boltzmann machine: conditional means, samples and the gradient for training.

    Parameters
    ----------
    phase : Model
        Model of one layer and its mirror image. Its code activation determines the hidden units:
        normal with variance 1 for "identity", otherwise Bernoulli.
    visible_is_normal : bool
        Whether the visible units are normal with variance 1 rather than Bernoulli.
    """

    def __init__(self, phase: Model, *, visible_is_normal: bool) -> None:
        network = phase.network
        (self.coding,), (self.decoding,) = network.encoder.layers, network.decoder.layers
        self.visible_is_normal = visible_is_normal
        self.hidden_is_normal = network.code_activation == "identity"
        self.generator = network.generator
        # Bernoulli units take X itself, whereas the network takes X centred and scaled, and its
        # output has a fixed bias in addition to that of the layer.
        self.mean = phase.mean_like(self.coding.bias)
        self.scale = phase.scale
        self.takes_x = not visible_is_normal and phase.loss.link is not None
        self.offset = network.decoder.skip_bias
        if self.offset is not None:
            self.decoding.bias.data.add_(self.offset)

    def visible_units(self, z: Tensor) -> Tensor:
        """Convert rows in training units to values of the visible units."""
        if not self.takes_x:
            return z
        if isinstance(z, CSRRows):
            return cast("Tensor", z.scaled(self.scale, self.mean))
        return torch.add(self.mean, z, alpha=self.scale)

    @torch.no_grad()
    def unroll(self) -> None:
        """Convert the machine's weights to weights of the network."""
        if not self.decoding.transposed:
            self.decoding.weight.copy_(self.coding.weight.mT)
        if self.offset is not None:
            self.decoding.bias.sub_(self.offset)
        if self.takes_x:
            self.coding.bias.add_(self.mean @ self.coding.weight)
            self.coding.weight.mul_(self.scale)

    def hidden_mean(self, visible: Tensor) -> Tensor:
        """Return E[h|v]."""
        inputs = torch.baddbmm(self.coding.bias, visible, self.coding.weight)
        return inputs if self.hidden_is_normal else torch.sigmoid(inputs)

    def visible_mean(self, hidden: Tensor) -> Tensor:
        """Return E[v|h]."""
        inputs = torch.baddbmm(self.decoding.bias, hidden, self.coding.weight.mT)
        return inputs if self.visible_is_normal else torch.sigmoid(inputs)

    def draw_hidden(self, mean: Tensor) -> Tensor:
        """Draw h from its distribution given v, which has this mean."""
        if self.hidden_is_normal:
            return mean + torch.empty_like(mean).normal_(generator=self.generator)
        # After divergence, the probabilities are NaN; the error is NaN too and reports it.
        return torch.bernoulli(mean.nan_to_num(nan=0.0), generator=self.generator)

    @torch.no_grad()
    def __call__(self, inputs: Tensor, target: Tensor) -> Terms:
        """Set the gradient of contrastive divergence with one step (CD-1).

        This is an objective of `skae.core.loop`. The returned term is the mean squared error of the
        reconstruction. It shows the progress, but is not what is minimised.
        """
        visible = target
        hidden = self.hidden_mean(visible)
        restored = self.visible_mean(self.draw_hidden(hidden))
        again = self.hidden_mean(restored)
        n_rows = visible.shape[-2]
        for parameter, difference in (
            (self.coding.weight, restored.mT @ again - visible.mT @ hidden),
            (self.coding.bias, again.sum(-2, keepdim=True) - hidden.sum(-2, keepdim=True)),
            (self.decoding.bias, restored.sum(-2, keepdim=True) - visible.sum(-2, keepdim=True)),
        ):
            assert parameter.grad is not None
            parameter.grad.copy_(difference).div_(n_rows)
        return {"reconstruction": F.mse_loss(restored, visible)}

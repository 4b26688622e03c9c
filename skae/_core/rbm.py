"""Restricted Boltzmann machines (Hinton & Salakhutdinov 2006), made of two layers of a network.

The energy of visible units v and hidden units h is

    E(v, h) = -v W h - b v - c h,

with |v|^2 / 2 added for normal visible units, |h|^2 / 2 for normal hidden ones.
W and c are the weight and bias of an encoder's layer, b is the bias of its mirror image.
scikit-learn's `BernoulliRBM` has neither kind of normal units.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from skae._core.model import Model


class BoltzmannMachine:
    """Mean-field and sampling passes of a machine, and the gradient that trains it.

    Parameters
    ----------
    phase : Model
        Of one layer and its mirror image. Its code activation says what hidden units are: normal,
        of variance 1, for "identity", else Bernoulli.
    visible_is_normal : bool
        Normal visible units of variance 1, else Bernoulli units.
    """

    def __init__(self, phase: Model, *, visible_is_normal: bool) -> None:
        network = phase.network
        (self.coding,), (self.decoding,) = network.encoder.layers, network.decoder.layers
        self.visible_is_normal = visible_is_normal
        self.hidden_is_normal = network.code_activation == "identity"
        self.generator = network.generator
        # Bernoulli units take X as it is; the network sees it centred and scaled, and its output
        # has an offset beside the layer.
        self.mean = phase.mean_like(self.coding.bias)
        self.scale = phase.scale
        self.sees_units = not visible_is_normal and phase.loss.link is not None
        self.offset = network.decoder.offset
        if self.offset is not None:
            self.decoding.bias.data.add_(self.offset)

    def visible_units(self, z: Tensor) -> Tensor:
        """Rows in training units to what the visible units take."""
        return torch.add(self.mean, z, alpha=self.scale) if self.sees_units else z

    @torch.no_grad()
    def unroll(self) -> None:
        """Leave the machine's passes as those of the network."""
        if not self.decoding.transposed:
            self.decoding.weight.copy_(self.coding.weight.T)
        if self.offset is not None:
            self.decoding.bias.sub_(self.offset)
        if self.sees_units:
            self.coding.bias.add_(self.mean @ self.coding.weight)
            self.coding.weight.mul_(self.scale)

    def hidden_mean(self, visible: Tensor) -> Tensor:
        """E[h|v]."""
        inputs = torch.addmm(self.coding.bias, visible, self.coding.weight)
        return inputs if self.hidden_is_normal else torch.sigmoid(inputs)

    def visible_mean(self, hidden: Tensor) -> Tensor:
        """E[v|h]."""
        inputs = torch.addmm(self.decoding.bias, hidden, self.coding.weight.T)
        return inputs if self.visible_is_normal else torch.sigmoid(inputs)

    def draw_hidden(self, mean: Tensor) -> Tensor:
        """Draw h from its distribution given v, whose mean this is."""
        if self.hidden_is_normal:
            return mean + torch.empty_like(mean).normal_(generator=self.generator)
        # A machine that diverged has no probabilities; its error, which is none either, tells.
        return torch.bernoulli(mean.nan_to_num(nan=0.0), generator=self.generator)

    @torch.no_grad()
    def __call__(self, visible: Tensor) -> dict[str, Tensor]:
        """Leave the gradient of contrastive divergence with one step (CD-1) in the parameters.

        An objective, as those of `skae._core.objectives` are; its term is the mean squared error
        of the reconstruction, which is what one watches, not what is minimised.
        """
        hidden = self.hidden_mean(visible)
        restored = self.visible_mean(self.draw_hidden(hidden))
        again = self.hidden_mean(restored)
        n_rows = len(visible)
        for parameter, difference in (
            (self.coding.weight, restored.T @ again - visible.T @ hidden),
            (self.coding.bias, again.sum(0) - hidden.sum(0)),
            (self.decoding.bias, restored.sum(0) - visible.sum(0)),
        ):
            assert parameter.grad is not None
            parameter.grad.copy_(difference).div_(n_rows)
        return {"reconstruction": F.mse_loss(restored, visible)}

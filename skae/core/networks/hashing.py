"""The network with a binary code."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from skae.core.networks.autoencoder import Architecture, AutoencoderNetwork
from skae.core.networks.dense import MLP, WeightInit

# Share of a batch in the running mean of the units, after the first batches.
_MOMENTUM = 0.1
# With fewer rows, the batch mean is not used as the centre: minus its mean, a single row is 0.
_MIN_ROWS = 16


class HashingNetwork(AutoencoderNetwork):
    """An autoencoder whose code consists of bits, 0 or 1.

    Attributes
    ----------
    thresholds : Tensor of shape (n_models, 1, k), of shape (k,) without a model axis
        A bit is 1 if its unit is above its threshold. The thresholds are a running mean of the
        units until `balanced_thresholds` replaces them.
    """

    thresholds: Tensor

    def __init__(self, encoder: MLP, decoder: MLP) -> None:
        super().__init__(encoder, decoder, "logistic")
        self.n_batches = 0
        self.register_buffer("thresholds", torch.zeros_like(encoder.layers[-1].bias))

    def encode(self, x: Tensor) -> Tensor:
        """Return bits; in training, with the gradient of the logistic function.

        Classifiers fine-tune this code. Autoencoders are trained with `noisy_code`.
        """
        units = self.encoder(x)
        if not self.training:
            return (units > self.thresholds).to(x.dtype)
        return _rounded(torch.sigmoid(units - self.thresholds))

    def noisy_code(self, x: Tensor, noise_level: float, *, straight_through: bool) -> Tensor:
        """Return ``logistic(unit - centre + noise)``, and update the running mean.

        Only units far from their centre survive the noise, so training moves units away from their
        centre. The centre is the mean of the batch, or the running mean if the batch is small, so
        every bit splits the rows.
        """
        units = self.encoder(x)
        centre = units.mean(-2, keepdim=True)
        with torch.no_grad():
            self.n_batches += 1
            share = max(_MOMENTUM, 1.0 / self.n_batches)
            self.thresholds.lerp_(centre, share)
        if units.shape[-2] < _MIN_ROWS:
            centre = self.thresholds
        noise = torch.empty_like(units).normal_(generator=self.generator)
        code = torch.sigmoid(torch.add(units - centre, noise, alpha=noise_level))
        return _rounded(code) if straight_through else code


def _rounded(code: Tensor) -> Tensor:
    """Round, with the derivative of the identity."""
    return code + (code.round() - code).detach()


@dataclass(frozen=True)
class HashingArchitecture(Architecture):
    """Architecture of a `HashingNetwork`."""

    def join(self, encoder: MLP, decoder: MLP, init: WeightInit) -> HashingNetwork:
        return HashingNetwork(encoder, decoder)

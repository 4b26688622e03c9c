"""Sparse codes by optimisation, and a network that predicts them."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from skae._core.networks import (
    Architecture,
    AutoencoderNetwork,
    Dense,
    Perceptron,
    Weights,
)


def shrink(x: Tensor, threshold: Tensor | float) -> Tensor:
    """Move x towards 0 by the threshold, and no further."""
    return x.sign() * (x.abs() - threshold).clamp_min(0.0)


@torch.no_grad()
def sparse_codes(
    z: Tensor,
    atoms: Tensor,
    alpha: float,
    *,
    prediction: Tensor,
    prediction_weight: float,
    n_steps: int,
) -> Tensor:
    """Minimise ``||z - c D||^2 + alpha |c|_1 + prediction_weight ||c - prediction||^2`` over c.

    Accelerated proximal gradient steps (Beck & Teboulle 2009), with a new start of the momentum
    where it points uphill (O'Donoghue & Candes 2015).

    Parameters
    ----------
    z : Tensor of shape (..., rows, features)
    atoms : Tensor of shape (..., components, features)
        D.
    alpha : float
    prediction : Tensor of shape (..., rows, components)
        Also where the steps begin.
    prediction_weight : float
    n_steps : int

    Returns
    -------
    codes : Tensor of shape (..., rows, components)
    """
    # A prediction is one more observation of each unit of the code.
    nearness = prediction_weight * torch.eye(atoms.shape[-2], dtype=z.dtype, device=z.device)
    gram = atoms @ atoms.mT + nearness
    matches = z @ atoms.mT + prediction_weight * prediction
    # Atoms that diverged are NaN, and so will the codes be; eigenvalues would raise an error first.
    curvature = torch.linalg.eigvalsh(gram.nan_to_num())[..., -1:, None]
    ahead = codes = prediction
    pulls = _pulls(n_steps).to(codes)
    # Steps since the momentum began; models side by side begin anew each on its own.
    age = torch.full((*codes.shape[:-2], 1, 1), -1, device=codes.device)
    for _ in range(n_steps):
        slope = ahead @ gram - matches
        new = shrink(ahead - slope / curvature, 0.5 * alpha / curvature)
        change = new - codes
        uphill = ((ahead - new) * change).sum((-2, -1), keepdim=True) > 0
        age = (age + 1).masked_fill_(uphill, 0)
        ahead = torch.addcmul(new, change, pulls[age])
        codes = new
    return codes


def _pulls(n_steps: int) -> Tensor:
    """How far, in units of the last step, to go ahead at each step since the momentum began."""
    pulls, momentum = [], 1.0
    for _ in range(n_steps):
        grown = 0.5 * (1.0 + math.sqrt(1.0 + 4.0 * momentum * momentum))
        pulls.append((momentum - 1.0) / grown)
        momentum = grown
    return torch.tensor(pulls, dtype=torch.float64)


class UnitAtoms(Dense):
    """``x D`` with rows of D of norm 1. The weight may have any length; the bias is not used."""

    def atoms(self) -> Tensor:
        """Return D."""
        return F.normalize(self.weight, dim=-1)

    def forward(self, x: Tensor) -> Tensor:
        return x @ self.atoms()


class PredictiveNetwork(AutoencoderNetwork):
    """A dictionary, and an encoder that predicts sparse codes over it.

    Attributes
    ----------
    thresholds : Parameter of shape (k,) or (n_models, 1, k)
        By which the encoder's output is shrunk.
    """

    def __init__(self, encoder: Perceptron, decoder: Perceptron) -> None:
        super().__init__(encoder, decoder, "identity")
        self.thresholds = nn.Parameter(torch.zeros_like(encoder.layers[-1].bias))

    def encode(self, x: Tensor) -> Tensor:
        # With the derivative of the identity: a threshold below 0 must find its way back.
        below = (self.thresholds.clamp_min(0.0) - self.thresholds).detach()
        return shrink(self.encoder(x), self.thresholds + below)

    def atoms(self) -> Tensor:
        """Return the dictionary, ``(k, features)``."""
        layer = self.decoder.layers[0]
        assert isinstance(layer, UnitAtoms)
        return layer.atoms()


@dataclass(frozen=True)
class PredictiveArchitecture(Architecture):
    """Of a `PredictiveNetwork`: a decoder of one layer, whatever the encoder."""

    def n_weights(self) -> int:
        return super().n_weights() // 2 + self.n_components * self.n_features

    def halves(self, weights: Weights) -> tuple[Perceptron, Perceptron]:
        layers = weights.chain(self.sizes, self.activation)
        encoder = Perceptron(layers, self.activation, self.dropout)
        atoms = weights.dense(self.n_components, self.n_features)
        return encoder, Perceptron([UnitAtoms(atoms.weight, atoms.bias)], "identity")

    def join(self, encoder: Perceptron, decoder: Perceptron, weights: Weights) -> PredictiveNetwork:
        return PredictiveNetwork(encoder, decoder)

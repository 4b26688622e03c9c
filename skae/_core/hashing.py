"""Binary codes: how they are learned, and where the thresholds of their bits lie."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from skae._core.networks import Architecture, AutoencoderNetwork, Perceptron, Weights

# Share of a batch in the running mean of the units, after the first ones.
_MOMENTUM = 0.1
# The mean of fewer rows than this is no centre: of one row, nothing would be left.
_FEWEST_ROWS = 16
# Among this share of the rows about the median, the threshold takes the widest gap.
_LEEWAY = 0.02


class HashingNetwork(AutoencoderNetwork):
    """An autoencoder whose code is 0 or 1.

    In training a unit is ``logistic(a - centre + noise)``: only far from the centre does it get
    through the noise, so that is where training takes it. The centre is the mean of the batch, or
    the running mean where the batch is small; every bit then splits the rows.

    Attributes
    ----------
    noise_level : float or None
        Standard deviation of the noise. None for a finished code, such as a classifier trains on:
        rounded, about the thresholds that it has.
    straight_through : bool
        Round in training too, with the derivative of the unrounded unit.
    thresholds : Tensor of shape (k,) or (n_models, 1, k)
        A bit is 1 above it: a running mean of the centres, until `balanced_thresholds` are set.
    """

    thresholds: Tensor

    def __init__(self, encoder: Perceptron, decoder: Perceptron) -> None:
        super().__init__(encoder, decoder, "logistic")
        self.noise_level: float | None = None
        self.straight_through = False
        self.n_batches = 0
        self.register_buffer("thresholds", torch.zeros_like(encoder.layers[-1].bias))

    def encode(self, x: Tensor) -> Tensor:
        units = self.encoder(x)
        if not self.training:
            return (units > self.thresholds).to(x.dtype)
        if self.noise_level is None:
            return _rounded(torch.sigmoid(units - self.thresholds))
        centre = units.mean(-2, keepdim=True)
        with torch.no_grad():
            self.n_batches += 1
            share = max(_MOMENTUM, 1.0 / self.n_batches)
            self.thresholds.lerp_(centre.view_as(self.thresholds), share)
        if units.shape[-2] < _FEWEST_ROWS:
            centre = self.thresholds
        noise = torch.empty_like(units).normal_(generator=self.generator)
        code = torch.sigmoid(torch.add(units - centre, noise, alpha=self.noise_level))
        return _rounded(code) if self.straight_through else code


def _rounded(code: Tensor) -> Tensor:
    """Round, with the derivative of the identity."""
    return code + (code.round() - code).detach()


@dataclass(frozen=True)
class HashingArchitecture(Architecture):
    """Of a `HashingNetwork`."""

    def join(self, encoder: Perceptron, decoder: Perceptron, weights: Weights) -> HashingNetwork:
        return HashingNetwork(encoder, decoder)


def balanced_thresholds(units: Tensor) -> Tensor:
    """Return, for each column of units, a value that about half of the rows are above.

    It lies in the middle of the widest gap near the median, so that rounding moves no row across.
    Where many rows share the median, the gap that is nearest to it is taken.
    """
    n_rows = len(units)
    if n_rows < 2:
        return units[0].double() + 1.0
    ordered = units.double().sort(0).values
    gaps = ordered.diff(dim=0)
    ranks = torch.arange(1, n_rows, dtype=torch.float64)[:, None] - n_rows / 2
    near = ranks.abs() <= max(0.5, _LEEWAY / 2 * n_rows)
    # What rounding might do to a value. Not of the range: one stray row would leave no gap but its.
    tail = n_rows // 20
    spread = ordered[-1 - tail] - ordered[tail]
    smallest = 1e-6 * torch.maximum(spread, ordered[1:].abs().maximum(ordered[:-1].abs()))
    # Any gap near the median is better than one further off; there, the widest is the best.
    merit = torch.where(near, gaps / gaps.max(0).values.clamp_min(1e-300), -ranks.abs())
    merit = torch.where(gaps > smallest, merit, -torch.inf)
    chosen = merit.argmax(0, keepdim=True)
    middle = (ordered[:-1].gather(0, chosen) + gaps.gather(0, chosen) / 2)[0]
    # A unit that varies by rounding alone is a bit that is always 0.
    return torch.where((gaps > smallest).any(0), middle, ordered[-1] + 1.0)

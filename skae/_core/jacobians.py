"""Jacobians of a multilayer encoder, written out as the product of matrices that they are.

    J^T = W_1 D_1 W_2 D_2 ... W_L D_L,    D_l = diag(slope of layer l's activation at the row)

and beside it the linear path's ``S D_L``. Everything is made of torch operations, so autograd
differentiates it once more.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from skae._core.networks import ACTIVATIONS, AutoencoderNetwork

_JACOBIAN_ENTRIES = 2**24  # entries of the Jacobians that are held at a time


def _gelu_slope(x: Tensor) -> Tensor:
    density = torch.exp(-0.5 * x.square()) / math.sqrt(2.0 * math.pi)
    return torch.special.ndtr(x) + x * density


def _silu_slope(x: Tensor) -> Tensor:
    p = torch.sigmoid(x)
    return p * (1.0 + x * (1.0 - p))


def _logistic_slope(x: Tensor) -> Tensor:
    p = torch.sigmoid(x)
    return p * (1.0 - p)


SLOPES: dict[str, Callable[[Tensor], Tensor]] = {
    "identity": torch.ones_like,
    "relu": lambda x: (x > 0).to(x.dtype),
    "gelu": _gelu_slope,
    "silu": _silu_slope,
    "tanh": lambda x: 1.0 - torch.tanh(x).square(),
    "logistic": _logistic_slope,
}


class EncoderChain:
    """The factors of the encoder's Jacobian at a batch of rows.

    Parameters
    ----------
    network : AutoencoderNetwork
    z : Tensor of shape (..., n, d)
    """

    def __init__(self, network: AutoencoderNetwork, z: Tensor) -> None:
        encoder = network.encoder
        self.weights: list[Tensor] = [layer.weight for layer in encoder.layers]
        self.shortcut = encoder.shortcut
        if len(self.weights) == 1 and self.shortcut is not None:
            self.weights, self.shortcut = [self.weights[0] + self.shortcut], None
        self.slopes: list[Tensor] = []
        y = x = network.filled(z)
        for layer in encoder.layers[:-1]:
            before = layer(y)
            self.slopes.append(SLOPES[encoder.activation](before))
            y = ACTIVATIONS[encoder.activation](before)
        before = encoder.add_linear_path(encoder.layers[-1](y), x)
        self.code_slope = SLOPES[network.code_activation](before)

    def pull_back(self, directions: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Reverse mode, short of the first layer.

        Returns F, ``(..., n, p, f)``, and B, ``(..., d, f)``, with ``F B^T`` the rows ``v^T J`` for
        the directions v, ``(..., n, p, k)``; without directions these are the k axes.
        """
        if directions is None:
            scaled = torch.diag_embed(self.code_slope)
        else:
            scaled = directions * self.code_slope.unsqueeze(-2)
        first, *others = self.weights
        if not others:
            return scaled, first
        # The axes pick rows of the last weight; no product is needed.
        if directions is None:
            product = self.code_slope.unsqueeze(-1) * others[-1].mT.unsqueeze(-3)
        else:
            product = _times(scaled, others[-1].mT)
        for slope, weight in zip(self.slopes[:0:-1], others[-2::-1], strict=True):
            product = _times(product * slope.unsqueeze(-2), weight.mT)
        product = product * self.slopes[0].unsqueeze(-2)
        if self.shortcut is None:
            return product, first
        return torch.cat([product, scaled], -1), torch.cat([first, self.shortcut], -1)

    def push_forward(self) -> Tensor:
        """Forward mode: J^T, ``(..., n, d, k)``; for a code wider than the rows."""
        first, *others = self.weights
        product = first.unsqueeze(-3)
        for slope, weight in zip(self.slopes, others, strict=True):
            product = _times(product * slope.unsqueeze(-2), weight)
        if self.shortcut is not None:
            product = product + self.shortcut.unsqueeze(-3)
        return product * self.code_slope.unsqueeze(-2)


def _times(batch: Tensor, matrix: Tensor) -> Tensor:
    """``(..., n, p, a)`` times ``(..., a, b)``, as one product a model."""
    flat = batch.flatten(-3, -2) @ matrix
    return flat.unflatten(-2, batch.shape[-3:-1])


def encoder_jacobians(network: AutoencoderNetwork, z: Tensor) -> Tensor:
    """Jacobian of the code by z at each row; ``(n, k, d)``."""
    factor, base = EncoderChain(network, z).pull_back()
    return _times(factor, base.mT)


def contraction(
    network: AutoencoderNetwork,
    z: Tensor,
    n_probes: int | None = None,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Mean over rows of the squared Frobenius norm of the encoder's Jacobian; one number a model.

    One layer: a closed form that costs next to nothing (Rifai et al. 2011). Deeper: exact for
    about ``min(k, d)`` times the cost of encoding, by the mode that starts from the smaller side.

    Parameters
    ----------
    network : AutoencoderNetwork
    z : Tensor of shape (..., n, d)
    n_probes : int or None
        Estimate by this many random directions instead: ``E ||v^T J||^2 = ||J||_F^2`` for random
        signs v (Hutchinson 1990). Costs `n_probes` times the encoding; as many as the smaller side
        or more are not worth it, and the norm is exact.
    generator : torch.Generator or None
        Draws the directions.
    """
    n_components, n_features = network.encoder.layers[-1].bias.shape[-1], z.shape[-1]
    widest = max([n_features, *(layer.bias.shape[-1] for layer in network.encoder.layers)])
    smaller = min(n_components, n_features)
    if n_probes is not None and n_probes >= smaller:
        n_probes = None
    n_rows = max(1, _JACOBIAN_ENTRIES // (widest * (n_probes or smaller)))
    total = z.new_zeros(())
    for chunk in z.split(n_rows, -2):
        squares = _squared_norms(EncoderChain(network, chunk), n_features, n_probes, generator)
        total = total + squares.mean(-1) * (chunk.shape[-2] / z.shape[-2])
    return total


def relative_contraction(
    network: AutoencoderNetwork,
    z: Tensor,
    variance: float,
    n_probes: int | None = None,
    generator: torch.Generator | None = None,
) -> Tensor:
    """`contraction` in units of the rows, whose columns have this variance on average.

    A code that scales with the rows has their unit, which cancels. Any other has a unit of its
    own; that of the rows is then their total variance.
    """
    norm = contraction(network, z, n_probes, generator)
    return norm if network.code_scales_with_data else norm * (variance * z.shape[-1])


def _squared_norms(
    chain: EncoderChain, n_features: int, n_probes: int | None, generator: torch.Generator | None
) -> Tensor:
    """Squared Frobenius norm of the Jacobian at each row; ``(..., n)``."""
    slope = chain.code_slope
    if not chain.slopes:
        (weight,) = chain.weights
        norms = weight.square().sum(-2, keepdim=weight.ndim == 3)
        return (slope.square() * norms).sum(-1)
    if n_probes is None and n_features < slope.shape[-1]:
        return chain.push_forward().square().sum((-2, -1))
    directions = None
    if n_probes is not None:
        signs = slope.new_empty(*slope.shape[:-1], n_probes, slope.shape[-1])
        directions = signs.bernoulli_(0.5, generator=generator).mul_(2.0).sub_(1.0)
    factor, base = chain.pull_back(directions)
    if base.shape[-1] < n_features:
        # ||F B^T||^2 = tr(F (B^T B) F^T) leaves out the widest layer.
        squares = _times(factor, base.mT @ base) * factor
    else:
        squares = _times(factor, base.mT).square()
    return squares.sum((-2, -1)) / (n_probes or 1)

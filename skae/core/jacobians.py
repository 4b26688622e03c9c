"""Jacobians of a multilayer encoder, as explicit matrix products.

    J^T = W_1 D_1 W_2 D_2 ... W_L D_L,    D_l = diag(slope of layer l's activation at the row)

plus ``S D_L`` for the skip connection S. All operations are torch operations, so autograd can
differentiate the result. If the encoder takes the logarithm of counts, its Jacobian is with respect
to that; only `encoder_jacobians` goes back to the counts.
"""

from __future__ import annotations

import torch
from torch import Tensor

from skae.core.activations import ACTIVATIONS
from skae.core.networks.autoencoder import AutoencoderNetwork

_MAX_ENTRIES = 2**24  # in the Jacobians held in memory at once


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
        self.skip = encoder.skip
        if len(self.weights) == 1 and self.skip is not None:
            self.weights, self.skip = [self.weights[0] + self.skip], None
        self.slopes: list[Tensor] = []
        activation = ACTIVATIONS[encoder.activation]
        x = network.impute(z)
        if encoder.input_map is not None:
            x = encoder.input_map(x)
        y = x
        for layer in encoder.layers[:-1]:
            before = layer(y)
            self.slopes.append(activation.slope(before))
            y = activation.function(before)
        before = encoder.add_skip(encoder.layers[-1](y), x)
        self.code_slope = ACTIVATIONS[network.code_activation].slope(before)

    def pull_back(self, directions: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Multiply directions by the Jacobian in reverse mode, except for the first layer.

        Returns F of shape ``(..., n, p, f)`` and B of shape ``(..., d, f)``. The rows of ``F B^T``
        are ``v^T J`` for the directions v of shape ``(..., n, p, k)``, by default the k axes.
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
        if self.skip is None:
            return product, first
        return torch.cat([product, scaled], -1), torch.cat([first, self.skip], -1)

    def push_forward(self) -> Tensor:
        """Return J^T, ``(..., n, d, k)``, in forward mode; for a code wider than the rows."""
        first, *others = self.weights
        product = first.unsqueeze(-3)
        for slope, weight in zip(self.slopes, others, strict=True):
            product = _times(product * slope.unsqueeze(-2), weight)
        if self.skip is not None:
            product = product + self.skip.unsqueeze(-3)
        return product * self.code_slope.unsqueeze(-2)


def _times(batch: Tensor, matrix: Tensor) -> Tensor:
    """Multiply ``(..., n, p, a)`` by ``(..., a, b)``, with one matrix product per model."""
    flat = batch.flatten(-3, -2) @ matrix
    return flat.unflatten(-2, batch.shape[-3:-1])


def encoder_jacobians(network: AutoencoderNetwork, z: Tensor) -> Tensor:
    """Return the Jacobian of the code with respect to z at each row: ``(n, k, d)``."""
    factor, base = EncoderChain(network, z).pull_back()
    jacobians = _times(factor, base.mT)
    if network.encoder.input_map is None:
        return jacobians
    with torch.enable_grad():
        points = network.impute(z).detach().requires_grad_()
        inputs = network.encoder.input_map(points)
        rows = [
            torch.autograd.grad(inputs, points, direction, retain_graph=True)[0]
            for direction in jacobians.unbind(-2)
        ]
    return torch.stack(rows, -2)


def contraction(
    network: AutoencoderNetwork,
    z: Tensor,
    n_probes: int | None = None,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Return the mean squared Frobenius norm of the encoder's Jacobian over rows, for each model.

    For one layer, a closed form costs next to nothing (Rifai et al. 2011). For a deeper encoder,
    the exact norm costs about ``min(k, d)`` times as much as encoding, in the mode that starts from
    the smaller side.

    Parameters
    ----------
    network : AutoencoderNetwork
    z : Tensor of shape (..., n, d)
    n_probes : int or None
        Estimate the norm from this many random directions instead: ``E ||v^T J||^2 = ||J||_F^2``
        for random signs v (Hutchinson 1990). This costs `n_probes` times as much as encoding. If
        `n_probes` is at least ``min(k, d)``, the exact norm is no more expensive and is computed
        instead.
    generator : torch.Generator or None
        Source of the directions.
    """
    n_components, n_features = network.encoder.layers[-1].bias.shape[-1], z.shape[-1]
    max_width = max([n_features, *(layer.bias.shape[-1] for layer in network.encoder.layers)])
    smaller = min(n_components, n_features)
    if n_probes is not None and n_probes >= smaller:
        n_probes = None
    n_rows = max(1, _MAX_ENTRIES // (max_width * (n_probes or smaller)))
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
    """Return the `contraction` relative to the unit of the rows.

    A code that scales with the rows has the same unit, which cancels. Any other code has a unit of
    its own, so the result is multiplied by the total variance of the rows. `variance` is the mean
    variance of their columns.
    """
    norm = contraction(network, z, n_probes, generator)
    return norm if network.code_scales_with_data else norm * (variance * z.shape[-1])


def _squared_norms(
    chain: EncoderChain, n_features: int, n_probes: int | None, generator: torch.Generator | None
) -> Tensor:
    """Return the squared Frobenius norm of the Jacobian at each row: ``(..., n)``."""
    slope = chain.code_slope
    if not chain.slopes:
        (weight,) = chain.weights
        norms = weight.square().sum(-2, keepdim=True)
        return (slope.square() * norms).sum(-1)
    if n_probes is None and n_features < slope.shape[-1]:
        return chain.push_forward().square().sum((-2, -1))
    directions = None
    if n_probes is not None:
        signs = slope.new_empty(*slope.shape[:-1], n_probes, slope.shape[-1])
        directions = signs.bernoulli_(0.5, generator=generator).mul_(2.0).sub_(1.0)
    factor, base = chain.pull_back(directions)
    if base.shape[-1] < n_features:
        # ||F B^T||^2 = tr(F (B^T B) F^T) avoids a product as wide as the rows.
        squares = _times(factor, base.mT @ base) * factor
    else:
        squares = _times(factor, base.mT).square()
    return squares.sum((-2, -1)) / (n_probes or 1)

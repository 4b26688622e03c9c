"""Jacobians of a multilayer encoder, as explicit matrix products.

    J^T = W_1 D_1 W_2 D_2 ... W_L D_L,    D_l = diag(slope of layer l's activation at the row)

plus ``S D_L`` for the skip connection S. All operations are torch operations, so autograd can
differentiate the result. If the encoder takes the logarithm of counts, its Jacobian is with respect
to that; only `encoder_jacobians` goes back to the counts.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from skae.core.activations import ACTIVATIONS
from skae.core.criterion import ForwardPass, Reconstruction
from skae.core.networks.autoencoder import AutoencoderNetwork

Decoder = Callable[[Tensor], Tensor]
_MAX_ENTRIES = 2**24  # in the Jacobians held in memory at once


class EncoderChain:
    """The code of a batch of rows, and the factors of the encoder's Jacobian at them.

    Parameters
    ----------
    network : AutoencoderNetwork
    z : Tensor of shape (..., n, d)
        Without missing entries.
    """

    def __init__(self, network: AutoencoderNetwork, z: Tensor) -> None:
        encoder = network.encoder
        self.weights: list[Tensor] = [layer.weight for layer in encoder.layers]
        self.skip = encoder.skip
        if len(self.weights) == 1 and self.skip is not None:
            self.weights, self.skip = [self.weights[0] + self.skip], None
        self.slopes: list[Tensor] = []
        activation = ACTIVATIONS[encoder.activation]
        x = z if encoder.input_map is None else encoder.input_map(z)
        y = x
        for layer in encoder.layers[:-1]:
            before = layer(y)
            self.slopes.append(activation.slope(before))
            y = activation.function(before)
        before = encoder.add_skip(encoder.layers[-1](y), x)
        code_activation = ACTIVATIONS[network.code_activation]
        self.code = code_activation.function(before)
        self.code_slope = code_activation.slope(before)
        self.has_linear_code = network.code_activation == "identity"

    def split(self, n_rows: int) -> list[EncoderChain]:
        """Return the chains of parts of at most `n_rows` rows."""
        if n_rows >= self.code.shape[-2]:
            return [self]
        parts = []
        slopes = [slope.split(n_rows, -2) for slope in self.slopes]
        codes, code_slopes = self.code.split(n_rows, -2), self.code_slope.split(n_rows, -2)
        for i, (code, code_slope) in enumerate(zip(codes, code_slopes, strict=True)):
            part = copy.copy(self)
            part.code, part.code_slope = code, code_slope
            part.slopes = [slope[i] for slope in slopes]
            parts.append(part)
        return parts

    def from_code(self, matrix: Tensor, directions: Tensor | None = None) -> Tensor:
        """Multiply directions by the code's slopes and by a matrix of shape ``(..., k, b)``.

        The directions have shape ``(..., n, p, k)``; None is the k axes, which pick the matrix's
        rows, without a product.
        """
        if directions is None:
            return self.code_slope.unsqueeze(-1) * matrix.unsqueeze(-3)
        return _times(directions * self.code_slope.unsqueeze(-2), matrix)

    def pull_back(self, directions: Tensor | None = None) -> Tensor:
        """Multiply directions by the Jacobian of the layers in reverse mode, except for the first.

        Returns F of shape ``(..., n, p, h)``. With the first layer's weight W, the rows of
        ``F W^T``, plus those of the skip connection, are ``v^T J`` for the directions v.
        """
        product = self.from_code(self.weights[-1].mT, directions)
        for slope, weight in zip(self.slopes[:0:-1], self.weights[-2:0:-1], strict=True):
            product = _times(product * slope.unsqueeze(-2), weight.mT)
        return product * self.slopes[0].unsqueeze(-2)

    def jacobians(self, directions: Tensor | None = None) -> Tensor:
        """Return ``v^T J`` for each direction v, ``(..., n, p, d)``, in reverse mode."""
        first = self.weights[0].mT
        if not self.slopes:
            return self.from_code(first, directions)
        rows = _times(self.pull_back(directions), first)
        return rows if self.skip is None else rows + self.from_code(self.skip.mT, directions)

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
    z = network.impute(z)
    jacobians = EncoderChain(network, z).jacobians()
    if network.encoder.input_map is None:
        return jacobians
    with torch.enable_grad():
        points = z.detach().requires_grad_()
        inputs = network.encoder.input_map(points)
        rows = [
            torch.autograd.grad(inputs, points, direction, retain_graph=True)[0]
            for direction in jacobians.unbind(-2)
        ]
    return torch.stack(rows, -2)


@dataclass(frozen=True)
class ChainPass(ForwardPass):
    """A forward pass with the factors of the encoder's Jacobian at its rows."""

    chain: EncoderChain


class ChainReconstruction(Reconstruction):
    """Reconstruction loss plus penalties on the encoder's Jacobian, from one pass of the encoder.

    For networks without dropout: the Jacobian is that of the whole encoder. A network of another
    kind may encode in its own way, and so does one that keeps the largest units; these take a pass
    of their own.
    """

    def forward(
        self, inputs: Tensor, target: Tensor, generator: torch.Generator | None
    ) -> ForwardPass:
        network = self.model.network
        if type(network) is not AutoencoderNetwork or network.n_active is not None:
            return super().forward(inputs, target, generator)
        inputs = network.impute(inputs)
        chain = EncoderChain(network, inputs)
        output = network.decode(chain.code)
        return ChainPass(inputs, target, chain.code, output, generator, chain)


def contraction(
    network: AutoencoderNetwork,
    z: Tensor,
    n_probes: int | None = None,
    generator: torch.Generator | None = None,
    chain: EncoderChain | None = None,
) -> Tensor:
    """Return the mean squared Frobenius norm of the encoder's Jacobian over rows, for each model.

    For one layer, a closed form costs next to nothing (Rifai et al. 2011), and for one hidden layer
    and a linear code, another costs about as much as encoding. For a deeper encoder, the exact norm
    costs about ``min(k, d)`` times as much as encoding, in the mode that starts from the smaller
    side.

    Parameters
    ----------
    network : AutoencoderNetwork
    z : Tensor of shape (..., n, d)
        Without missing entries.
    n_probes : int or None
        Estimate the norm from this many random directions instead: ``E ||v^T J||^2 = ||J||_F^2``
        for random signs v (Hutchinson 1990). This costs `n_probes` times as much as encoding. The
        exact norm is computed if it is no more expensive: in closed form, or if `n_probes` is at
        least ``min(k, d)``.
    generator : torch.Generator or None
        Source of the directions.
    chain : EncoderChain or None
        That of z, if it is known already.
    """
    n_components, n_features = network.encoder.layers[-1].bias.shape[-1], z.shape[-1]
    max_width = max([n_features, *(layer.bias.shape[-1] for layer in network.encoder.layers)])
    smaller = min(n_components, n_features)
    if n_probes is not None and n_probes >= smaller:
        n_probes = None
    n_rows = max(1, _MAX_ENTRIES // (max_width * (n_probes or smaller)))
    total = z.new_zeros(())
    for part in (chain or EncoderChain(network, z)).split(n_rows):
        squares = _squared_norms(part, n_features, n_probes, generator)
        total = total + squares.mean(-1) * (squares.shape[-1] / z.shape[-2])
    return total


def relative_contraction(
    network: AutoencoderNetwork,
    batch: ForwardPass,
    variance: float,
    n_probes: int | None = None,
) -> Tensor:
    """Return the `contraction` at a batch relative to the unit of the rows.

    A code that scales with the rows has the same unit, which cancels. Any other code has a unit of
    its own, so the result is multiplied by the total variance of the rows. `variance` is the mean
    variance of their columns.
    """
    chain = batch.chain if isinstance(batch, ChainPass) else None
    norm = contraction(network, batch.inputs, n_probes, batch.generator, chain)
    return norm if network.code_scales_with_data else norm * (variance * batch.inputs.shape[-1])


def _squared_norms(
    chain: EncoderChain, n_features: int, n_probes: int | None, generator: torch.Generator | None
) -> Tensor:
    """Return the squared Frobenius norm of the Jacobian at each row: ``(..., n)``."""
    slope, first = chain.code_slope, chain.weights[0]
    if not chain.slopes:
        norms = first.square().sum(-2, keepdim=True)
        return (slope.square() * norms).sum(-1)
    n_rows, width = slope.shape[-2], first.shape[-1]
    n_directions = n_rows * (n_probes or min(slope.shape[-1], n_features))
    # Products with the Gram matrix of W, which is first computed, instead of with W.
    of_rows, of_gram = n_directions * n_features, width * n_features
    if chain.has_linear_code and len(chain.slopes) == 1 and of_gram + n_rows * width <= of_rows:
        return _norms_of_one_hidden_layer(chain)
    if n_probes is None and n_features < slope.shape[-1]:
        return chain.push_forward().square().sum((-2, -1))
    directions = None
    if n_probes is not None:
        directions = probes(slope, n_probes, generator)
    if of_gram + n_directions * width > of_rows:
        squares = chain.jacobians(directions).square()
        return squares.sum((-2, -1)) / (n_probes or 1)
    # ||F W^T + C S^T||^2 = tr(F W^T W F^T + 2 C S^T W F^T + C S^T S C^T)
    product = chain.pull_back(directions)
    factor = _times(product, first.mT @ first)
    if chain.skip is None:
        return (factor * product).sum((-2, -1)) / (n_probes or 1)
    factor = factor + 2.0 * chain.from_code(chain.skip.mT @ first, directions)
    squares = (factor * product).sum((-2, -1))
    if directions is None:
        squares = squares + (slope.square() * chain.skip.square().sum(-2, keepdim=True)).sum(-1)
    else:
        squares = squares + chain.from_code(chain.skip.mT, directions).square().sum((-2, -1))
    return squares / (n_probes or 1)


def probes(rows: Tensor, n_probes: int, generator: torch.Generator | None) -> Tensor:
    """Return random directions of entries 1 and -1 for each row: ``(..., n, n_probes, k)``.

    The directions of successive rows are rows of a Hadamard matrix, with random signs of the
    columns. Over K successive directions, with K the next power of 2 from k on, any two columns are
    orthogonal. What the Jacobians of these rows have in common is then measured without error.
    """
    n_rows, n_columns = rows.shape[-2:]
    n_bits = (n_columns - 1).bit_length()
    drawn = torch.arange(n_rows * n_probes, device=rows.device) % 2**n_bits
    # A Kronecker product of two small matrices. Only the rows that are drawn are computed.
    high, low = _hadamard(n_bits - n_bits // 2, rows), _hadamard(n_bits // 2, rows)
    outer, inner = high[drawn // len(low)], low[drawn % len(low)]
    matrix = (outer.unsqueeze(-1) * inner.unsqueeze(-2)).flatten(-2)[:, :n_columns]
    signs = rows.new_empty(*rows.shape[:-2], 1, 1, n_columns)
    signs = signs.bernoulli_(0.5, generator=generator).mul_(2.0).sub_(1.0)
    return signs * matrix.unflatten(0, (n_rows, n_probes))


def _hadamard(n_bits: int, like: Tensor) -> Tensor:
    """Return Sylvester's Hadamard matrix of ``2**n_bits`` rows."""
    matrix = like.new_ones(1, 1)
    for _ in range(n_bits):
        matrix = torch.cat([torch.cat([matrix, matrix], 1), torch.cat([matrix, -matrix], 1)])
    return matrix


def _norms_of_one_hidden_layer(chain: EncoderChain) -> Tensor:
    """Return the squared norms of ``V^T D W^T + S^T``, with D the slopes of a row.

    They are quadratic in the slopes s: ``s^T (W^T W * V V^T) s + 2 s^T diag(W^T S V^T) + ||S||^2``.
    """
    (first, last), (slope,), skip = chain.weights, chain.slopes, chain.skip
    quadratic = (first.mT @ first) * (last @ last.mT)
    if skip is None:
        return ((slope @ quadratic) * slope).sum(-1)
    linear = ((first.mT @ skip) * last).sum(-1).unsqueeze(-2)
    constant = skip.square().sum((-2, -1)).unsqueeze(-1)
    return ((slope @ quadratic + 2.0 * linear) * slope).sum(-1) + constant


def row_jacobians(function: Callable[[Tensor], Tensor], rows: Tensor, n_outputs: int) -> Tensor:
    """Return the Jacobian at each row, ``(n, outputs, d)``, of a function of single rows."""
    with torch.enable_grad():
        points = rows.detach().requires_grad_()
        outputs = function(points)
        gradients = [
            torch.autograd.grad(outputs[:, i].sum(), points, retain_graph=True)[0]
            for i in range(n_outputs)
        ]
    return torch.stack(gradients, 1)


def decoder_jacobians(decode: Decoder, codes: Tensor) -> Tensor:
    """Return the transposed Jacobian of a decoder at each code: ``(rows, components, outputs)``.

    For any decoder, by autograd. Reverse mode is used if the code is wider than the output,
    otherwise forward mode.
    """
    n_rows, n_components = codes.shape
    n_outputs = decode(codes[:1]).numel()
    if n_outputs < n_components:
        return row_jacobians(decode, codes, n_outputs).mT
    directions = torch.eye(n_components, dtype=codes.dtype).repeat(n_rows, 1)
    with torch.enable_grad():
        points = codes.repeat_interleave(n_components, 0).requires_grad_()
        outputs = decode(points)
        # Forward mode as two reverse passes: the derivative of v^T J u with respect to v is J u.
        # torch's own forward mode would import its compiler, which takes seconds.
        weights = torch.zeros_like(outputs, requires_grad=True)
        (pulled_back,) = torch.autograd.grad(outputs, points, weights, create_graph=True)
        (pushed,) = torch.autograd.grad(pulled_back, weights, directions)
    return pushed.view(n_rows, n_components, -1)

"""The canonical code: principal axes of a linear code, in the units of X.

A linear code can be mapped by any invertible matrix without changing a reconstruction: the layers
on either side absorb it. Of all equivalent codes, the canonical one has

- mean 0 and uncorrelated columns,
- a decoder whose mean squared sensitivity to the code is the identity: a step of 1 along any
  column moves the reconstruction by 1 (root mean square),
- columns in decreasing order of their variance, which by the last point is the variance that
  they carry through the decoder,
- the sign of each column such that its largest loading (of `components_`) is positive.

For a linear autoencoder this is PCA.

A code of rectified units, or one with a penalty on its units, keeps its units; of the above, only
their scales are free: a step of 1 along a unit moves the reconstruction by 1. Under a linear
decoder, atoms have norm 1, as in dictionary learning.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

import torch
from torch import Tensor

from skae._core.model import Model
from skae._core.networks import AutoencoderNetwork
from skae._core.numerics import resting_place

_JACOBIAN_ENTRIES = 2**23
_JACOBIAN_PRODUCTS = 2**32
_ROWS_OF_METRIC = 256
# Rows that tell how far a step may go: roughly will do.
_ROWS_OF_PRECONDITIONER = 32
# Squared sensitivity, in training units, below which a decoder ignores its code.
_NO_SENSITIVITY = 1e-20
# Summed squares of all entries, in training units, below which nothing varies but by rounding.
_NO_VARIANCE = 1e-30

Decoder = Callable[[Tensor], Tensor]


def decoder_jacobians(decode: Decoder, codes: Tensor) -> Tensor:
    """Jacobian of the decoder at each code, transposed: ``(rows, components, outputs)``.

    Reverse mode where the code is wider than the output, else forward mode.
    """
    n_rows, n_components = codes.shape
    n_outputs = decode(codes[:1]).numel()
    n_directions = min(n_outputs, n_components)
    directions = torch.eye(n_directions, dtype=codes.dtype).repeat(n_rows, 1)
    with torch.enable_grad():
        points = codes.repeat_interleave(n_directions, 0).requires_grad_()
        outputs = decode(points)
        if n_outputs < n_components:
            (pulled_back,) = torch.autograd.grad(outputs, points, directions.view_as(outputs))
            return pulled_back.view(n_rows, n_outputs, n_components).mT
        # Two reverse passes: the derivative by v of v^T J u is J u. torch's own forward mode would
        # import its compiler, which takes seconds.
        weights = torch.zeros_like(outputs, requires_grad=True)
        (pulled_back,) = torch.autograd.grad(outputs, points, weights, create_graph=True)
        (pushed,) = torch.autograd.grad(pulled_back, weights, directions)
    return pushed.view(n_rows, n_components, -1)


def sensitivity(
    decode: Decoder,
    codes: Tensor,
    n_outputs: int,
    n_products: int = 0,
    most_rows: int = _ROWS_OF_METRIC,
) -> Tensor:
    """Mean of J^T J, J the decoder's Jacobian, over rows drawn by a seed of their own; ``(k, k)``.

    `n_products` is about how many multiplications a row takes; fewer rows do where it is large.
    """
    n_components = codes.shape[1]
    entries_of_a_row = n_outputs * n_components
    n_rows = _JACOBIAN_ENTRIES // entries_of_a_row
    n_rows = max(16, min(n_rows, _JACOBIAN_PRODUCTS // max(1, n_products * n_components)))
    n_rows = min(n_rows, most_rows)
    # Evenly spaced ones would all be of one hour of the day, where the rows are hours.
    drawn = torch.randperm(len(codes), generator=torch.Generator().manual_seed(0))
    sample = codes[drawn[:n_rows]].double()
    total = sample.new_zeros(n_components, n_components)
    for chunk in sample.split(max(1, _JACOBIAN_ENTRIES // entries_of_a_row)):
        jacobians = decoder_jacobians(decode, chunk).transpose(0, 1).flatten(1)
        total.addmm_(jacobians, jacobians.T)
    return total / len(sample)


def largest_loading_signs(components: Tensor) -> Tensor:
    """Sign of the entry of largest size in each row (1 for a row of zeros); ``(k,)``."""
    largest = components.gather(1, components.abs().argmax(1, keepdim=True))[:, 0]
    return torch.where(largest < 0, -1.0, 1.0).to(components.dtype)


class Axes(Enum):
    """Which axes a fitted code is put on."""

    PRINCIPAL = "principal"
    TURNED = "turned"  # principal, as far as that keeps lengths
    SCALED = "scaled"
    AS_TRAINED = "as trained"


@torch.no_grad()
def canonical_map(codes: Tensor, metric: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
    """Matrix A, its inverse and the mean m of the map ``code -> (code - m) A``.

    Parameters
    ----------
    codes : Tensor of shape (n, k), float64
    metric : Tensor of shape (k, k), float64, or None
        The decoder's sensitivity. None keeps lengths (a pure rotation), as tied weights need; so
        does a decoder that ignores the code.
    """
    mean = codes.mean(0)
    centred = codes - mean
    covariance = centred.T @ centred / max(1, len(codes) - 1)
    if metric is None or metric.diagonal().max() < _NO_SENSITIVITY:
        metric = torch.eye(len(covariance), dtype=codes.dtype, device=codes.device)
    squares, axes = torch.linalg.eigh(metric)
    # A direction that the decoder ignores has no scale of its own.
    roots = squares.clamp_min(squares[-1] * 1e-8).sqrt()
    root, inverse_root = (axes * roots) @ axes.T, (axes / roots) @ axes.T
    _, rotation = torch.linalg.eigh(root @ covariance @ root)
    rotation = rotation.flip(1)
    return root @ rotation, rotation.T @ inverse_root, mean


@dataclass(frozen=True)
class Description:
    """What a fitted code is like, in training units.

    Attributes
    ----------
    components : Tensor of shape (k, d)
        The decoder's Jacobian at the mean code, transposed.
    carried : Tensor of shape (k,)
        Variance that each column carries through the decoder.
    r2 : float
        Share of the training variance that the reconstruction explains.
    r2_of_encoder : float
        The same without steps on from the encoder's code.
    """

    components: Tensor
    carried: Tensor
    r2: float
    r2_of_encoder: float


@torch.no_grad()
def describe(
    model: Model,
    z: Tensor,
    axes: Axes,
    n_refinements: int | None = None,
    dtype: torch.dtype = torch.float64,
) -> Description:
    """Describe the code of the rows z, after putting it on the axes asked for.

    The code is that of `Model.encode` in the precision of `dtype`, after so many steps; with None,
    it can never take one.
    Leaves the network's weights in float32 and its fixed linear path in float64.
    """
    network, tied = model.network.eval(), model.network.decoder.layers[0].transposed
    model.preconditioner = None
    codes, r2_of_encoder = _encode_and_score(model, z)
    r2 = r2_of_encoder
    _make_exact(network)
    if n_refinements is not None:
        metric = _metric(model, codes, z, _ROWS_OF_PRECONDITIONER)
        if metric.diagonal().max() >= _NO_SENSITIVITY:
            model.preconditioner = _inverse(metric)
    if model.preconditioner is not None and n_refinements:
        network.to(resting_place(z.device), dtype)
        codes, r2 = _encode_and_score(model, z, n_refinements)
        _make_exact(network)
    metric = _metric(model, codes, z)
    mean = codes.mean(0, dtype=torch.float64)
    turns = axes in (Axes.PRINCIPAL, Axes.TURNED)
    if axes is Axes.SCALED and not tied:  # a change of scale would tear tied weights apart
        scales = metric.diagonal().sqrt()
        scales = torch.where(scales > 0, scales, torch.ones_like(scales))
        forward, inverse = torch.diag(scales), torch.diag(1.0 / scales)
        _move(model, forward, inverse, torch.zeros_like(scales))
        codes, mean = codes.mul_(scales), mean * scales
        metric = metric / torch.outer(scales, scales)
    if turns:
        keeps_lengths = tied or axes is Axes.TURNED
        forward, inverse, mean = canonical_map(codes, None if keeps_lengths else metric)
        _move(model, forward, inverse, mean)
        codes, metric = (codes - mean) @ forward, inverse @ metric @ inverse.T
        mean = torch.zeros_like(mean)
    components = decoder_jacobians(model.decode, mean[None])[0]
    if turns:
        signs = largest_loading_signs(components)
        _move(model, torch.diag(signs), torch.diag(signs), torch.zeros_like(signs))
        components = components * signs[:, None]
    for p in network.parameters():
        p.data = p.data.float()
    variances = codes.var(0) if len(codes) > 1 else torch.zeros_like(mean)
    return Description(components.detach(), variances * metric.diagonal(), r2, r2_of_encoder)


def _make_exact(network: AutoencoderNetwork) -> None:
    network.cpu().double()
    network.restore_linear_paths()


def _metric(model: Model, codes: Tensor, z: Tensor, most_rows: int = _ROWS_OF_METRIC) -> Tensor:
    network, n_outputs = model.network, math.prod(z.shape[1:])
    if network.decoder.is_linear and model.loss.link is None:
        most_rows = 1
    return sensitivity(model.decode, codes, n_outputs, network.n_products(), most_rows)


def _inverse(metric: Tensor) -> Tensor:
    squares, axes = torch.linalg.eigh(metric)
    # Along a direction that the decoder all but ignores, a step would have no end.
    return (axes / squares.clamp_min(squares[-1] * 1e-6)) @ axes.T


def _move(model: Model, forward: Tensor, inverse: Tensor, mean: Tensor) -> None:
    apply_map(model.network, forward, inverse, mean)
    if model.preconditioner is not None:
        model.preconditioner = forward.T @ model.preconditioner @ forward


@torch.no_grad()
def _encode_and_score(
    model: Model, z: Tensor, n_refinements: int | None = None
) -> tuple[Tensor, float]:
    # A linear code is turned, and that in float64; wide codes are of another kind and stay small.
    linear = model.network.code_activation == "identity" and model.network.n_active is None
    codes, error, total = [], 0.0, 0.0
    centre = z.nanmean(0).to(model.device)
    dtype = next(model.network.parameters()).dtype
    for part in z.split(model.rows_at_a_time):
        chunk = part.to(model.device).to(dtype)  # in this order: not every device has float64
        code = model.encode(chunk, n_refinements)
        # Missing entries are NaN and do not count; a reconstruction that is NaN does.
        squares = (model.decode(code) - chunk).square()
        error += float(squares.masked_fill(chunk.isnan(), 0.0).sum())
        total += float((chunk - centre).square().nansum())
        codes.append(code.cpu().double() if linear else code.cpu())
    # Where nothing varies, there is nothing to explain; a network may err there all the same.
    r2 = 1.0 - error / total if total > _NO_VARIANCE else float(error <= total)
    return torch.cat(codes), r2


@torch.no_grad()
def apply_map(network: AutoencoderNetwork, forward: Tensor, inverse: Tensor, mean: Tensor) -> None:
    """Replace the code by ``(code - mean) forward``, leaving every reconstruction as it is.

    All in float64, the network included.
    """
    encoder, decoder = network.encoder, network.decoder
    last, first = encoder.layers[-1], decoder.layers[0]
    if first.transposed:  # one tensor with `last`, and `forward` is orthogonal
        first.bias.add_(mean @ first.weight.T)
    else:
        first.bias.add_(mean @ first.weight)
        first.weight.copy_(inverse @ first.weight)
    last.weight.copy_(last.weight @ forward)
    last.bias.copy_((last.bias - mean) @ forward)
    if encoder.shortcut is not None:
        assert encoder.offset is None
        encoder.set_linear_path(encoder.shortcut @ forward, None)
    if decoder.shortcut is not None:
        moved = mean @ decoder.shortcut
        offset = moved if decoder.offset is None else decoder.offset + moved
        decoder.set_linear_path(inverse @ decoder.shortcut, offset if offset.any() else None)

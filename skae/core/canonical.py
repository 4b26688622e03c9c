"""The canonical code: a linear code on its principal axes, in the units of X.

A linear code can be multiplied by any invertible matrix without changing the reconstruction,
because the layers on either side absorb the matrix. Of all equivalent codes, the canonical one has

- mean 0 and uncorrelated columns,
- a decoder with Jacobian J such that the mean of J^T J over the rows is the identity: a step of 1
  along any column moves the reconstruction by 1 (root mean square),
- columns in decreasing order of variance; by the previous point, this is the variance that a
  column carries through the decoder,
- signs such that the loading of each column that is largest in absolute value (in `components_`)
  is positive.

For a linear autoencoder this is PCA.

If the objective is not invariant to every such map (`CodeSymmetry`), only a map that leaves it
unchanged is applied: a rotation, or a rescaling of each unit after which a step of 1 along the unit
moves the reconstruction by 1. Under a linear decoder, atoms then have norm 1. Where the first
columns are a code of their own, the map is triangular (`skae.core.triangular`).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from skae.core.criterion import CodeSymmetry
from skae.core.jacobians import Decoder, decoder_jacobians
from skae.core.model import Model
from skae.core.networks.autoencoder import AutoencoderNetwork
from skae.core.networks.conv import ConvolutionalDecoder
from skae.core.networks.dense import MLP, Dense
from skae.core.numerics import inference_device
from skae.core.triangular import triangular_map

_MAX_JACOBIAN_ENTRIES = 2**23
_PART_ENTRIES = 2**20  # of the Jacobians computed at once, which should stay in the cache
_MAX_MULTIPLY_ADDS = 2**32
_METRIC_ROWS = 256
# The preconditioner of the refinement steps need not be exact.
_PRECONDITIONER_ROWS = 32
# Squared sensitivity, in training units, below which a decoder is taken to ignore its code.
_NO_SENSITIVITY = 1e-20
# Sum of squares of all entries, in training units, below which data vary only by rounding.
_NO_VARIANCE = 1e-30

Factors = Callable[[Tensor], tuple[Tensor, Tensor | None]]


def sensitivity(
    factors: Factors,
    codes: Tensor,
    n_outputs: int,
    multiply_adds: int = 0,
    max_rows: int = _METRIC_ROWS,
) -> Tensor:
    """Return the mean of J^T J over a sample of rows, with J the decoder's Jacobian: ``(k, k)``.

    The sample is drawn with a fixed seed. It has at most `max_rows` rows, and fewer if the Jacobian
    or the `multiply_adds` of a row are large.

    Parameters
    ----------
    factors : callable
        ``codes -> (A, B)``, whose product is J^T at each code. A has shape ``(rows, k, h)`` and B,
        ``(h, n_outputs)``; None is the identity.
    codes : Tensor of shape (n, k)
    n_outputs, multiply_adds, max_rows : int
    """
    n_components = codes.shape[1]
    entries_per_row = n_outputs * n_components
    n_rows = _MAX_JACOBIAN_ENTRIES // entries_per_row
    n_rows = max(16, min(n_rows, _MAX_MULTIPLY_ADDS // max(1, multiply_adds * n_components)))
    n_rows = min(n_rows, max_rows)
    # Not evenly spaced: rows of hourly data could all come from the same hour of the day.
    drawn = torch.randperm(len(codes), generator=torch.Generator().manual_seed(0))
    sample = codes[drawn[:n_rows]].double()
    total = sample.new_zeros(n_components, n_components)
    gram = None
    for chunk in sample.split(max(1, _PART_ENTRIES // entries_per_row)):
        factor, base = factors(chunk)
        if base is not None and len(base) >= n_outputs:
            factor, base = factor @ base, None
        weighted = factor
        if base is not None:  # J^T J = A (B B^T) A^T, without any product as wide as the output
            gram = base @ base.T if gram is None else gram
            weighted = factor @ gram
        total += torch.bmm(weighted, factor.mT).sum(0)
    return total / len(sample)


def largest_loading_signs(components: Tensor) -> Tensor:
    """Return the sign of each row's entry of largest absolute value (1 if all are 0): ``(k,)``."""
    largest = components.gather(1, components.abs().argmax(1, keepdim=True))[:, 0]
    return torch.where(largest < 0, -1.0, 1.0).to(components.dtype)


@torch.no_grad()
def canonical_map(codes: Tensor, metric: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
    """Return the matrix A, its inverse and the mean m of the map ``code -> (code - m) A``.

    Parameters
    ----------
    codes : Tensor of shape (n, k), float64
    metric : Tensor of shape (k, k), float64, or None
        The decoder's sensitivity. None makes A a rotation, which tied weights require. A is also a
        rotation if the decoder ignores the code.
    """
    mean = codes.mean(0)
    centred = codes - mean
    covariance = centred.T @ centred / max(1, len(codes) - 1)
    if metric is None or metric.diagonal().max() < _NO_SENSITIVITY:
        metric = torch.eye(len(covariance), dtype=codes.dtype, device=codes.device)
    squares, axes = torch.linalg.eigh(metric)
    # A direction that the decoder ignores has no scale.
    roots = squares.clamp_min(squares[-1] * 1e-8).sqrt()
    root, inverse_root = (axes * roots) @ axes.T, (axes / roots) @ axes.T
    _, rotation = torch.linalg.eigh(root @ covariance @ root)
    rotation = rotation.flip(1)
    return root @ rotation, rotation.T @ inverse_root, mean


@dataclass(frozen=True)
class CodeSummary:
    """Summary of the code of the training rows, in training units.

    Attributes
    ----------
    components : Tensor of shape (k, d)
        Linear map from the centred code to the rows, by least squares; or that of the decoder.
    component_variance : Tensor of shape (k,)
        Variance that each column carries through the decoder.
    r2 : float
        Share of the training variance that the reconstruction explains.
    encoder_r2 : float
        The same for the encoder's codes, before refinement; NaN if it was not asked for.
    total : float
        Sum of squares of all entries about the means of the columns; missing ones are estimated.
    """

    components: Tensor
    component_variance: Tensor
    r2: float
    encoder_r2: float
    total: float


@torch.no_grad()
def canonicalise(
    model: Model,
    z: Tensor,
    symmetry: CodeSymmetry,
    n_steps: int | None = None,
    dtype: torch.dtype = torch.float64,
    in_features: Callable[[Tensor], Tensor] | None = None,
    *,
    scores_encoder: bool = True,
    has_pca_axes: bool = False,
    is_part: bool = False,
) -> CodeSummary:
    """Convert the code of a model to its canonical form, in place, and summarise it.

    Afterwards, weights are float32 and skip connections float64, and the model's preconditioner is
    set if codes are refined.

    Parameters
    ----------
    model : Model
        Without a model axis.
    z : Tensor of shape (n, d)
        Training rows, in training units.
    symmetry : CodeSymmetry
        Changes of the code that leave the objective unchanged.
    n_steps : int or None
        Number of refinement steps in `Model.encode`; None if codes are never refined.
    dtype : torch.dtype, precision of the codes
    in_features : callable or None
        Converts components to those of features, if z are other coordinates.
    scores_encoder : bool
        Whether to compute `CodeSummary.encoder_r2` even if codes are refined.
    has_pca_axes : bool
        Whether the code is that of PCA, whatever the symmetry of the objective.
    is_part : bool
        Whether z may be too few rows for least squares. The components are then the decoder's
        Jacobian at the mean code, as for a decoder of one layer.
    """
    network, tied = model.network.eval(), model.network.decoder.layers[0].transposed
    model.preconditioner = None
    scores = scores_encoder or not n_steps
    codes, encoder_r2, total, products = _encode_and_score(model, z, scores=scores)
    r2 = encoder_r2
    network.cpu().double().restore_skips()
    if n_steps is not None:
        set_preconditioner(model, codes, z)
    if n_steps and (model.preconditioner is not None or not scores_encoder):
        network.to(inference_device(z.device), dtype)
        codes, r2, total, products = _encode_and_score(model, z, n_steps)
        network.cpu().double().restore_skips()
    metric = _metric(model, codes, z)
    mean = codes.mean(0, dtype=torch.float64)
    components = None
    if not (network.decoder.is_linear or has_pca_axes or is_part):
        centred = codes - mean  # in float64
        components = torch.linalg.pinv(centred.mT @ centred, hermitian=True) @ products
    if symmetry is CodeSymmetry.SCALE and not tied:  # rescaling would untie the weights
        scales = metric.diagonal().sqrt()
        scales = torch.where(scales > 0, scales, torch.ones_like(scales))
        forward, inverse = torch.diag(scales), torch.diag(1.0 / scales)
        _apply(model, forward, inverse, torch.zeros_like(scales))
        codes, mean = codes.mul_(scales), mean * scales
        metric = metric / torch.outer(scales, scales)
        components = None if components is None else inverse @ components
    is_mapped = CodeSymmetry.ROTATION in symmetry
    if symmetry is CodeSymmetry.TRIANGULAR:
        is_mapped, (forward, inverse, mean) = True, triangular_map(codes, metric)
    elif is_mapped:
        keeps_lengths = tied or symmetry is CodeSymmetry.ROTATION
        forward, inverse, mean = canonical_map(codes, None if keeps_lengths else metric)
    if is_mapped:
        _apply(model, forward, inverse, mean)
        codes, metric = (codes - mean) @ forward, inverse @ metric @ inverse.T
        mean = torch.zeros_like(mean)
        components = None if components is None else inverse @ components
    if components is None:
        factor, base = jacobian_factors(model, model.decode, mean[None])
        components = factor[0] if base is None else factor[0] @ base
    if in_features is not None:
        components = in_features(components)
    # PCA's signs were chosen by loadings of coordinates, not of features.
    if is_mapped or (has_pca_axes and in_features is not None and network.is_code_linear):
        signs = largest_loading_signs(components)
        _apply(model, torch.diag(signs), torch.diag(signs), torch.zeros_like(signs))
        components = components * signs[:, None]
    for p in network.parameters():
        p.data = p.data.float()
    variances = codes.var(0) if len(codes) > 1 else torch.zeros_like(mean)
    variances.mul_(metric.diagonal())
    return CodeSummary(components.detach(), variances, r2, encoder_r2, total)


def set_preconditioner(model: Model, codes: Tensor, z: Tensor) -> None:
    """Set the preconditioner of the refinement steps, unless the decoder ignores the codes.

    The network is in float64, with its skip connections before rounding.
    """
    decode = partial(_decode_stabilised, model) if model.loss.is_relative else model.decode
    metric = _metric(model, codes, z, _PRECONDITIONER_ROWS, decode)
    for size, weight in model.network.prefix_weights:
        of_prefix = _metric(model, codes[:, :size], z, _PRECONDITIONER_ROWS, decode)
        metric[:size, :size] += weight * of_prefix
    # It is NaN where the rates of counts are 0, whatever the code.
    if not metric.diagonal().max() >= _NO_SENSITIVITY:
        return
    squares, axes = torch.linalg.eigh(metric)
    # Bounded, because a step along a direction that the decoder almost ignores would be huge.
    model.preconditioner = (axes / squares.clamp_min(squares[-1] * 1e-6)) @ axes.T


def _decode_stabilised(model: Model, codes: Tensor) -> Tensor:
    """Decode counts to the variance-stabilising square root of their rates.

    The refined loss is about half the squared distance there.
    """
    output = model.network.decode(codes)
    return torch.sqrt(model.response(output) * (2.0 / model.deviance_of_mean))


def _metric(
    model: Model,
    codes: Tensor,
    z: Tensor,
    max_rows: int = _METRIC_ROWS,
    decode: Decoder | None = None,
) -> Tensor:
    network, n_outputs = model.network, math.prod(z.shape[1:])
    if network.decoder.is_linear and model.loss.link is None:
        max_rows = 1
    factors = partial(jacobian_factors, model, decode or model.decode)
    return sensitivity(factors, codes, n_outputs, network.multiply_adds(), max_rows)


@torch.no_grad()
def jacobian_factors(model: Model, decode: Decoder, codes: Tensor) -> tuple[Tensor, Tensor | None]:
    """Return the factors of the transposed Jacobian at each code; see `sensitivity`."""
    network, decoder = model.network, model.network.decoder
    is_decoder_alone = model.loss.link is None and type(network).decode is AutoencoderNetwork.decode
    # A custom decoder may do anything else besides. A code wider than the rows is pulled back.
    is_known = type(decoder) in (MLP, ConvolutionalDecoder)
    is_known = is_known and all(type(layer) is Dense for layer in decoder.layers)
    if is_decoder_alone and is_known and codes.shape[1] <= len(model.mean):
        return decoder.push_forward(codes)
    return decoder_jacobians(decode, codes), None


def _apply(model: Model, forward: Tensor, inverse: Tensor, mean: Tensor) -> None:
    model.network.map_code(forward, inverse, mean)
    if model.preconditioner is not None:
        model.preconditioner = forward.T @ model.preconditioner @ forward


@torch.no_grad()
def _encode_and_score(
    model: Model, z: Tensor, n_steps: int | None = None, *, scores: bool = True
) -> tuple[Tensor, float, float, Tensor]:
    """Return the codes, the share of the variance that they explain, and two sums over the rows.

    These are the squares of rows minus their mean, scaled up for missing entries, and the products
    of codes with such rows, filled by the reconstruction: ``(k, d)``. NaN or 0 without `scores`.
    """
    network, n_done, error, total, products = model.network, 0, 0.0, 0.0, torch.zeros(())
    may_miss, dtype = network.imputes_missing, next(network.parameters()).dtype
    # A linear code is rotated later, in float64. Other codes may be wide, so they stay in float32.
    # One tensor: small ones, left between parts of the rows, would keep their memory from reuse.
    shape = len(z), network.encoder.layers[-1].bias.shape[-1]
    codes = torch.empty(shape, dtype=torch.float64 if network.is_code_linear else dtype)
    n_observed = torch.tensor(len(z))  # in each column
    if may_miss:
        n_observed = len(z) - sum(part.isnan().sum(0) for part in z.split(model.chunk_size))
    if scores:
        # Not z.nanmean(0), whose count of the values takes twice the memory of z.
        centre = (z.nansum(0) / n_observed).to(z.dtype).to(model.device)
    for part in z.split(model.chunk_size):
        chunk = part.to(model.device).to(dtype)  # in this order: not every device has float64
        code = model.encode(chunk, n_steps)
        codes[n_done : n_done + len(code)] = code
        n_done += len(code)
        if not scores:
            continue
        output = model.decode(code)
        if not network.decoder.is_linear:
            filled = torch.where(chunk.isnan(), output, chunk) if may_miss else chunk
            products = products + (code.mT @ (filled - centre)).cpu().double()
        # Missing entries (NaN) are ignored, but a reconstruction that is NaN is not.
        squares = (output - chunk).square_()
        error += float((squares.masked_fill_(chunk.isnan(), 0.0) if may_miss else squares).sum())
        total += float((chunk - centre).square_().nansum())
    if not scores:
        return codes, math.nan, math.nan, products
    # Constant data have no variance to explain, but the network may still get them wrong.
    r2 = 1.0 - error / total if total > _NO_VARIANCE else float(error <= total)
    share_observed = float(n_observed.double().mean()) / len(z)
    return codes, r2, total / max(share_observed, 1e-30), products

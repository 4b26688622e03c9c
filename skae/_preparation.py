"""From X to what the core trains on: units and the PCA start."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Integral
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse import issparse
from sklearn.decomposition import PCA
from sklearn.utils import gen_batches
from torch import Tensor

from skae._core.model import Model
from skae._core.networks import (
    ACTIVATIONS,
    AutoencoderNetwork,
    VariationalNetwork,
    keep_largest,
)
from skae._core.variational import LEAST_NOISE
from skae._sparse_input import Array, sparse_means, sparse_rows, sparse_scale

_ROWS_AT_A_TIME = 4096
_EXACT_UP_TO = 1000
# Deviations below this share of the largest are rounding noise of float32.
_NO_DEVIATION = 1e-5


def feature_means(X: Any) -> NDArray[np.float64]:
    """Mean of each feature's entries that are not missing."""
    return sparse_means(X) if issparse(X) else _means_and_extremes(X)[0]


def _means_and_extremes(
    X: Array,
) -> tuple[NDArray[np.float64], NDArray[np.floating], NDArray[np.floating]]:
    high, low = np.fmax.reduce(X, axis=0), np.fmin.reduce(X, axis=0)
    means: NDArray[np.float64] = X.mean(axis=0, dtype=np.float64)
    if np.isnan(means).any():
        empty = np.flatnonzero(np.isnan(high))
        if len(empty):
            raise ValueError(
                f"Features {empty.tolist()} have no value in any training row, so nothing can be "
                "learned about them. Drop them from X."
            )
        means = np.nanmean(X, axis=0, dtype=np.float64)
    # A constant, without the rounding of its mean.
    return np.where(high == low, high, means), high, low


def mean_and_scale(X: Any) -> tuple[NDArray[np.float64], float]:
    """Feature means, and the root mean square of ``X - mean`` over all entries.

    Missing entries (NaN) do not count.
    """
    if issparse(X):
        mean = sparse_means(X)
        return mean, sparse_scale(X, mean)
    mean, high, low = _means_and_extremes(X)
    # Squares of the largest deviation may overflow; squares relative to it do not.
    largest = float(np.maximum(high - mean, mean - low).max())
    # Rounding noise about a constant is not a scale.
    if largest <= 4 * np.finfo(X.dtype).eps * float(np.abs(mean).max()):
        return mean, 1.0
    total, n_entries = 0.0, 0
    for rows in gen_batches(len(X), _ROWS_AT_A_TIME):
        squares = np.square((X[rows] - mean) / largest)
        total += float(np.nansum(squares))
        n_entries += squares.size - int(np.count_nonzero(np.isnan(squares)))
    return mean, largest * float(np.sqrt(total / n_entries))


def training_rows(X: Any, mean: NDArray[np.float64], scale: float) -> Tensor:
    """Return the rows that a training runs on, (X - mean) / scale in float32."""
    if not issparse(X):
        return torch.from_numpy(standardise(X, mean, scale))
    values = ((X.data - mean[X.indices]) / scale).astype(np.float32)
    return sparse_rows(X, values, (-mean / scale).astype(np.float32))


def standardise(
    X: Array, mean: NDArray[np.float64], scale: float, dtype: type[np.floating] = np.float32
) -> NDArray[Any]:
    """Return (X - mean) / scale.

    Subtraction is in float64: X far from 0 keeps its digits.
    """
    z = np.empty(X.shape, dtype=dtype)
    for rows in gen_batches(len(X), _ROWS_AT_A_TIME):
        z[rows] = (X[rows] - mean) / scale
    return z


@dataclass(frozen=True)
class PrincipalStart:
    """PCA in training units, padded with zeros where components outnumber the rank.

    Attributes
    ----------
    components : ndarray of shape (n_components, n_features)
    standard_deviations : ndarray of shape (n_components,)
    centre : ndarray of shape (n_features,)
        Mean of the rows of this PCA.
    residual : float
        Share of the variance that PCA leaves unexplained.
    noise_variance : float
        Variance of the noise in probabilistic PCA: the mean variance of the other directions.
    """

    components: NDArray[np.float64]
    standard_deviations: NDArray[np.float64]
    centre: NDArray[np.float64]
    residual: float
    noise_variance: float


def fit_pca(z: Array, n_components: int | float, seed: int) -> PrincipalStart:
    """Fit scikit-learn's PCA: LAPACK on small data, covariance or randomised on large.

    Parameters
    ----------
    z : ndarray of shape (n_samples, n_features)
        In training units: the covariance of X far from 0 would lose all digits.
    n_components : int or float
        A float in (0, 1) asks for the fewest components that explain this share of variance.
    seed : int
        For the randomised solver.
    """
    is_share = not isinstance(n_components, Integral)
    if np.ptp(z, axis=0).max() == 0:  # nothing varies; PCA would divide by 0
        kept = 1 if is_share else int(n_components)
        axes, centre = np.eye(kept, z.shape[1]), z[0].astype(float)
        return PrincipalStart(axes, np.zeros(kept), centre, residual=0.0, noise_variance=0.0)
    # scikit-learn's choice, but exact where that takes a second: its randomised solver, which it
    # takes from 500 rows on, costs up to 1 % of the error where the spectrum is flat.
    few_rows = len(z) < 10 * z.shape[1]
    solver = "full" if few_rows and min(z.shape) <= _EXACT_UP_TO else "auto"
    wanted = n_components if is_share else min(int(n_components), *z.shape)
    pca = PCA(wanted, svd_solver=solver, random_state=seed).fit(z)
    kept = int(pca.n_components_) if is_share else int(n_components)
    components = np.zeros((kept, z.shape[1]))
    deviations = np.zeros(kept)
    components[: pca.n_components_] = pca.components_
    deviations[: pca.n_components_] = np.sqrt(pca.explained_variance_)
    residual = max(0.0, 1.0 - float(pca.explained_variance_ratio_.sum(dtype=np.float64)))
    centre, noise_variance = pca.mean_.astype(np.float64), float(pca.noise_variance_)
    return PrincipalStart(components, deviations, centre, residual, noise_variance)


@torch.no_grad()
def anchor(
    network: AutoencoderNetwork, starts: Sequence[PrincipalStart], parts: Sequence[Tensor]
) -> None:
    """Lay PCA beside both perceptrons.

    With a linear code this is PCA itself. With another code activation the encoder's path is PCA
    at unit variance, where activations bend, and the decoder's is the least-squares map back.

    Parameters
    ----------
    network : AutoencoderNetwork
    starts : sequence of PrincipalStart
        One a model.
    parts : sequence of Tensor
        The rows of each start, in training units.
    """
    paths = [_linear_path(network, *pair) for pair in zip(starts, parts, strict=True)]
    if len(paths) == 1:
        encode, decode, offset, left_over = paths[0]
    else:
        encode, decode, offset = (
            torch.stack(tensors) for tensors in list(zip(*paths, strict=True))[:3]
        )
        offset, left_over = offset[:, None], paths[-1][3]
    network.encoder.set_linear_path(encode, None)
    network.decoder.set_linear_path(decode, offset if offset.any() else None)
    # The perceptron corrects what the start leaves over, so it is measured by that.
    network.decoder.scale = max(1e-3, left_over**0.5)
    if isinstance(network, VariationalNetwork):
        _to_probabilistic_pca(network, starts)


def _to_probabilistic_pca(network: VariationalNetwork, starts: Sequence[PrincipalStart]) -> None:
    """Rescale the code, and set its variances, such that the posterior is exact.

    Tipping & Bishop (1999): with variances v of the components and s of the noise, a unit of code
    moves the reconstruction by the root of v - s; given x, the code has variance s / v.
    """
    noise = np.array([max(start.noise_variance, LEAST_NOISE) for start in starts])[:, None]
    variances = np.maximum(np.square([start.standard_deviations for start in starts]), noise)
    gains = np.sqrt(variances - noise)
    by_model = [torch.from_numpy(a) for a in (gains / variances, gains, np.log(noise / variances))]
    encoding, decoding, log_variances = by_model
    if len(starts) == 1:
        encoding, decoding, log_variances = encoding[0], decoding[0], log_variances[0]
    (encode, _), (decode, offset) = (
        network.encoder.exact_linear_path,
        network.decoder.exact_linear_path,
    )
    assert encode is not None
    assert decode is not None
    network.encoder.set_linear_path(encode * encoding[..., None, :], None)
    network.decoder.set_linear_path(decode * decoding[..., None], offset)
    network.spread.set_linear_path(
        None, log_variances if len(starts) == 1 else log_variances[:, None]
    )
    network.noise_variance = torch.from_numpy(noise if len(starts) > 1 else noise[0]).float()


def _linear_path(
    network: AutoencoderNetwork, start: PrincipalStart, z: Tensor
) -> tuple[Tensor, Tensor, Tensor, float]:
    """Return the encoder's and the decoder's matrix, the decoder's offset, what is left over.

    The tensors are float64.
    """
    encode = torch.from_numpy(start.components.T.copy())
    decode = torch.from_numpy(start.components.copy())
    centre = torch.from_numpy(start.centre)
    if network.code_activation == "identity" and network.n_active is None:
        return encode, decode, centre - centre @ encode @ decode, start.residual
    deviations = torch.from_numpy(start.standard_deviations)
    # Rounding noise in directions without variance would become code: at unit variance, and among
    # the largest entries, which the decoder then scales up.
    varies = deviations > _NO_DEVIATION * deviations.max()
    unit = torch.ones_like(deviations) if network.code_activation == "identity" else deviations
    encode = encode / torch.where(varies, unit, torch.inf)
    codes = ACTIVATIONS[network.code_activation](z @ encode.float())
    if network.n_active is not None:
        codes = keep_largest(codes, network.n_active)
    if network.decoder.layers[0].transposed:
        decode, offset = encode.T, torch.zeros_like(centre)
    else:
        inputs = torch.cat([codes, codes.new_ones(len(codes), 1)], 1).double()
        # A driver that allows collinear codes: components may outnumber the rank.
        solution = torch.linalg.lstsq(inputs, z.double(), driver="gelsd").solution
        decode, offset = solution[:-1], solution[-1]
    rest = z - torch.addmm(offset.float(), codes, decode.float())
    return encode, decode, offset, float(rest.square().sum() / z.square().sum().clamp_min(1e-30))


@torch.no_grad()
def loss_of_mean(model: Model, z: Tensor, missing: Tensor | None) -> float:
    """Mean loss of predicting the mean; z is all rows, in training units.

    `missing`, a mask, tells which entries of z are only filled in, and have no loss.
    """
    loss, total = model.loss, 0.0
    guess = torch.zeros(z.shape[1:], dtype=torch.float32)
    if loss.link is not None:
        guess = loss.link(model.mean).float()
    start = 0
    for chunk in z.split(_ROWS_AT_A_TIME):  # fewer, where sparse rows are wide
        target = model.target(chunk, chunk)
        losses = loss.function(guess.expand_as(target), target, reduction="none")
        if missing is not None:
            losses = losses.masked_fill(missing[start : start + len(chunk)], 0.0)
        start += len(chunk)
        total += float(losses.sum(dtype=torch.float64))
    return total / math.prod(z.shape)


@torch.no_grad()
def link_start(model: Model, largest: float) -> None:
    """Let the decoder start at the link of the mean, with PCA as a first-order step beside it.

    `largest` is the largest entry of X.
    """
    loss, decoder = model.loss, model.network.decoder
    if loss.link is None:
        return
    offset = loss.link(model.mean)
    shortcut, centre = decoder.exact_linear_path
    if shortcut is not None:
        # The logit's slope is at least 4, the logarithm's at least 1 / the largest count.
        slope = 4.0 if loss.response is torch.sigmoid else 1.0 / max(largest, 1e-30)
        shortcut = shortcut * (slope * model.scale)
        if centre is not None:  # of a code whose mean is not 0
            offset = offset + centre * (slope * model.scale)
        decoder.scale = 1.0
    else:
        # Random outputs are far worse than the mean in a link's space; begin at the mean.
        decoder.silence()
    decoder.set_linear_path(shortcut, offset)

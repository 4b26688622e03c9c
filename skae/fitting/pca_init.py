"""Initialisation of a new model: units, PCA, initial network and baseline loss."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Integral
from typing import Any

import numpy as np
import scipy.linalg
import torch
from numpy.typing import NDArray
from sklearn.utils.extmath import randomized_svd, svd_flip
from torch import Tensor

from skae.core.activations import ACTIVATIONS
from skae.core.losses import LOSSES
from skae.core.model import Model
from skae.core.networks.autoencoder import AutoencoderNetwork, build_network, keep_largest
from skae.core.numerics import MAX_WEIGHTS, too_many_weights
from skae.fitting.data import feature_means, mean_and_scale, standardise, training_rows
from skae.fitting.split import Split
from skae.utils.csr import Array, values_of

_MAX_ROWS = 4096
# An exact PCA takes about a second up to this many rows or columns.
_EXACT_UP_TO = 1000
# Standard deviations below this share of the largest are rounding noise of float32.
_NO_DEVIATION = 1e-5
# Parameters that set the size of a network.
_SIZE_PARAMETERS = ("n_components", "hidden_layer_sizes", "channels")


@dataclass(frozen=True)
class PCAStart:
    """PCA in training units, padded with zeros if there are more components than the rank.

    Attributes
    ----------
    components : ndarray of shape (n_components, n_features)
    standard_deviations : ndarray of shape (n_components,)
    centre : ndarray of shape (n_features,)
        Mean of the rows that PCA was fitted to.
    residual : float
        Share of the variance that PCA leaves unexplained.
    noise_variance : float
        Noise variance of probabilistic PCA: the mean variance of the other directions.
    """

    components: NDArray[np.float64]
    standard_deviations: NDArray[np.float64]
    centre: NDArray[np.float64]
    residual: float
    noise_variance: float


def new_model(
    estimator: Any, X: Array, split: Split, generator: torch.Generator
) -> tuple[Model, float]:
    """Return a model with initial weights, and the share of variance that it leaves unexplained.

    The share is 1 if the initial model is not exactly PCA.

    The PCA of a model excludes the held-out rows that validate it. Otherwise, PCA would fit an
    outlier among them, and a network that has not seen it could never do better.

    Parameters
    ----------
    estimator : BaseAutoencoder
        Supplies the parameters and the method `_network`.
    X : array or CSR matrix of shape (n_samples, n_features)
    split : Split
    generator : torch.Generator
    """
    starts_at_pca, loss = estimator.shortcut == "pca", LOSSES[estimator.loss]
    if isinstance(estimator.n_components, Integral):
        sizes = estimator._network(X.shape[1], int(estimator.n_components))
        if (n_weights := split.n_models * sizes.n_weights()) > MAX_WEIGHTS:
            names = [n for n in _SIZE_PARAMETERS if hasattr(estimator, n)]
            values = ", ".join(f"{name}={getattr(estimator, name)!r}" for name in names)
            raise too_many_weights(n_weights, values)
    kept = _rows_of_last_model(
        X, split, estimator._allows_missing
    )  # that is the final model: its rows set the units
    mean, scale = mean_and_scale(kept)
    z = training_rows(kept, mean, scale)
    missing = None
    if estimator._allows_missing and bool(z.isnan().any()):
        missing = z.isnan()
        z.nan_to_num_(nan=0.0)
    n_components, starts = estimator.n_components, []
    if isinstance(n_components, float) and len(split.training[-1]) < X.shape[0]:
        # From all rows: PCA's number of components should not depend on the draw of the held-out
        # rows.
        everything = np.nan_to_num(standardise(X, mean, scale, X.dtype.type), copy=False)
        n_components = len(fit_pca(everything, n_components, generator).components)
        del everything
    if starts_at_pca or isinstance(n_components, float):
        exact = _in_precision_of(kept, z, mean, scale)
        starts = [fit_pca(exact, n_components, generator)]
        n_components = len(starts[0].components)
    network = build_network(
        estimator._network(X.shape[1], int(n_components)),
        generator=generator,
        n_models=split.n_models,
        zero_output=starts_at_pca,
    )
    # The weights of a constant feature get no gradient. Left random, they would disturb the code of
    # new rows in which the feature varies. PCA has no loading there either.
    network.encoder.mask_inputs(~z.any(0))
    code_unit = scale if network.code_scales_with_data else 1.0
    model = Model(network, torch.from_numpy(mean), scale, loss, code_unit=code_unit)
    if loss.has_row_total:
        model.row_total = float(feature_means(X).sum())
    if starts_at_pca:
        folds = split.training[:-1]
        pairs = [(fit_pca(exact[own.numpy()], n_components, generator), z[own]) for own in folds]
        set_skips_to_pca(network, [*pairs, (starts[0], z)])
    if loss.link is not None:
        init_output_bias(model, float(np.fmax.reduce(values_of(kept), axis=None)))
    if estimator.loss != "squared_error" or missing is not None:
        model.baseline = loss_of_mean(model, z, missing) or 1.0
    network.float()
    is_pca = starts_at_pca and network.is_code_linear and estimator.loss == "squared_error"
    return model, starts[0].residual if is_pca else 1.0


def _rows_of_last_model(X: Array, split: Split, allows_missing: bool) -> Array:
    rows = split.training[-1]
    if len(rows) == X.shape[0]:
        return X
    kept = X[rows.numpy()]
    if allows_missing and np.isnan(np.fmax.reduce(kept, axis=0)).any():
        return X  # every value of a feature with few values may be held out
    return kept


def _in_precision_of(X: Array, z: Tensor, mean: NDArray[np.float64], scale: float) -> NDArray[Any]:
    """Return z in the precision of X, which PCA then uses."""
    if X.dtype == np.float32:
        return z.numpy()
    return np.nan_to_num(standardise(X, mean, scale, np.float64), copy=False)


def fit_pca(z: Array, n_components: int | float, generator: torch.Generator) -> PCAStart:
    """Compute the PCA of scikit-learn, bit for bit.

    From decompositions, since tools that log every `fit` of scikit-learn's estimators (mlflow's
    autologging) would otherwise record a run of PCA for each call.

    Parameters
    ----------
    z : ndarray of shape (n_samples, n_features)
        Rows in training units. The covariance of X itself, far from 0, would lose all digits.
    n_components : int or float
        A float in (0, 1) selects the fewest components that explain this share of the variance.
    generator : torch.Generator
        Its seed is used for the randomised solver.
    """
    is_share = not isinstance(n_components, Integral)
    if np.ptp(z, axis=0).max() == 0:  # nothing varies; PCA would divide by 0
        n_kept = 1 if is_share else int(n_components)
        axes, centre = np.eye(n_kept, z.shape[1]), z[0].astype(float)
        return PCAStart(axes, np.zeros(n_kept), centre, residual=0.0, noise_variance=0.0)
    (n_rows, n_features), rank = z.shape, min(z.shape)
    n_found = rank if is_share else min(int(n_components), rank)
    centre, degrees_of_freedom = z.mean(axis=0), n_rows - 1
    # scikit-learn's choice, but exact where that takes about a second: above 500 rows or columns it
    # may use the randomised solver, whose error is up to 1 % higher for a flat spectrum.
    if n_rows >= 10 * n_features and n_features <= _EXACT_UP_TO:
        covariance = z.T @ z
        covariance -= n_rows * centre[:, None] * centre
        covariance /= degrees_of_freedom
        variances, vectors = np.linalg.eigh(covariance)
        variances, axes = np.maximum(variances[::-1], 0.0), vectors[:, ::-1].T
        total = variances.sum()
    else:
        centred = z - centre
        if rank <= _EXACT_UP_TO or n_found >= 0.8 * rank:
            _, values, axes = scipy.linalg.svd(centred, full_matrices=False)
            variances = values**2 / degrees_of_freedom
            total = variances.sum()
        else:
            seed = generator.initial_seed()
            _, values, axes = randomized_svd(centred, n_found, flip_sign=False, random_state=seed)
            variances = values**2 / degrees_of_freedom
            total = np.square(centred, out=centred).sum() / degrees_of_freedom
    axes = svd_flip(None, axes, u_based_decision=False)[1]
    shares = variances / total
    if is_share:
        n_found = min(1 + int(np.searchsorted(np.cumsum(shares), n_components, "right")), rank)
    n_kept = n_found if is_share else int(n_components)
    components, deviations = np.zeros((n_kept, n_features)), np.zeros(n_kept)
    components[:n_found], deviations[:n_found] = axes[:n_found], np.sqrt(variances[:n_found])
    residual = max(0.0, 1.0 - float(shares[:n_found].sum(dtype=np.float64)))
    noise_variance = 0.0
    if n_found < rank:
        rest = variances[n_found:]
        noise_variance = float(
            rest.mean() if len(rest) else (total - variances.sum()) / (rank - n_found)
        )
    return PCAStart(components, deviations, centre.astype(np.float64), residual, noise_variance)


@torch.no_grad()
def set_skips_to_pca(
    network: AutoencoderNetwork, starts: Sequence[tuple[PCAStart, Tensor]]
) -> None:
    """Set the skip connections to PCA.

    With a linear code, the network then equals PCA. With a code activation, the encoder's skip
    connection is PCA scaled to unit variance, so that codes reach the nonlinear range. With an
    identity code of which only the largest units are kept, it is PCA unscaled. In these two cases,
    the decoder's is the least-squares map back or, with tied weights, the encoder's transpose.

    Parameters
    ----------
    network : AutoencoderNetwork
        Network whose MLPs output 0.
    starts : sequence of (PCAStart, Tensor)
        PCA of each model and the rows it was fitted to, in training units.
    """
    skips = [_skip_of(network, start, z) for start, z in starts]
    encode, decode, bias = (torch.stack(parts) for parts in list(zip(*skips, strict=True))[:3])
    bias = bias[:, None]
    deviations = np.stack([start.standard_deviations for start, _ in starts])
    noise = np.array([[start.noise_variance] for start, _ in starts])
    # The MLP corrects the residual of PCA, so it is scaled by the residual's standard deviation.
    network.decoder.scale = max(1e-3, skips[-1][3] ** 0.5)
    network.init_from_pca(
        encode,
        decode,
        bias if bias.any() else None,
        torch.from_numpy(deviations),
        torch.from_numpy(noise),
    )


def _skip_of(
    network: AutoencoderNetwork, start: PCAStart, z: Tensor
) -> tuple[Tensor, Tensor, Tensor, float]:
    """Return the skip connections of encoder and decoder, the decoder's bias and the residual.

    The tensors are float64.
    """
    encode = torch.from_numpy(start.components.T.copy())
    decode = torch.from_numpy(start.components.copy())
    centre = torch.from_numpy(start.centre)
    if network.is_code_linear:
        return encode, decode, centre - centre @ encode @ decode, start.residual
    deviations = torch.from_numpy(start.standard_deviations)
    # Directions without variance are left out: scaling would raise their rounding noise to unit
    # variance.
    varies = deviations > _NO_DEVIATION * deviations.max()
    unit = torch.ones_like(deviations) if network.code_activation == "identity" else deviations
    encode = encode / torch.where(varies, unit, torch.inf)
    codes = ACTIVATIONS[network.code_activation].function(z @ encode.float())
    if network.n_active is not None:
        codes = keep_largest(codes, network.n_active)
    if network.decoder.layers[0].transposed:
        decode, bias = encode.T, torch.zeros_like(centre)
    else:
        inputs = torch.cat([codes, codes.new_ones(len(codes), 1)], 1).double()
        # This driver allows collinear codes, which occur if there are more components than the
        # rank.
        solution = torch.linalg.lstsq(inputs, z.double(), driver="gelsd").solution
        decode, bias = solution[:-1], solution[-1]
    rest = z - torch.addmm(bias.float(), codes, decode.float())
    return encode, decode, bias, float(rest.square().sum() / z.square().sum().clamp_min(1e-30))


@torch.no_grad()
def init_output_bias(model: Model, largest: float) -> None:
    """Set the decoder's bias to the link of the mean, with PCA as a first-order step from there.

    Parameters
    ----------
    model : Model
        Model whose loss has a link.
    largest : float
        Largest entry of X.
    """
    loss, decoder = model.loss, model.network.decoder
    assert loss.link is not None
    bias = loss.link(model.mean).expand(len(decoder.layers[-1].bias), 1, -1)
    skip, skip_bias = decoder.exact_skip
    if skip is not None:
        # The slope of the logit is at least 4; that of the logarithm is at least 1 / largest.
        slope = 4.0 if loss.response is torch.sigmoid else 1.0 / max(largest, 1e-30)
        skip = skip * (slope * model.scale)
        if skip_bias is not None:  # from a code whose mean is not 0
            bias = bias + skip_bias * (slope * model.scale)
        decoder.scale = 1.0
    else:
        # Through a link, random outputs are far worse than the mean, so start at the mean.
        decoder.zero_output()
    decoder.set_skip(skip, bias)


@torch.no_grad()
def loss_of_mean(model: Model, z: Tensor, missing: Tensor | None) -> float:
    """Return the mean loss of predicting the mean.

    Parameters
    ----------
    model : Model
    z : Tensor of shape (n_samples, n_features)
        In training units.
    missing : Tensor of bool, of the shape of z, or None
        Imputed entries of z, which have no loss.
    """
    loss, total = model.loss, 0.0
    output = torch.zeros(z.shape[1:], dtype=torch.float32)
    if loss.link is not None:
        output = loss.link(model.mean).float()
    start = 0
    for chunk in z.split(_MAX_ROWS):  # fewer rows if CSR rows are wide
        target = model.target(chunk, chunk)
        losses = loss.function(output.expand_as(target), target, reduction="none")
        if missing is not None:
            losses = losses.masked_fill(missing[start : start + len(chunk)], 0.0)
        start += len(chunk)
        total += float(losses.sum(dtype=torch.float64))
    return total / math.prod(z.shape)

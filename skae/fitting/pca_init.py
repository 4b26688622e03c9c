"""Initialisation of a new model: units, PCA and initial network."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from numbers import Integral
from threading import Lock
from typing import Any

import numpy as np
import scipy.linalg
import torch
from numpy.typing import NDArray
from scipy.sparse import issparse
from sklearn.utils import gen_batches
from sklearn.utils.extmath import randomized_svd, svd_flip
from threadpoolctl import ThreadpoolController
from torch import Tensor

from skae.core.activations import ACTIVATIONS
from skae.core.losses import LOSSES
from skae.core.model import Model
from skae.core.networks.autoencoder import AutoencoderNetwork, build_network, keep_largest
from skae.core.numerics import MAX_WEIGHTS, chunk_size, too_many_weights
from skae.fitting.data import feature_means, mean_and_scale, standardise, training_rows
from skae.fitting.loss_init import (
    LogOfCounts,
    init_log_linear_decoder,
    init_output_bias,
    set_baseline,
)
from skae.fitting.sparse_start import Parts, SparseRows, fit_decoder
from skae.fitting.split import Split
from skae.utils.csr import Array, values_of

_MAX_ROWS = 4096
# An exact PCA takes about a second up to this many rows or columns.
_EXACT_UP_TO = 1000
# Entries of rows that are wide and large: the memory of copies then matters.
_LARGE = 2**22
# Products of rows and columns with fewer multiply-adds gain little from a second thread.
_SMALL = 5e7
# Standard deviations below this share of the largest are rounding noise of float32.
_NO_DEVIATION = 1e-5
# Parameters that set the size of a network.
_SIZE_PARAMETERS = ("n_components", "hidden_layer_sizes", "channels")


# Made once, since that takes milliseconds. threadpoolctl comes with scikit-learn.
_blas = cache(ThreadpoolController)
_blas_lock = Lock()


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
    n_components, starts = estimator.n_components or min(X.shape), []
    if isinstance(n_components, Integral):
        sizes = estimator._network(X.shape[1], int(n_components))
        if (n_weights := len(split.training) * sizes.n_weights()) > MAX_WEIGHTS:
            names = [n for n in _SIZE_PARAMETERS if hasattr(estimator, n)]
            values = ", ".join(f"{name}={getattr(estimator, name)!r}" for name in names)
            raise too_many_weights(n_weights, values)
    rows = _rows_of_last_model(
        X, split, estimator._allows_missing
    )  # that is the final model: its rows set the units
    mean, scale = mean_and_scale(X, rows)
    inputs, units = X, (mean, scale)  # of the encoder
    # The shares of a classical network stay as they are: binary codes of documents retrieve better.
    takes_logs = loss.is_relative and (starts_at_pca or not loss.has_row_total)
    if takes_logs:
        logarithm = LogOfCounts(X, rows, by_total=loss.has_row_total)
        inputs = logarithm(X)
        units = mean_and_scale(inputs, rows)
    # Each PCA overwrites its rows, and none is left when z is made: the memory of one at a time.
    if isinstance(n_components, float) and len(split.training[-1]) < X.shape[0]:
        # From all rows: PCA's number of components should not depend on the draw of the held-out
        # rows.
        everything = fit_pca(pca_rows(inputs, *units, None), n_components, generator)
        n_components = len(everything.components)
    if starts_at_pca or isinstance(n_components, float):
        starts = [fit_pca(pca_rows(inputs, *units, rows), n_components, generator)]
        n_components = len(starts[0].components)
    if starts_at_pca:
        for own in split.training[:-1]:
            fold = fit_pca(pca_rows(inputs, *units, own.numpy()), n_components, generator)
            starts.insert(-1, fold)
    z = training_rows(X, mean, scale, rows)
    missing = None
    if estimator._allows_missing and bool(z.isnan().any()):
        missing = z.isnan()
        z.nan_to_num_(nan=0.0)
    network = build_network(
        estimator._network(X.shape[1], int(n_components)),
        generator=generator,
        n_models=len(split.training),
        zero_output=starts_at_pca,
    )
    # The weights of a constant feature get no gradient. Left random, they would disturb the code of
    # new rows in which the feature varies. PCA has no loading there either.
    network.encoder.mask_inputs(~z.any(0))
    code_unit = scale if network.code_scales_with_data else 1.0
    model = Model(network, torch.from_numpy(mean), scale, loss, code_unit=code_unit)
    if loss.has_row_total:
        model.row_total = float(feature_means(X).sum())
    if takes_logs:
        network.encoder.input_map = logarithm.input_map(mean, scale, *units)
    if starts_at_pca:
        set_skips_to_pca(network, starts, z, split.training[:-1])
    if loss.is_relative:
        unit = logarithm.unit if takes_logs else 1.0
        init_log_linear_decoder(model, z, split.training[:-1], unit, generator)
    elif loss.link is not None:
        entries = values_of(X if rows is None else X[rows])
        init_output_bias(model, float(np.fmax.reduce(entries, axis=None)))
    if estimator.loss != "squared_error" or missing is not None:
        set_baseline(model, z, missing)
    network.float()
    is_pca = starts_at_pca and network.is_code_linear and estimator.loss == "squared_error"
    return model, starts[-1].residual if is_pca else 1.0


def _rows_of_last_model(X: Array, split: Split, allows_missing: bool) -> NDArray[np.int64] | None:
    """Return the rows that the last model trains on; None is all."""
    rows: NDArray[np.int64] = split.training[-1].numpy()
    if len(rows) == X.shape[0]:
        return None
    if allows_missing and not issparse(X):
        has_value = np.zeros(X.shape[1], dtype=bool)
        for part in gen_batches(len(rows), chunk_size(_MAX_ROWS, X.shape[1])):
            has_value |= ~np.isnan(X[rows[part]]).all(axis=0)
        if not has_value.all():
            return None  # every value of a feature with few values may be held out
    return rows


def pca_rows(
    X: Array, mean: NDArray[np.float64], scale: float, rows: NDArray[np.int64] | None
) -> Any:
    """Return rows for PCA: in training units and the precision of X, missing ones at the mean."""
    if issparse(X):
        return SparseRows(X if rows is None else X[rows], mean, scale)
    z = standardise(X, mean, scale, X.dtype.type, rows)
    for part in gen_batches(len(z), chunk_size(_MAX_ROWS, X.shape[1])):
        np.nan_to_num(z[part], copy=False)
    return z


@contextmanager
def blas_threads_for(z: Any) -> Iterator[None]:
    """Decompose a small z on one thread of BLAS; see `skae.core.numerics.threads_for`.

    BLAS has one count for all Python threads, so small decompositions take turns.
    """
    if z.size * min(z.shape) >= _SMALL:
        yield
        return
    with _blas_lock, _blas().limit(limits=1, user_api="blas"):
        yield


def fit_pca(z: Any, n_components: int | float, generator: torch.Generator) -> PCAStart:
    """Compute the PCA of scikit-learn.

    From decompositions, since tools that log every `fit` of scikit-learn's estimators (mlflow's
    autologging) would otherwise record a run of PCA for each call.

    Parameters
    ----------
    z : ndarray or SparseRows of shape (n_samples, n_features)
        Rows in training units, which are overwritten. The covariance of X itself, far from 0, would
        lose all digits.
    n_components : int or float
        A float in (0, 1) selects the fewest components that explain this share of the variance.
    generator : torch.Generator
        Its seed is used for the randomised solver.
    """
    is_share = not isinstance(n_components, Integral)
    spread = z.ranges() if isinstance(z, SparseRows) else np.ptp(z, axis=0)
    if spread.max() == 0:  # nothing varies; PCA would divide by 0
        n_kept = 1 if is_share else int(n_components)
        axes, centre = np.eye(n_kept, z.shape[1]), z[0].astype(float)
        return PCAStart(axes, np.zeros(n_kept), centre, residual=0.0, noise_variance=0.0)
    (n_rows, n_features), rank = z.shape, min(z.shape)
    n_found = rank if is_share else min(int(n_components), rank)
    centre, degrees_of_freedom, basis = z.mean(axis=0), n_rows - 1, None
    # scikit-learn's choice, but exact where that takes about a second: above 500 rows or columns it
    # may use the randomised solver, whose error is up to 1 % higher for a flat spectrum.
    with blas_threads_for(z):
        if isinstance(z, SparseRows):
            seed = generator.initial_seed()
            variances, axes, total = z.decompose(n_found, _EXACT_UP_TO, seed)
        elif n_rows >= 10 * n_features and n_features <= _EXACT_UP_TO:
            covariance = z.T @ z
            covariance -= n_rows * centre[:, None] * centre
            covariance /= degrees_of_freedom
            variances, vectors = np.linalg.eigh(covariance)
            variances, axes = np.maximum(variances[::-1], 0.0), vectors[:, ::-1].T
            total = variances.sum()
        else:
            z -= centre
            if rank <= _EXACT_UP_TO and n_rows < n_features and z.size > _LARGE:
                # In coordinates along a basis of its rows, z is small. An SVD of z itself takes
                # several times the memory of z; the basis takes the place of z.
                wide = {"overwrite_a": True, "mode": "economic", "check_finite": False}
                basis, z = scipy.linalg.qr(z.T, **wide)
                z = z.T
            if rank <= _EXACT_UP_TO or n_found >= 0.8 * rank:
                _, values, axes = scipy.linalg.svd(z, full_matrices=False)
                variances = values**2 / degrees_of_freedom
                total = variances.sum()
            else:
                seed = generator.initial_seed()
                _, values, axes = randomized_svd(z, n_found, flip_sign=False, random_state=seed)
                variances = values**2 / degrees_of_freedom
                total = np.square(z, out=z).sum() / degrees_of_freedom
    shares = variances / total
    if is_share:
        n_found = min(1 + int(np.searchsorted(np.cumsum(shares), n_components, "right")), rank)
    axes = axes[:n_found] if basis is None else axes[:n_found] @ basis.T
    axes = svd_flip(None, axes, u_based_decision=False)[1]
    n_kept = n_found if is_share else int(n_components)
    components, deviations = np.zeros((n_kept, n_features)), np.zeros(n_kept)
    components[:n_found], deviations[:n_found] = axes, np.sqrt(variances[:n_found])
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
    network: AutoencoderNetwork, starts: Sequence[PCAStart], z: Tensor, folds: Sequence[Tensor]
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
    starts : sequence of PCAStart
        PCA of each model. That of the last one was fitted to all rows z.
    z : Tensor of shape (n_samples, n_features)
        Rows in training units.
    folds : sequence of Tensor
        Rows that PCA of each of the other models was fitted to.
    """
    skips = [
        _skip_of(network, start, z, own) for start, own in zip(starts, [*folds, None], strict=True)
    ]
    encode, decode, bias = (torch.stack(parts) for parts in list(zip(*skips, strict=True))[:3])
    bias = bias[:, None]
    deviations = np.stack([start.standard_deviations for start in starts])
    noise = np.array([[start.noise_variance] for start in starts])
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
    network: AutoencoderNetwork, start: PCAStart, z: Tensor, rows: Tensor | None
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

    def codes_of(part: Tensor) -> Tensor:
        codes = ACTIVATIONS[network.code_activation].function(part @ encode.float())
        return codes if network.n_active is None else keep_largest(codes, network.n_active)

    is_tied = network.decoder.layers[0].transposed
    parts = Parts(z, rows, network.encoder.input_map)
    return encode, *fit_decoder(parts, codes_of, encode.T if is_tied else None)

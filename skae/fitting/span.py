"""Wide rows: training in coordinates of the space that the rows span.

n rows lie in a space of fewer than n dimensions around their mean. In coordinates along orthonormal
axes of that space, all distances are the same, and with them the squared error, PCA, and the
networks that can be represented on the rows. The cost of a fit then follows the number of rows
instead of that of the features. After training, the axes are multiplied into the weights.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from numbers import Integral
from typing import Any

import numpy as np
import scipy.linalg
import torch
from numpy.typing import NDArray
from scipy.linalg import get_lapack_funcs
from scipy.sparse import issparse
from sklearn.utils import gen_batches
from sklearn.utils.extmath import svd_flip
from torch import Tensor, nn

from skae.core.model import Model
from skae.core.numerics import MAX_WEIGHTS, chunk_size
from skae.fitting.data import mean_and_scale, standardise
from skae.utils.csr import Array

_MAX_ROWS = 4096  # at once
# With more rows, or fewer features per row, the conversion costs more than it saves.
_MOST_ROWS = 2000
_MIN_RATIO = 2
# Hooks that may treat features singly.
_HOOKS = ("_criterion", "_corruption", "_network", "_initialise", "_fitted_attributes")
# Singular values below this many rounding errors of the largest one are rounding errors.
_ROUNDING_ERRORS = 16.0


@dataclass(frozen=True)
class Span:
    """The space that the rows span around their mean.

    Attributes
    ----------
    mean : ndarray of shape (n_features,), float64
    axes : ndarray of shape (n_features, rank)
        Orthonormal columns.
    coordinates : ndarray of shape (n_samples, rank)
        ``(X - mean) @ axes``, in the dtype of X.
    """

    mean: NDArray[np.float64]
    axes: NDArray[Any]
    coordinates: NDArray[Any]

    def in_features(self, loadings: Tensor) -> Tensor:
        """Return rows of coordinates, without the mean, as rows of features in float64."""
        axes, loadings = torch.from_numpy(self.axes), loadings.double()
        size = chunk_size(_MAX_ROWS, axes.shape[1])
        # Not of all axes at once, which may be a copy of the size of X, or two.
        return torch.cat([loadings @ part.double().mT for part in axes.split(size)], -1)

    @torch.no_grad()
    def model_of_features(self, model: Model) -> Model:
        """Return the model of features that equals a model of coordinates.

        Parameters
        ----------
        model : Model
            Without a model axis. Its network is changed.
        """
        network, device = model.network, model.device
        first, last = network.encoder.layers[0], network.decoder.layers[-1]
        n_features, rank = self.axes.shape
        # Units are root mean squares over entries; there are more of these now.
        ratio = math.sqrt(n_features / rank)
        scale = code_unit = model.scale / ratio
        network.cpu().double().restore_skips()
        encode, (decode, bias) = network.encoder.skip, network.decoder.exact_skip
        first.weight = nn.Parameter(self.in_features(first.weight.mT).mT.contiguous() / ratio)
        last.weight = nn.Parameter(self.in_features(last.weight) * ratio)
        last.bias = nn.Parameter(self.in_features(last.bias[None])[0] * ratio)
        if encode is not None and decode is not None:
            network.encoder.set_skip(self.in_features(encode.mT).mT.contiguous() / ratio, None)
            bias = None if bias is None else self.in_features(bias[None])[0] * ratio
            network.decoder.set_skip(self.in_features(decode) * ratio, bias)
        if network.code_scales_with_data:
            eye = torch.eye(network.architecture.n_components, dtype=torch.float64)
            network.map_code(eye * ratio, eye / ratio, torch.zeros_like(eye[0]))
        else:
            code_unit = model.code_unit
        network.architecture = replace(network.architecture, n_features=n_features)
        network.max_width = network.architecture.max_width()
        for p in network.parameters():
            p.data = p.data.float()
        network.to(device)
        mean = torch.from_numpy(self.mean) + self.in_features(model.mean[None])[0]
        return replace(model, mean=mean, scale=scale, code_unit=code_unit)


def find_span(estimator: Any, X: Array) -> Span | None:
    """Return the space that the rows span, or None if training should see the features.

    Rows are converted if there are at least twice as many features, and at most 2000 rows. With
    more of either, the conversion costs more than it saves. Nor are rows converted that differ so
    much in size that rounding of the large ones would cover the small ones.

    Parameters
    ----------
    estimator : BaseAutoencoder
    X : array or CSR matrix of shape (n_samples, n_features)
    """
    is_wide = X.shape[0] <= min(_MOST_ROWS, X.shape[1] // _MIN_RATIO)
    if not is_wide or issparse(X) or not _is_rotation_invariant(estimator):
        return None
    n_components = estimator.n_components
    if isinstance(n_components, Integral):
        if int(n_components) >= len(X):
            return None  # some axes of PCA lie outside, and new rows may have a part along them
        sizes = estimator._network(X.shape[1], int(n_components))
        if sizes.n_weights() > MAX_WEIGHTS:
            return None  # an error: the fitted model is one of features
    mean, scale = mean_and_scale(X)
    if not scale * math.sqrt(X.size) < float(np.finfo(X.dtype).max):
        return None  # coordinates might overflow
    z = standardise(X, mean, scale, X.dtype.type)
    # As exact as the rows, not as the mean: then each row is minus the sum of the others.
    error = z.mean(axis=0, dtype=np.float64)
    z -= error.astype(z.dtype)
    mean = mean + error * scale
    sizes = np.sqrt(np.einsum("ij,ij->i", z, z))  # without a copy
    order, largest = np.arange(len(z)), int(sizes.argmax())
    order[[largest, -1]] = order[[-1, largest]]
    z[[largest, -1]], last = z[[-1, largest]], z[largest].copy()
    # All rows but the largest one. The basis takes the place of z.
    basis, triangle = scipy.linalg.qr(
        z[:-1].T, overwrite_a=True, mode="economic", check_finite=False
    )
    # Row by row, so that the rounding of small rows is small, too.
    in_basis = np.concatenate([triangle.T, (last @ basis)[None]])[order]
    if not np.square(sizes, dtype=np.float64).sum() > 0.5 * X.size:  # in units of the scale, 1
        return None  # rows that vary by rounding alone have no scale
    turn = _random_axes(triangle, in_basis, sizes + float(np.linalg.norm(mean / scale)))
    if turn is None:
        return None
    rank = turn.shape[1]
    for part in gen_batches(len(basis), chunk_size(_MAX_ROWS, len(X))):
        basis[part, :rank] = basis[part] @ turn
    axes = basis[:, :rank]
    axes[(X[0] == X).all(axis=0)] = 0.0  # no rounding where a feature is constant
    return Span(mean, axes, in_basis @ turn * X.dtype.type(scale))


def _random_axes(
    triangle: NDArray[Any], in_basis: NDArray[Any], sizes: NDArray[Any]
) -> NDArray[Any] | None:
    """Return random orthonormal axes of the space of the rows, as columns in the basis.

    Adam scales the step of each weight, so along principal axes those of little variance would move
    as far as the first ones. Hence random axes, along which all coordinates vary alike.

    Parameters
    ----------
    triangle : ndarray of shape (n_samples - 1, n_samples - 1)
        All rows but one, as columns.
    in_basis : ndarray of shape (n_samples, n_samples - 1)
        All rows.
    sizes : ndarray of shape (n_samples,)
        Lengths of the rows that their rounding is relative to.

    Returns
    -------
    axes : ndarray of shape (n_samples - 1, rank), or None
        None if more of some row than its rounding is lost.
    """
    least = _ROUNDING_ERRORS * float(np.finfo(triangle.dtype).eps)
    (condition,) = get_lapack_funcs(("trcon",), (triangle,))
    if condition(triangle)[0] > least:  # of full rank
        # The signs make the basis that of the rows, which turns with them.
        signs = np.where(np.diagonal(triangle) < 0, -1.0, 1.0).astype(triangle.dtype)
        return signs[:, None] * _random_rotation(len(signs), triangle.dtype)
    left, values, right = scipy.linalg.svd(triangle.T, check_finite=False)
    right = svd_flip(left, right)[1]
    rank = int((values > least * values[0]).sum())
    lost = np.linalg.norm(in_basis @ right[rank:].T, axis=1)
    if (lost > least * sizes).any():
        return None
    return right[:rank].T @ _random_rotation(rank, triangle.dtype)


def _random_rotation(size: int, dtype: np.dtype[Any]) -> NDArray[Any]:
    random = np.random.RandomState(0).standard_normal((size, size))
    return scipy.linalg.qr(random)[0].astype(dtype)


def _is_rotation_invariant(estimator: Any) -> bool:
    """Return whether a fit to rotated rows is the rotated fit, up to the steps of the solver."""
    if estimator.loss != "squared_error" or estimator.tied_weights or estimator.warm_start:
        return False
    method: Any = type(estimator)
    if method._allows_missing:  # a distance from a missing entry is unknown
        return False
    # A class says so of its own hooks, not of those that a subclass overrides.
    says_so = next(cls for cls in method.__mro__ if "_is_rotation_invariant" in vars(cls))
    has_its_hooks = (getattr(method, hook) is getattr(says_so, hook) for hook in _HOOKS)
    return method._is_rotation_invariant and all(has_its_hooks)

"""The contractive autoencoder."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import KW_ONLY, dataclass
from numbers import Integral
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import ArrayLike
from sklearn.utils.validation import check_is_fitted
from torch import Tensor

from skae._base import BaseAutoencoder
from skae._core.canonical import Axes
from skae._core.jacobians import encoder_jacobians, relative_contraction
from skae._core.model import Model
from skae._core.numerics import defaults_of_torch
from skae._docs import document
from skae._fitted import Array, as_tensor
from skae._generation import MixtureSampling
from skae._validation import integer, real

_JACOBIAN_ENTRIES = 2**22


@document
@dataclass(eq=False, repr=False)
class ContractiveAutoencoder(MixtureSampling, BaseAutoencoder):
    r"""Contractive autoencoder: a code that changes little where the data does not lead.

    Minimises

    .. math::

        \frac{\sum_i \| x_i - g(f(x_i)) \|^2}{\sum_i \| x_i - \bar x \|^2}
        + \alpha \frac{1}{n} \sum_i \left\| \frac{\partial f}{\partial x}(x_i) \right\|_F^2

    with the Jacobian in units in which all of the data has variance 1 [1]_. Reconstruction keeps
    the directions in which the data varies; the penalty flattens all others.

    For an encoder of one layer the penalty has a closed form that costs next to nothing. For a
    deeper one it is exact too, and a step costs about ``min(n_components, n_features)`` times as
    much; `n_probes` estimates it for less.

    Parameters
    ----------
    {parameters}

    alpha : float, default=0.01
        Weight of the penalty; 0 gives `Autoencoder` with the same other parameters.

    n_probes : int or None, default=None
        Number of random directions that estimate the norm of the Jacobian in each step
        (Hutchinson's estimate), for wide codes. None computes it exactly, as is done, too, where
        they are no fewer than the columns of code or X.

    Attributes
    ----------
    {attributes}

    Notes
    -----
    Weights are tied by default: an encoder that shrinks its code, and its Jacobian with it, then
    shrinks the reconstruction too. Untied, the decoder makes up for it, and nothing is learned.

    References
    ----------
    .. [1] Rifai, S., Vincent, P., Muller, X., Glorot, X., & Bengio, Y. (2011). Contractive
       auto-encoders: explicit invariance during feature extraction. ICML.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from skae import ContractiveAutoencoder
    >>> X = load_iris().data
    >>> autoencoder = ContractiveAutoencoder(2, random_state=0).fit(X)
    >>> autoencoder.jacobian(X[:10]).shape
    (10, 2, 4)
    >>> autoencoder.tangent_directions(X[:10], 1).shape
    (10, 1, 4)
    """

    _: KW_ONLY
    tied_weights: bool = True
    alpha: float = 0.01
    n_probes: int | None = None

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        **BaseAutoencoder._parameter_constraints,
        "alpha": [real(0)],
        "n_probes": [integer(1), None],
    }

    def _is_plain(self) -> bool:
        return self.alpha == 0

    def _axes(self) -> Axes:
        axes = super()._axes()
        if self._is_plain():
            return axes
        # A stretched code would have another penalty.
        return Axes.TURNED if axes is Axes.PRINCIPAL else Axes.AS_TRAINED

    def _terms(self, model: Model, z: Tensor) -> dict[str, Tensor]:
        network = model.network
        norm = relative_contraction(network, z, 1.0, self.n_probes, network.generator)
        return {**super()._terms(model, z), "contraction": self.alpha * norm}

    def jacobian(self, X: ArrayLike) -> Array:
        """Jacobian of the code by the features.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)

        Returns
        -------
        jacobian : ndarray of shape (n_samples, n_components_, n_features_in_)
            In units of the code per units of X, in the dtype of X.
        """
        return np.concatenate([chunk.numpy() for chunk in self._jacobians(X)])

    def singular_values(self, X: ArrayLike) -> Array:
        """Singular values of the Jacobian at each row: how many directions the code follows.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)

        Returns
        -------
        singular_values : ndarray of shape (n_samples, min(n_components_, n_features_in_))
            In decreasing order.
        """
        return np.concatenate([torch.linalg.svdvals(chunk).numpy() for chunk in self._jacobians(X)])

    def tangent_directions(self, X: ArrayLike, n_directions: int = 2) -> Array:
        """Directions in which the code changes most at each row: the manifold's tangents.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
        n_directions : int, default=2
            At most ``min(n_components_, n_features_in_)``.

        Returns
        -------
        directions : ndarray of shape (n_samples, n_directions, n_features_in_)
            Orthonormal, the most sensitive first (right singular vectors of the Jacobian).
        """
        check_is_fitted(self)
        most = min(self.n_components_, self.n_features_in_)
        is_count = isinstance(n_directions, Integral) and not isinstance(n_directions, bool)
        if not is_count or not 1 <= n_directions <= most:
            raise ValueError(
                f"n_directions={n_directions!r} must be an int between 1 and {most}, the smaller "
                "of the number of components and of features."
            )
        return np.concatenate(
            [
                torch.linalg.svd(chunk, full_matrices=False).Vh[:, :n_directions].numpy()
                for chunk in self._jacobians(X)
            ]
        )

    def _jacobians(self, X: ArrayLike) -> Iterator[Tensor]:
        rows, model = as_tensor(self._validate_rows(X)), self._model
        network = model.network_in(rows.dtype)
        # Each layer's part of it is as high as the code is wide.
        n_rows = max(1, _JACOBIAN_ENTRIES // (network.widest() * self.n_components_))
        for chunk in rows.split(n_rows):
            with defaults_of_torch(), torch.no_grad():
                jacobians = encoder_jacobians(network, model.standardised(chunk))
            yield jacobians.mul_(model.code_unit / model.scale).cpu()

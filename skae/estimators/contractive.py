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

from skae.base import BaseAutoencoder
from skae.core.criterion import CodeSymmetry, Criterion, ForwardPass, Penalty, Reconstruction
from skae.core.jacobians import ChainReconstruction, encoder_jacobians, relative_contraction
from skae.core.model import Model
from skae.core.numerics import threads_for, torch_defaults
from skae.core.optimizers import OPTIMIZERS
from skae.fitting.data import torch_dtype
from skae.fitting.selection import advise_where_pca_was_kept
from skae.inference.sampling import MixtureSampling
from skae.inference.transformer import as_tensor
from skae.utils.csr import Array, dense_parts
from skae.utils.docs import document
from skae.utils.validation import integer, real

_MAX_ENTRIES = 2**22


@document
@dataclass(eq=False, repr=False)
class ContractiveAutoencoder(MixtureSampling, BaseAutoencoder):
    r"""Contractive autoencoder: a code that is insensitive to directions without data.

    Minimises

    .. math::

        \frac{\sum_i \| x_i - g(f(x_i)) \|^2}{\sum_i \| x_i - \bar x \|^2}
        + \alpha \frac{1}{n} \sum_i \left\| \frac{\partial f}{\partial x}(x_i) \right\|_F^2

    with the Jacobian in units in which the total variance of the data is 1 [1]_. The reconstruction
    loss keeps the code sensitive to directions in which the data varies; the penalty makes it
    insensitive to all others.

    For an encoder of one layer the penalty has a closed form with negligible cost, and usually also
    for one hidden layer and a linear code. For a deeper encoder, training estimates it from
    `n_probes` random directions per row; a training step then takes two to three times as long as
    that of `Autoencoder`, and with the exact norm about twelve times as long for 32 components.

    Parameters
    ----------
    {parameters}

    alpha : float, default=0.01
        Weight of the penalty. 0 is equivalent to `Autoencoder` with
        ``transform_max_iter=0`` and the same other parameters.

    n_probes : int or None, default=2
        Number of random directions per row for Hutchinson's unbiased estimate of the norm of the
        Jacobian. Validation and the choice against PCA use such directions, too, the same in each
        epoch. The exact norm is used instead with None, with the solver "lbfgs", and wherever it is
        no more expensive: in closed form, or with at least ``min(n_components, n_features)``
        directions. With the default and ``alpha=0.01``, held-out errors and norms were within 1 %
        and 2 % of those of the exact penalty; if `alpha` is ten times as large and rows are few,
        these were 3 % and 12 %.

    Attributes
    ----------
    {attributes}

    Notes
    -----
    Weights are tied by default. Without tied weights, the encoder can shrink the code, and so the
    penalty, while the decoder undoes the shrinking; nothing is learned. With tied weights, a
    smaller code also shrinks the reconstruction.

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
    n_probes: int | None = 2

    _is_rotation_invariant: ClassVar[bool] = True

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        **BaseAutoencoder._parameter_constraints,
        "alpha": [real(0)],
        "n_probes": [integer(1), None],
    }

    def _criterion(self, model: Model) -> Criterion:
        # Rotations of the code leave the penalty as it is; changes of scale do not.
        penalty = Penalty("contraction", self.alpha, self._contraction, CodeSymmetry.ROTATION)
        criterion = super()._criterion(model)
        if self.alpha and not self.dropout and type(criterion) is Reconstruction:
            criterion = ChainReconstruction(model, criterion.penalties)
        return criterion.with_penalty(penalty)

    def _contraction(self, model: Model, batch: ForwardPass) -> Tensor:
        # A line search compares losses, which probes would change from one evaluation to the next.
        n_probes = None if OPTIMIZERS[self.solver].full_batch else self.n_probes
        return relative_contraction(model.network, batch, 1.0, n_probes)

    def jacobian(self, X: ArrayLike) -> Array:
        """Compute the Jacobian of the code with respect to the features, at each row.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)

        Returns
        -------
        jacobian : ndarray of shape (n_samples, n_components_, n_features_in_)
            In units of the code per unit of X, in the dtype of X.
        """
        return np.concatenate([chunk.numpy() for chunk in self._jacobians(X)])

    def singular_values(self, X: ArrayLike) -> Array:
        """Compute the singular values of the Jacobian at each row.

        The number of large values is the number of directions to which the code is sensitive.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)

        Returns
        -------
        singular_values : ndarray of shape (n_samples, min(n_components_, n_features_in_))
            In decreasing order.
        """
        return np.concatenate([torch.linalg.svdvals(chunk).numpy() for chunk in self._jacobians(X)])

    def tangent_directions(self, X: ArrayLike, n_directions: int = 2) -> Array:
        """Compute the directions in which the code changes most at each row.

        They are tangent to the manifold of the data.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
        n_directions : int, default=2
            Number of directions, at most ``min(n_components_, n_features_in_)``.

        Returns
        -------
        directions : ndarray of shape (n_samples, n_directions, n_features_in_)
            Orthonormal right singular vectors of the Jacobian, by decreasing singular value.
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

    def _advice(self) -> str | None:
        if self.alpha == 0:
            return None
        return advise_where_pca_was_kept(
            self,
            "the code is not contracted",
            "no epoch had a clearly lower held-out loss, penalty included. Pass more rows, or "
            f"change alpha (now {self.alpha:g}) or n_components.",
        )

    def _jacobians(self, X: ArrayLike) -> Iterator[Tensor]:
        rows, model = self._validate_rows(X), self._model
        network = model.network_in(torch_dtype(rows))
        # Per row, a factor of the Jacobian has up to max_width * n_components_ entries.
        n_rows = max(1, _MAX_ENTRIES // (network.max_width * self.n_components_))
        for part in dense_parts(rows, n_rows):
            n_operations = network.cost * len(part) * self.n_components_
            with torch_defaults(), torch.no_grad(), threads_for(n_operations, part.itemsize):
                jacobians = encoder_jacobians(network, model.standardise(as_tensor(part)))
            yield jacobians.mul_(model.code_unit / model.scale).cpu()

"""The hashing autoencoder."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass
from typing import Any, ClassVar, cast

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from sklearn.utils.validation import check_is_fitted
from torch import Tensor

from skae._base import BaseAutoencoder
from skae._core.hashing import HashingArchitecture, HashingNetwork, balanced_thresholds
from skae._core.model import Model
from skae._core.networks import Architecture
from skae._core.training import Objective
from skae._docs import document
from skae._hamming import nearest, pack
from skae._runs import Run
from skae._validation import check_count, computed, integer, real, without


@document
@dataclass(eq=False, repr=False)
class HashingAutoencoder(BaseAutoencoder):
    r"""Hashing autoencoder: a code of bits, for looking up similar rows (semantic hashing).

    Minimises the loss of the reconstruction :math:`g(b)` from the code

    .. math::

        b = \sigma(f(x) - \bar f + s \epsilon), \qquad \epsilon \sim N(0, I)

    with :math:`\sigma` the logistic function, :math:`\bar f` the mean over the batch and :math:`s`
    the `noise_level`: only units far from 0 carry anything through the noise, so training makes
    them nearly binary [1]_. After training a unit is 1 above its threshold and 0 below, the
    threshold being such that half of the training rows are above; so every bit tells as much as a
    bit can. Rows that are alike have codes that differ in few bits, and `kneighbors` finds them by
    counting these.

    X may be a CSR matrix, such as the counts or the tf-idf weights of documents, best with
    ``loss="multinomial"``. It is never made dense, other than a batch at a time; with
    ``solver="lbfgs"``, a batch is the whole.

    Parameters
    ----------
    {parameters}

    n_components : int, default=32
        Number of bits.

    noise_level : float, default=4.0
        Standard deviation of the noise before the logistic function.

    straight_through : bool, default=False
        Whether the code is rounded to 0 and 1 in training too, and differentiated as if it were
        not [2]_.

    Attributes
    ----------
    {attributes}

    thresholds_ : ndarray of shape (n_components_,)
        The value of each unit, an output of the encoder, above which its bit is 1.

    hashes_ : ndarray of uint8 of shape (n_samples, ceil(n_components_ / 8))
        Packed bits of the training rows, among which `kneighbors` looks. After `partial_fit` those
        of the last part; thresholds are then running means of the units, and hashes of earlier
        calls are no longer comparable.

    See Also
    --------
    sklearn.neighbors.NearestNeighbors : Exact neighbours, in the space of X.

    References
    ----------
    .. [1] Salakhutdinov, R., & Hinton, G. (2009). Semantic hashing. International Journal of
       Approximate Reasoning, 50(7), 969-978.
    .. [2] Bengio, Y., Leonard, N., & Courville, A. (2013). Estimating or propagating gradients
       through stochastic neurons for conditional computation. arXiv:1308.3432.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from skae import HashingAutoencoder
    >>> X, y = load_digits(return_X_y=True)
    >>> hashing = HashingAutoencoder(32, random_state=0).fit(X[:1500])
    >>> hashing.hash(X[1500:]).shape
    (297, 4)
    >>> distances, indices = hashing.kneighbors(X[1500:], n_neighbors=10)
    >>> bool((y[indices] == y[1500:, None]).mean() > 0.7)
    True
    """

    n_components: int = 32
    _: KW_ONLY
    code_activation: str = computed(lambda self: "logistic")
    shortcut: str | None = computed(lambda self: None)
    noise_level: float = 4.0
    straight_through: bool = False

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        **without(BaseAutoencoder._parameter_constraints, "code_activation", "shortcut"),
        "n_components": [integer(1)],
        "noise_level": [real(0)],
        "straight_through": ["boolean"],
    }
    _allows_sparse: ClassVar[bool] = True
    _kind: ClassVar[type[Architecture]] = HashingArchitecture

    def _objective(self, model: Model, run: Run, n_models: int | None) -> Objective:
        network = _hashing(model)
        network.noise_level = self.noise_level
        network.straight_through = self.straight_through
        return super()._objective(model, run, n_models)

    @torch.no_grad()
    def _calibrate(self, model: Model, data: Tensor | None) -> None:
        network = _hashing(model).eval()
        network.noise_level = None
        if data is None:  # the running means serve; a part may be a single row
            return
        chunks = data.split(model.rows_at_a_time)
        units = torch.cat([network.encoder(chunk).cpu() for chunk in chunks])
        network.thresholds = balanced_thresholds(units).to(network.thresholds)

    def _further_attributes(self, model: Model, data: Tensor) -> dict[str, Any]:
        hashes = [pack(bits.numpy()) for bits in model.encoded_chunks(data)]
        thresholds = _hashing(model).thresholds.cpu().double().numpy()
        return {"hashes_": np.concatenate(hashes), "thresholds_": thresholds}

    def hash(self, X: ArrayLike) -> NDArray[np.uint8]:
        """Encode X as packed bits.

        Parameters
        ----------
        X : array-like or CSR matrix of shape (n_samples, n_features)

        Returns
        -------
        hashes : ndarray of uint8 of shape (n_samples, ceil(n_components_ / 8))
            As `numpy.packbits` packs the rows of `transform`: eight bits a byte, the first one
            highest.
        """
        return pack(self._encode(self._validate_rows(X)))

    def kneighbors(
        self, X: ArrayLike | None = None, n_neighbors: int = 5, return_distance: bool = True
    ) -> NDArray[np.int64] | tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Find the training rows whose codes differ in the fewest bits.

        Parameters
        ----------
        X : array-like or CSR matrix of shape (n_queries, n_features), default=None
            None asks for the neighbours of each training row, which is not its own.
        n_neighbors : int, default=5
        return_distance : bool, default=True

        Returns
        -------
        distances : ndarray of shape (n_queries, n_neighbors)
            Number of bits that differ, ascending. Only if `return_distance`.
        indices : ndarray of shape (n_queries, n_neighbors)
            Row numbers in the training data; of equally near rows the first.

        Raises
        ------
        ValueError
            If there are not as many training rows.
        """
        check_is_fitted(self)
        check_count("n_neighbors", n_neighbors)
        available = len(self.hashes_) - (X is None)
        if n_neighbors > available:
            raise ValueError(
                f"n_neighbors={n_neighbors}, but there are {available} rows to choose from. "
                "Ask for fewer."
            )
        queries = self.hashes_ if X is None else self.hash(X)
        found = nearest(queries, self.hashes_, n_neighbors, leave_out_self=X is None)
        return found if return_distance else found[1]


def _hashing(model: Model) -> HashingNetwork:
    return cast("HashingNetwork", model.network)

"""The hashing autoencoder."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass
from typing import Any, ClassVar, cast

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.utils.validation import check_is_fitted
from torch import Tensor

from skae.base import BaseAutoencoder
from skae.core.bits import BitReconstruction
from skae.core.criterion import Criterion
from skae.core.model import Model
from skae.core.networks.autoencoder import Architecture
from skae.core.networks.hashing import HashingArchitecture, HashingNetwork
from skae.inference.hamming import nearest, pack
from skae.utils.docs import document
from skae.utils.validation import check_count, computed, real, size_of_code, without


@document
@dataclass(eq=False, repr=False)
class HashingAutoencoder(BaseAutoencoder):
    r"""Hashing autoencoder: a binary code for finding similar rows (semantic hashing).

    Minimises the loss of the reconstruction :math:`g(b)` from the code

    .. math::

        b = \sigma(f(x) - \bar f + s \epsilon), \qquad \epsilon \sim N(0, I)

    with :math:`\sigma` the logistic function, :math:`\bar f` the mean over the batch and :math:`s`
    the `noise_level`. Only units far from 0 transmit information through the noise, so training
    makes the code nearly binary [1]_. After training, a bit is 1 if its unit is above a threshold.
    About half of the training rows are above each threshold, which maximises the information of a
    bit. Similar rows have codes that differ in few bits; `kneighbors` searches by this Hamming
    distance.

    For counts or tf-idf weights of documents, sparse or not, ``loss="multinomial"`` works best.

    With ``loss="multinomial"``, rows are scaled to Euclidean length 1, as tf-idf weights are.
    Otherwise a few long documents would govern both the loss and the scale of X, and the codes of
    all others would hardly differ. Codes do not depend on the length of a document then, and
    `mean_`, reconstructions, errors and scores refer to the scaled rows.

    Parameters
    ----------
    {parameters}

    n_components : int, default=32
        Number of bits.

    noise_level : float, default=4.0
        Standard deviation of the noise before the logistic function.

    straight_through : bool, default=False
        Whether to round the code to 0 and 1 during training, too, with the gradient of the
        unrounded code [2]_.

    Attributes
    ----------
    {attributes}

    thresholds_ : ndarray of shape (n_components_,)
        Value of each unit (encoder output) above which its bit is 1.

    hashes_ : ndarray of uint8 of shape (n_samples, ceil(n_components_ / 8))
        Packed bits of the training rows, which `kneighbors` searches. After `partial_fit`, those of
        the last part; the thresholds are then running means of the units, so hashes from earlier
        calls are not comparable.

    See Also
    --------
    sklearn.neighbors.NearestNeighbors : Exact nearest neighbours in the space of X.

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
    >>> hashing = HashingAutoencoder(32, max_iter=30, random_state=0).fit(X[:1500])
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
        "n_components": size_of_code(may_be_share=False),
        "noise_level": [real(0)],
        "straight_through": ["boolean"],
    }
    _unit_row_losses: ClassVar[tuple[str, ...]] = ("multinomial",)

    def _network(self, n_features: int, n_components: int) -> Architecture:
        return HashingArchitecture(**vars(super()._network(n_features, n_components)))

    def _criterion(self, model: Model) -> Criterion:
        return BitReconstruction(model, self.noise_level, straight_through=self.straight_through)

    def _fitted_attributes(self, model: Model, data: Tensor) -> dict[str, Any]:
        hashes = [pack(bits.numpy()) for bits in model.encoder_codes(data)]
        thresholds = _hashing(model).thresholds.cpu().double().numpy()
        return {"hashes_": np.concatenate(hashes), "thresholds_": thresholds}

    def hash(self, X: ArrayLike) -> NDArray[np.uint8]:
        """Encode X as packed bits.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)

        Returns
        -------
        hashes : ndarray of uint8 of shape (n_samples, ceil(n_components_ / 8))
            Rows of `transform`, packed by `numpy.packbits`: eight bits per byte, the first bit
            highest.
        """
        return pack(self._encode(self._validate_rows(X)))

    def kneighbors(
        self, X: ArrayLike | None = None, n_neighbors: int = 5, return_distance: bool = True
    ) -> NDArray[np.int64] | tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Find the training rows whose codes differ in the fewest bits.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_queries, n_features), default=None
            None searches for the neighbours of each training row, excluding the row itself.
        n_neighbors : int, default=5
        return_distance : bool, default=True

        Returns
        -------
        distances : ndarray of shape (n_queries, n_neighbors)
            Number of differing bits, ascending. Only returned if `return_distance` is True.
        indices : ndarray of shape (n_queries, n_neighbors)
            Row numbers in the training data. Ties are ordered by row number.

        Raises
        ------
        ValueError
            If there are fewer than `n_neighbors` training rows to choose from.
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

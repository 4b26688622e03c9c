"""Predictive sparse decomposition."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike
from scipy.sparse import issparse
from sklearn.linear_model import Lasso
from torch import Tensor

from skae.base import BaseAutoencoder
from skae.core.criterion import Criterion
from skae.core.dictionary import SparseCoding
from skae.core.model import Model
from skae.core.networks.autoencoder import Architecture
from skae.core.networks.dictionary import DictionaryArchitecture
from skae.inference.sampling import MixtureSampling
from skae.utils.csr import Array, dense_parts
from skae.utils.docs import document
from skae.utils.validation import computed, real, size_of_code, without

_MOST_SWEEPS = 10_000  # the default of 1000 is too low for an overcomplete dictionary


@document
@dataclass(eq=False, repr=False)
class PredictiveSparseDecomposition(MixtureSampling, BaseAutoencoder):
    r"""Predictive sparse decomposition: dictionary learning with an encoder for the codes.

    Minimises, over a dictionary :math:`D` with atoms of norm 1, an encoder :math:`f` and a code
    :math:`z_i` for each row [1]_,

    .. math::

        \sum_i \frac{\| x_i - \bar x - D^T z_i \|^2}{V} + \alpha \frac{\| z_i \|_1}{\sqrt V}
        + \beta \frac{\| z_i - f(x_i) \|^2}{V}

    with :math:`V` the total variance of the training data and :math:`\beta` the
    `prediction_weight`. Each training step first optimises the codes of a batch by proximal
    gradient steps that start from the prediction of the encoder. It then takes a gradient step on
    dictionary and encoder. For new rows, `transform` predicts the codes in one pass through the
    encoder, which is much faster than optimising them (`sparse_code`).

    The output of the encoder is shrunk towards 0 by a learned threshold per unit, which gives exact
    zeros [2]_. Codes are in the units of X.

    Parameters
    ----------
    {parameters}

    n_components : int, default=64
        Number of atoms.

    hidden_layer_sizes : sequence of int, default=()
        Widths of the encoder's hidden layers. The decoder is a single layer, the dictionary.

    alpha : float, default=0.03
        Weight of the l1 norm of the codes. It does not depend on the scale of X.

    prediction_weight : float, default=1.0
        Weight of the squared distance between a code and its prediction. A large weight leads to
        codes that are easy to predict.

    Attributes
    ----------
    {attributes}

    mean_ : ndarray of shape (n_features,)
        Feature means of the rows on which the network was trained. A reconstruction is
        ``mean_ + code @ components_``.

    alpha_ : float
        `alpha` in the units of X: the `alpha` for which `sklearn.decomposition.sparse_encode` has
        the same objective as `sparse_code`.

    See Also
    --------
    sklearn.decomposition.MiniBatchDictionaryLearning : Dictionary learning without an encoder.
    SparseAutoencoder : The output of the encoder is the code, without optimisation of codes.

    References
    ----------
    .. [1] Kavukcuoglu, K., Ranzato, M., & LeCun, Y. (2008). Fast inference in sparse coding
       algorithms with applications to object recognition. arXiv:1010.3467.
    .. [2] Gregor, K., & LeCun, Y. (2010). Learning fast approximations of sparse coding. ICML.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.datasets import load_digits
    >>> from skae import PredictiveSparseDecomposition
    >>> X = load_digits().data
    >>> model = PredictiveSparseDecomposition(100, max_iter=15, random_state=0).fit(X)
    >>> predicted, optimised = model.transform(X), model.sparse_code(X)
    >>> bool(np.corrcoef(predicted.ravel(), optimised.ravel())[0, 1] > 0.8)
    True
    """

    n_components: int = 64
    _: KW_ONLY
    hidden_layer_sizes: Sequence[int] = ()
    code_activation: str = computed(lambda self: "identity")
    loss: str = computed(lambda self: "squared_error")
    shortcut: str | None = computed(lambda self: None)
    tied_weights: bool = computed(lambda self: False)
    weight_decay: float = 0.0
    alpha: float = 0.03
    prediction_weight: float = 1.0

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        **without(
            BaseAutoencoder._parameter_constraints,
            "code_activation",
            "loss",
            "shortcut",
            "tied_weights",
        ),
        "n_components": size_of_code(may_be_share=False),
        "alpha": [real(0)],
        "prediction_weight": [real(0, closed="right")],
    }

    def _network(self, n_features: int, n_components: int) -> Architecture:
        return DictionaryArchitecture(**vars(super()._network(n_features, n_components)))

    def _criterion(self, model: Model) -> Criterion:
        return SparseCoding(model, self.alpha, self.prediction_weight)

    def _fitted_attributes(self, model: Model, data: Tensor) -> dict[str, Any]:
        return {
            # The mean that the decoder adds, so that reconstructions are exact.
            "mean_": model.mean.numpy(),
            "alpha_": 0.5 * self.alpha * model.scale * math.sqrt(data.shape[1]),
        }

    def _advice(self) -> str | None:
        penalties = self.history_.get("sparsity", [])
        if self.alpha == 0 or penalties[-1:] != [0.0]:
            return None
        return (
            "No row has a code: every optimised code is 0, so the dictionary has learned nothing. "
            f"Lower alpha (now {self.alpha:g})."
        )

    def sparse_code(self, X: ArrayLike) -> Array:
        """Optimise the code of each row, ignoring the prediction of the encoder.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)

        Returns
        -------
        code : ndarray of shape (n_samples, n_components_)
            The minimum of ``||x - mean_ - z components_||^2 + 2 alpha_ |z|_1``, by coordinate
            descent (`sklearn.linear_model.Lasso`). With ``alpha=0``, the minimum with the smallest
            norm.
        """
        rows = self._validate_rows(X)
        if issparse(rows):
            return np.concatenate([self._optimised_code(part) for part in dense_parts(rows)])
        return self._optimised_code(rows)

    def _optimised_code(self, rows: Array) -> Array:
        # In training units, so that no square overflows.
        scale = self._model.scale
        atoms = self.components_.T.astype(np.float64, copy=False)
        targets = ((rows - self._mean) / scale).T
        if self.alpha_ == 0:
            codes = np.linalg.lstsq(atoms, targets, rcond=None)[0].T
        else:
            # As in `sparse_encode` of scikit-learn, which uses NumPy's global generator.
            lasso = Lasso(
                self.alpha_ / scale / len(targets),
                fit_intercept=False,
                precompute=True,
                max_iter=_MOST_SWEEPS,
                random_state=0,
            )
            codes = lasso.fit(atoms, targets).coef_.reshape(len(rows), -1)
        return (codes * scale).astype(rows.dtype, copy=False)

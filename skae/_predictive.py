"""Predictive sparse decomposition."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass
from typing import Any, ClassVar, cast

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from sklearn.linear_model import Lasso
from torch import Tensor

from skae._base import BaseAutoencoder
from skae._core.canonical import Axes
from skae._core.model import Model
from skae._core.networks import Architecture
from skae._core.predictive import PredictiveArchitecture, PredictiveNetwork, sparse_codes
from skae._docs import document
from skae._fitted import Array
from skae._generation import MixtureSampling
from skae._validation import computed, integer, real, without

_STEPS_IN_TRAINING = 20
_MOST_SWEEPS = 10_000  # scikit-learn's 1000 are too few for an overcomplete dictionary


@document
@dataclass(eq=False, repr=False)
class PredictiveSparseDecomposition(MixtureSampling, BaseAutoencoder):
    r"""Predictive sparse decomposition: dictionary learning with an encoder for its codes.

    Minimises over a dictionary :math:`D` with atoms of norm 1, an encoder :math:`f` and a code
    :math:`z_i` for each row [1]_

    .. math::

        \sum_i \frac{\| x_i - \bar x - D^T z_i \|^2}{V} + \alpha \frac{\| z_i \|_1}{\sqrt V}
        + \beta \frac{\| z_i - f(x_i) \|^2}{V}

    with :math:`V` the total variance of the training data and :math:`\beta` the
    `prediction_weight`. Each training step first takes proximal gradient steps in the codes of a
    batch, from the encoder's prediction on, then a gradient step in dictionary and encoder. Codes
    of new rows are then one pass through the encoder (`transform`), which takes a small part of
    the time of optimising them (`sparse_code`).

    The encoder's output is shrunk towards 0 by a learned threshold a unit, which gives exact zeros
    [2]_. Codes are in the units of X.

    Parameters
    ----------
    {parameters}

    n_components : int, default=64
        Number of atoms.

    hidden_layer_sizes : sequence of int, default=()
        Widths of the encoder's hidden layers. The decoder is the dictionary, one layer.

    alpha : float, default=0.03
        Weight of the codes' l1 norm. It means the same on X and on 1000 X.

    prediction_weight : float, default=1.0
        Weight of the distance between a code and its prediction. A large one makes codes that are
        easy to predict.

    Attributes
    ----------
    {attributes}

    mean_ : ndarray of shape (n_features,)
        Feature means of the rows that the network was trained on. A reconstruction is
        ``mean_ + code @ components_``.

    alpha_ : float
        `alpha` in the units of X: the `alpha` with which `sklearn.decomposition.sparse_encode`
        minimises what `sparse_code` does.

    See Also
    --------
    sklearn.decomposition.MiniBatchDictionaryLearning : Without an encoder.
    SparseAutoencoder : Without codes of their own: its encoder's output is the code.

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
    >>> model = PredictiveSparseDecomposition(100, random_state=0).fit(X)
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
        "n_components": [integer(1)],
        "alpha": [real(0)],
        "prediction_weight": [real(0, closed="neither")],
    }

    _kind: ClassVar[type[Architecture]] = PredictiveArchitecture

    def _is_plain(self) -> bool:
        return False

    def _axes(self) -> Axes:
        return Axes.AS_TRAINED

    def _row_terms(self, model: Model, z: Tensor) -> dict[str, Tensor]:
        """Return the terms of each row, with codes optimised for the present network."""
        network, n_features = _predictive(model), z.shape[-1]
        prediction = network.encode(z)
        codes = sparse_codes(
            z,
            network.atoms().detach(),
            self.alpha * math.sqrt(n_features),
            prediction=prediction.detach(),
            prediction_weight=self.prediction_weight,
            n_steps=_STEPS_IN_TRAINING,
        )
        distance = (codes - prediction).square().sum(-1) / n_features
        return {
            "reconstruction": (network.decode(codes) - z).square().mean(-1),
            "sparsity": self.alpha * codes.abs().sum(-1) / math.sqrt(n_features),
            "prediction": self.prediction_weight * distance,
        }

    def _terms(self, model: Model, z: Tensor) -> dict[str, Tensor]:
        return {name: term.mean() for name, term in self._row_terms(model, z).items()}

    def _held_out_losses(self, model: Model, z: Tensor) -> Tensor:
        model.network.eval()
        terms = self._row_terms(model, z)
        model.network.train()
        return torch.stack(list(terms.values())).sum(0)

    def _centre(self, model: Model, X: Any) -> NDArray[np.float64]:
        # The decoder's own, so that mean_ + code @ components_ is the reconstruction.
        return model.mean.numpy()

    def _further_attributes(self, model: Model, data: Tensor) -> dict[str, Any]:
        return {"alpha_": 0.5 * self.alpha * model.scale * math.sqrt(data.shape[1])}

    def _of_silent_code(self) -> str | None:
        penalties = self.history_.get("sparsity", [])
        if self.alpha == 0 or penalties[-1:] != [0.0]:
            return None
        return (
            "No row has a code: every optimised code is 0, so the dictionary has learned nothing. "
            f"Lower alpha (now {self.alpha:g})."
        )

    def sparse_code(self, X: ArrayLike) -> Array:
        """Optimise the code of each row, without regard to the prediction.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)

        Returns
        -------
        code : ndarray of shape (n_samples, n_components_)
            The minimum of ``||x - mean_ - z components_||^2 + 2 alpha_ |z|_1``, found by
            coordinate descent (`sklearn.linear_model.Lasso`); with ``alpha=0``, of all minima the
            shortest code.
        """
        rows = self._validate_rows(X)
        # In training units, where no square overflows.
        scale = self._model.scale
        atoms, targets = self.components_.T, ((rows - self.mean_) / scale).T
        if self.alpha_ == 0:
            codes = np.linalg.lstsq(atoms, targets, rcond=None)[0].T
        else:
            # So does `sparse_encode` of scikit-learn, but it draws from NumPy's generator.
            lasso = Lasso(
                self.alpha_ / scale / len(targets),
                fit_intercept=False,
                precompute=True,
                max_iter=_MOST_SWEEPS,
                random_state=0,
            )
            codes = lasso.fit(atoms, targets).coef_.reshape(len(rows), -1)
        return (codes * scale).astype(rows.dtype, copy=False)


def _predictive(model: Model) -> PredictiveNetwork:
    return cast("PredictiveNetwork", model.network)

"""The regressor on an autoencoder's encoder."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import MultiOutputMixin, RegressorMixin
from sklearn.utils import check_array

from skae._core.supervised import squared_losses
from skae._docs import document_supervised
from skae._fitted import Array
from skae._supervised import BaseSupervised, LabelledRows


@document_supervised
@dataclass(eq=False, repr=False)
class AutoencoderRegressor(RegressorMixin, MultiOutputMixin, BaseSupervised):
    r"""Regressor whose lower layers are an autoencoder's encoder, trained without targets first.

    An autoencoder is fitted to all rows; of equal rows with equal targets, to one. Its encoder
    :math:`f` and a linear head :math:`h` on top of the code, with hidden layers if wished, then
    minimise the weighted squared error,

    .. math::

        \frac{1}{m \sum_i w_i} \sum_i w_i \, \| y_i - h(f(x_i)) \|^2,

    :math:`m` being the number of targets, first over the head alone, then over head and encoder
    [3]_, with each target in units of its standard deviation [1]_ [2]_. For rows without a target,
    fit an autoencoder to all rows and pass it with ``prefit=True``.

    Parameters
    ----------
    {parameters}

    Attributes
    ----------
    {attributes}

    validation_scores_ : list of float, of length n_iter_ + 1, or None
        1 minus the mean squared error of held-out rows in units of the targets' variance, at the
        start and after each epoch. An epoch that diverged has none. None without `early_stopping`.

    References
    ----------
    .. [1] Bengio, Y., Lamblin, P., Popovici, D., & Larochelle, H. (2007). Greedy layer-wise
       training of deep networks. NIPS.
    .. [2] Erhan, D., et al. (2010). Why does unsupervised pre-training help deep learning?
       JMLR, 11, 625-660.
    .. [3] Kumar, A., et al. (2022). Fine-tuning can distort pretrained features and underperform
       out-of-distribution. ICLR.

    Examples
    --------
    >>> from sklearn.datasets import load_diabetes
    >>> from skae import Autoencoder, AutoencoderRegressor
    >>> X, y = load_diabetes(return_X_y=True)
    >>> regressor = AutoencoderRegressor(Autoencoder(5), random_state=0).fit(X[:300], y[:300])
    >>> bool(regressor.score(X[300:], y[300:]) > 0.3)
    True
    """

    _loss_name: ClassVar[str] = "squared_error"
    _losses = staticmethod(squared_losses)
    _has_bounded_slope: ClassVar[bool] = False

    def _read_targets(self, y: ArrayLike) -> tuple[NDArray[np.float64], dict[str, Any]]:
        targets = check_array(y, ensure_2d=False, dtype=np.float64, input_name="y")
        is_flat = targets.ndim == 1
        return targets.reshape(len(targets), -1), {"_is_flat": is_flat}

    def _finish_targets(
        self, rows: LabelledRows, described: dict[str, Any]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64], int]:
        mean = np.average(rows.targets, axis=0, weights=rows.weights)
        deviations = rows.targets - mean
        # Squares relative to the largest neither overflow nor vanish.
        largest = np.abs(deviations).max(axis=0)
        largest = np.where(largest > 0, largest, 1.0)
        variance = np.average(np.square(deviations / largest), axis=0, weights=rows.weights)
        unit = np.where(variance > 0, largest * np.sqrt(variance), 1.0)
        described |= {"_target_mean": mean, "_target_unit": unit}
        return (rows.targets - mean) / unit, rows.weights, len(mean)

    def predict(self, X: ArrayLike) -> Array:
        """Predict the targets.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)

        Returns
        -------
        y : ndarray of shape (n_samples,) or (n_samples, n_targets)
            As y was in `fit`.
        """
        outputs = self._outputs(X) * self._target_unit + self._target_mean
        return outputs[:, 0] if self._is_flat else outputs

"""A regressor on the encoder of an autoencoder."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import MultiOutputMixin, RegressorMixin
from sklearn.metrics import r2_score
from sklearn.utils import check_array
from sklearn.utils.validation import check_consistent_length

from skae.core.head import squared_losses
from skae.estimators.supervised import BaseSupervised
from skae.fitting.duplicates import WeightedRows
from skae.utils.csr import Array
from skae.utils.docs import document_supervised


@document_supervised
@dataclass(eq=False, repr=False)
class AutoencoderRegressor(RegressorMixin, MultiOutputMixin, BaseSupervised):
    r"""Regressor on the encoder of an autoencoder that is pretrained without targets.

    Fits an autoencoder to all rows, using duplicate rows with equal targets only once. The encoder
    :math:`f` with a head :math:`h` on the code, linear or with hidden layers, then minimises the
    weighted squared error

    .. math::

        \frac{1}{m \sum_i w_i} \sum_i w_i \, \| y_i - h(f(x_i)) \|^2,

    where :math:`m` is the number of targets and each target is in units of its standard deviation:
    first for the head alone, then for head and encoder (fine-tuning) [1]_ [2]_ [3]_.

    Rows whose y is missing (NaN) have no target. Only the autoencoder and the standardisation of
    the head's inputs use them; `score` leaves them out. scikit-learn's scorers, such as
    ``scoring="r2"``, refuse them: use the default ``scoring=None``, or folds that test on rows with
    a target only.

    Parameters
    ----------
    {parameters}

    Attributes
    ----------
    {attributes}

    validation_scores_ : list of float, of length n_iter_ + 1, or None
        1 minus the mean squared error of held-out rows in units of the targets' variance, at the
        start and after each epoch. An epoch that diverged has no entry. None without held-out rows.

    References
    ----------
    .. [1] Bengio, Y., Lamblin, P., Popovici, D., & Larochelle, H. (2007). Greedy layer-wise
       training of deep networks. NIPS.
    .. [2] Erhan, D., et al. (2010). Why does unsupervised pretraining help deep learning?
       JMLR, 11, 625-660.
    .. [3] Kumar, A., et al. (2022). Fine-tuning can distort pretrained features and underperform
       out-of-distribution. ICLR.

    Examples
    --------
    >>> from sklearn.datasets import load_diabetes
    >>> from skae import Autoencoder, AutoencoderRegressor
    >>> X, y = load_diabetes(return_X_y=True)
    >>> autoencoder = Autoencoder(5, max_iter=20)
    >>> regressor = AutoencoderRegressor(autoencoder, random_state=0).fit(X[:300], y[:300])
    >>> bool(regressor.score(X[300:], y[300:]) > 0.3)
    True
    """

    _loss_name: ClassVar[str] = "squared_error"
    _losses = staticmethod(squared_losses)
    _has_bounded_slope: ClassVar[bool] = False

    def _read_targets(self, y: ArrayLike) -> tuple[NDArray[np.float64], dict[str, Any]]:
        targets = _read(y)
        return targets.reshape(len(targets), -1), {"_is_flat": targets.ndim == 1}

    def _finish_targets(
        self, rows: WeightedRows, described: dict[str, Any]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64], int]:
        targets, weights = rows.targets[rows.is_labelled], rows.weights[rows.is_labelled]
        if not len(targets):
            raise ValueError(
                "No row of positive weight has a target. Fit the autoencoder alone, or give "
                "targets."
            )
        # Divided by a power of two, which is exact, so that sums and differences are finite.
        exponent = np.frexp(np.abs(targets).max(axis=0))[1]
        targets = np.ldexp(targets, -exponent)
        mean = np.average(targets, axis=0, weights=weights)
        deviations = targets - mean
        # Divide by the largest deviation, so that squares neither overflow nor underflow.
        largest = np.abs(deviations).max(axis=0)
        largest = np.where(largest > 0, largest, 1.0)
        variance = np.average(np.square(deviations / largest), axis=0, weights=weights)
        unit = np.where(variance > 0, largest * np.sqrt(variance), 1.0)
        described["_target_mean"] = np.ldexp(mean, exponent)
        described["_target_unit"] = np.ldexp(unit, exponent)
        return deviations / unit, weights, len(mean)

    def predict(self, X: ArrayLike) -> Array:
        """Predict the targets.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)

        Returns
        -------
        y : ndarray of shape (n_samples,) or (n_samples, n_targets)
            In the shape of y in `fit`.
        """
        with np.errstate(over="ignore"):  # a prediction beyond the largest number is infinite
            outputs = self._outputs(X) * self._target_unit + self._target_mean
        return outputs[:, 0] if self._is_flat else outputs

    def score(self, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None) -> float:
        """Compute R2 on the rows that have a target.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
        y : array-like of shape (n_samples,) or (n_samples, n_targets)
            Targets. Rows without one (NaN) are left out.
        sample_weight : array-like of shape (n_samples,), default=None

        Returns
        -------
        score : float

        Raises
        ------
        ValueError
            If no row has a target.
        """
        predicted, targets = self.predict(X), _read(y)
        check_consistent_length(predicted, targets, sample_weight)
        known = ~np.isnan(targets.reshape(len(targets), -1)[:, 0])
        if not known.any():
            raise ValueError("No row has a target: every y is NaN. Score rows with a target.")
        weights = None if sample_weight is None else np.asarray(sample_weight)[known]
        return float(r2_score(targets[known], predicted[known], sample_weight=weights))


def _read(y: ArrayLike) -> NDArray[np.float64]:
    """Return the targets, which are NaN in all columns of a row without a target."""
    # Where huge values cancel, the sum by which scikit-learn looks for NaN overflows.
    with np.errstate(over="ignore", invalid="ignore"):
        targets: NDArray[np.float64] = check_array(
            y, ensure_2d=False, dtype=np.float64, ensure_all_finite="allow-nan", input_name="y"
        )
    missing = np.isnan(targets.reshape(len(targets), -1))
    if (missing.any(axis=1) != missing.all(axis=1)).any():
        raise ValueError(
            "y has rows with NaN in some targets only. Impute these, or set all targets of such a "
            "row to NaN, which marks it as a row without a target."
        )
    return targets

"""The losses of a fit, in one unit and on the same epochs."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.utils import Bunch
from sklearn.utils.validation import check_is_fitted

from skae.inspection.fitted import open_fitted


def loss_curves(estimator: Any) -> Bunch:
    """Return training loss, held-out loss and PCA's held-out loss on the same epochs.

    All are means of the loss that training minimises, penalties and noise included, with the codes
    of the encoder. An autoencoder that predicts the mean has loss 1; a likelihood is in nats per
    row, up to a constant. Lower is better. `score` and `validation_ratio_` use the nearest codes,
    as `transform` does, so that another epoch than the one with the lowest loss may have the best
    score.

    Parameters
    ----------
    estimator : object
        A fitted estimator of skae, a fitted `Pipeline` that ends with one, or a fitted search over
        either. For a classifier or a regressor, the curves are those of its own loss.

    Returns
    -------
    curves : Bunch
        Dictionary-like object, with the following attributes.

        epochs : ndarray of int of shape (n_iter_ + 1,)
            0 is the start.
        training : ndarray of shape (n_iter_ + 1,)
            `loss_curve_`: the mean over the batches of an epoch, while weights change. NaN at 0.
        validation : ndarray of shape (n_iter_ + 1,) or None
            Loss of the held-out rows after each epoch; None if none were held out.
        pca : float or None
            Held-out loss of PCA, or of the start near PCA that some losses have. None if the fit
            did not start there, or no rows were held out.
        best_iter : int
            Epoch whose state was kept.

    Raises
    ------
    TypeError
        If `estimator` has no autoencoder of skae.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from skae import Autoencoder
    >>> from skae.inspection import loss_curves
    >>> autoencoder = Autoencoder(8, max_iter=5, random_state=0).fit(load_digits().data)
    >>> curves = loss_curves(autoencoder)
    >>> curves.epochs
    array([0, 1, 2, 3, 4, 5])
    >>> bool(curves.validation[curves.best_iter] < curves.pca)
    True
    """
    last = open_fitted(estimator).estimator
    check_is_fitted(last, "loss_curve_")
    training = np.array([np.nan, *last.loss_curve_])
    validation = pca = None
    if last.validation_scores_ is not None:
        validation = _perfect_score(last) - np.array(last.validation_scores_)
        was_compared = getattr(last, "validation_ratio_", None) is not None
        if was_compared or getattr(last, "selected_", None) == "pca":
            pca = float(validation[0])
    return Bunch(
        epochs=np.arange(len(training)),
        training=training,
        validation=validation,
        pca=pca,
        best_iter=last.best_iter_,
    )


def _perfect_score(last: Any) -> float:
    """Return the validation score at a loss of 0."""
    if hasattr(last, "_perfect_score"):  # a classifier or a regressor
        return float(last._perfect_score)
    return float(last._criterion(last._model).perfect_score)

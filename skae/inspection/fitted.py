"""What the functions here take: a fitted estimator, alone or at the end of a pipeline."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import check_is_fitted

from skae.core.layers import n_layers
from skae.core.model import Model, NetworkInUnits
from skae.core.networks.autoencoder import AutoencoderNetwork
from skae.inference.predictor import HeadPredictor
from skae.inference.transformer import AutoencoderTransformer
from skae.utils.csr import Array


@dataclass(frozen=True)
class Fitted:
    """A fitted autoencoder, with the rows that it sees.

    Attributes
    ----------
    estimator : object
        The estimator of skae itself.
    autoencoder : AutoencoderTransformer
        The same; for a classifier or a regressor, its `autoencoder_`.
    units : NetworkInUnits
        Its network, with the mean and the scale of X.
    rows : ndarray or CSR matrix of shape (n_samples, n_features)
        X after the steps of a pipeline before the autoencoder, validated; no rows if X is None.
    names : ndarray of str of shape (n_features,)
        Names of the features that the autoencoder sees; "x0", "x1", ... if there are none.
    """

    estimator: Any
    autoencoder: AutoencoderTransformer
    units: NetworkInUnits[Any]
    rows: Array
    names: NDArray[Any]

    @property
    def has_head(self) -> bool:
        """Whether the encoder is that of a classifier or a regressor."""
        return self.estimator is not self.autoencoder

    @property
    def dtype(self) -> torch.dtype:
        """Precision of the rows."""
        return torch.float32 if self.rows.dtype == np.float32 else torch.float64

    @property
    def model(self) -> Model:
        """The network and the units of the autoencoder, before any fine-tuning by a head."""
        return self.autoencoder._model

    @property
    def n_encoder_layers(self) -> int:
        """Number of layers of the encoder; the last one is the code."""
        return n_layers(self.network(self.dtype))[0]

    def network(self, dtype: torch.dtype) -> AutoencoderNetwork:
        """Return the network in this precision; it is shared, and must not be changed."""
        network = self.units.network_in(dtype)
        return network if isinstance(network, AutoencoderNetwork) else network.network


def open_fitted(estimator: Any, X: Any = None, *, decodes: bool = False) -> Fitted:
    """Return the autoencoder of a fitted estimator, and the rows of X as it sees them.

    Parameters
    ----------
    estimator : object
        Fitted: an estimator of skae, a `Pipeline` that ends with one, or a search over either.
    X : {array-like, sparse matrix} of shape (n_samples, n_features), default=None
        As passed to `estimator`. None if no rows are needed.
    decodes : bool
        Whether the caller needs the decoder. That of a classifier or a regressor does not match
        its encoder after fine-tuning.

    Raises
    ------
    TypeError
        If there is no autoencoder in `estimator`, or no decoder.
    """
    last, names = estimator, None
    while True:
        if isinstance(last, Pipeline):
            check_is_fitted(last)
            if len(last.steps) > 1:
                before = last[:-1]
                names = _names_after(before)
                X = None if X is None else before.transform(X)
            last = last.steps[-1][1]
        elif hasattr(last, "best_estimator_"):
            last = last.best_estimator_
        elif isinstance(last, FrozenEstimator):
            last = last.estimator
        elif isinstance(getattr(last, "autoencoder_", None), AutoencoderTransformer) and not (
            isinstance(last, HeadPredictor)
        ):
            X = None if X is None else last._validate_rows(X)
            names = getattr(last, "feature_names_in_", names)
            last = last.autoencoder_  # of an imputer
        else:
            break
    if isinstance(last, HeadPredictor):
        check_is_fitted(last)
        if decodes:
            raise TypeError(
                f"{type(last).__name__} has no decoder. Pass its autoencoder_, which is the "
                "autoencoder before fine-tuning."
            )
        rows = _rows(last, X)
        return Fitted(last, last.autoencoder_, last._predictor, rows, _names(last, names))
    if not isinstance(last, AutoencoderTransformer):
        raise _no_autoencoder(estimator, last)
    check_is_fitted(last, msg=vars(last).get("_too_few_rows"))
    rows = _rows(last, X)
    return Fitted(last, last, last._model, rows, _names(last, names))


def _rows(last: Any, X: Any) -> Array:
    return np.empty((0, last.n_features_in_)) if X is None else last._validate_rows(X)


def _no_autoencoder(estimator: Any, last: Any) -> Exception:
    """Return the error of an estimator in which no fitted autoencoder was found."""
    if hasattr(last, "refit") and not isinstance(last, type):  # a search
        return NotFittedError(
            f"{type(last).__name__} has no best_estimator_. Call its fit, with refit=True or the "
            "name of a score."
        )
    name = last.__name__ if isinstance(last, type) else type(last).__name__
    text = f"{name} is not an autoencoder"
    if isinstance(last, type):
        text = f"{name} is a class"
    elif last is not estimator:
        step = f"{last!r}" if isinstance(last, str) else name
        text = f"The last step of {type(estimator).__name__} is {step}, not an autoencoder"
    return TypeError(
        f"{text}. Pass a fitted estimator of skae, a fitted Pipeline that ends with one, or a "
        "search over either. If other steps follow the autoencoder, pass the steps up to it, such "
        "as pipeline[:2]."
    )


def _names_after(steps: Pipeline) -> NDArray[Any] | None:
    """Return the feature names that the steps pass on, or None if a step does not know them."""
    try:
        return np.asarray(steps.get_feature_names_out())
    except (AttributeError, ValueError):
        return None


def _names(estimator: Any, names: NDArray[Any] | None) -> NDArray[Any]:
    n_features = estimator.n_features_in_
    known = getattr(estimator, "feature_names_in_", names)
    if known is None or len(known) != n_features:
        return np.array([f"x{number}" for number in range(n_features)])
    return np.asarray(known)

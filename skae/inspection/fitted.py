"""What the functions here take: a fitted estimator, alone or at the end of a pipeline."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.frozen import FrozenEstimator
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import check_is_fitted

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
        The units of X; `network` has the network.
    rows : ndarray or CSR matrix of shape (n_samples, n_features)
        X after the steps of a pipeline before the autoencoder, validated; none if X is None.
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

    def network(self, dtype: torch.dtype) -> AutoencoderNetwork:
        """Return the network in this precision; it is shared, and must not be changed."""
        network = self.units.network_in(dtype)
        return network if isinstance(network, AutoencoderNetwork) else network.network


def open_fitted(estimator: Any, X: Any = None, *, decodes: bool = False) -> Fitted:
    """Return the autoencoder of a fitted estimator, and the rows of X as it sees them.

    Parameters
    ----------
    estimator : object
        Fitted: an estimator of skae, a `Pipeline` whose last step is one, or a search over either.
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
        raise TypeError(
            f"{_described(estimator, last)} is not an autoencoder. Pass a fitted estimator of "
            "skae, or a fitted Pipeline whose last step is one; of a longer pipeline, pass the "
            "part that ends with it, such as pipeline[:2]."
        )
    check_is_fitted(last, msg=vars(last).get("_too_few_rows"))
    rows = _rows(last, X)
    return Fitted(last, last, last._model, rows, _names(last, names))


def _rows(last: Any, X: Any) -> Array:
    return np.empty((0, last.n_features_in_)) if X is None else last._validate_rows(X)


def _described(estimator: Any, last: Any) -> str:
    name = type(last).__name__
    return name if last is estimator else f"The last step of {type(estimator).__name__}, {name},"


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

"""Prediction methods of a fitted classifier or regressor."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike
from sklearn.utils.validation import check_is_fitted

from skae.core.head import Predictor
from skae.inference.transformer import DTYPES, AutoencoderTransformer, as_tensor
from skae.utils.arrays import plain_array
from skae.utils.csr import Array, dense_parts, values_of
from skae.utils.validation import check_data, not_finite


class HeadPredictor:
    """Computes the outputs of a fitted head; `_predictor` is the network."""

    autoencoder_: AutoencoderTransformer
    _predictor: Predictor

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "_predictor")

    @staticmethod
    def _finite(autoencoder: AutoencoderTransformer) -> bool | str:
        return "allow-nan" if autoencoder._allows_missing else True

    def _validate_rows(self, X: ArrayLike) -> Array:
        check_is_fitted(self)
        finite = self._finite(self.autoencoder_)
        rows: Array = check_data(
            self,
            plain_array(X, allows_missing=finite is not True),
            accept_sparse="csr",
            dtype=DTYPES,
            reset=False,
            ensure_all_finite=finite,
        )
        return self.autoencoder_._in_unit_rows(rows)

    def _outputs(self, X: ArrayLike) -> Array:
        rows = self._validate_rows(X)
        parts = dense_parts(rows, self._predictor.chunk_size)
        outputs: Array = np.concatenate(
            [self._predictor.outputs(as_tensor(part)).numpy() for part in parts]
        )
        if not np.isfinite(outputs).all():
            raise not_finite("prediction", values_of(rows), self._predictor.scale)
        return outputs

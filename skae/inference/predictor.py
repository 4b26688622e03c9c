"""Prediction methods of a fitted classifier or regressor."""

from __future__ import annotations

from numpy.typing import ArrayLike
from sklearn.utils.validation import check_is_fitted, validate_data

from skae.core.head import Predictor
from skae.inference.transformer import DTYPES, AutoencoderTransformer, as_tensor
from skae.utils.csr import Array


class HeadPredictor:
    """Computes the outputs of a fitted head; `_predictor` is the network."""

    autoencoder_: AutoencoderTransformer
    _predictor: Predictor

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "_predictor")

    @staticmethod
    def _finite(autoencoder: AutoencoderTransformer) -> bool | str:
        return "allow-nan" if autoencoder._allows_missing else True

    def _outputs(self, X: ArrayLike) -> Array:
        check_is_fitted(self)
        rows: Array = validate_data(
            self,
            X,
            dtype=DTYPES,
            reset=False,
            ensure_all_finite=self._finite(self.autoencoder_),
        )
        rows = self.autoencoder_._in_unit_rows(rows)
        return self._predictor.outputs(as_tensor(rows)).numpy()

"""Methods of a fitted autoencoder: transform, inverse_transform, reconstruct and score."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import issparse
from sklearn.base import ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils import check_array
from sklearn.utils.validation import check_is_fitted, validate_data
from torch import Tensor

from skae.core.model import Model
from skae.core.numerics import row_slices
from skae.inference.covariance import ModelCovariance
from skae.utils.arrays import UNUSUAL, plain_array
from skae.utils.csr import Array, canonical, csr_rows, dense_parts, unit_rows, values_of
from skae.utils.images import fitted_image_shape, flatten_images
from skae.utils.validation import (
    check_count,
    check_loss_domain,
    explained,
    integer,
    missing_in_sparse,
    not_finite,
    refuses_sparse,
    too_large,
)

DTYPES = [np.float64, np.float32]
# Deviations of rows up to this size may be squared.
_LARGEST_DEVIATION = 1e100


def as_tensor(X: Any) -> Tensor:
    """Return X as a tensor that shares memory with X if torch allows it."""
    if issparse(X):
        return csr_rows(X, X.data, np.zeros(X.shape[1], X.dtype))
    shareable = X.flags.writeable and X.flags.aligned and min(X.strides) >= 0
    return torch.from_numpy(X if shareable else X.copy())


class AutoencoderTransformer(ModelCovariance, ClassNamePrefixFeaturesOutMixin, TransformerMixin):
    """The methods that only read fitted attributes; `_model` has the network."""

    # Whether X may have missing entries (NaN).
    _allows_missing: ClassVar[bool] = False
    # Whether X may be a sparse matrix. Only parts of it are made dense at a time.
    _allows_sparse: ClassVar[bool] = True
    # Whether X may have three or four axes (images).
    _allows_images: ClassVar[bool] = False
    # The losses for which rows of X are scaled to length 1 first, see `HashingAutoencoder`.
    _unit_row_losses: ClassVar[tuple[str, ...]] = ()
    # Whether the first columns of a code are a code, too.
    _takes_prefixes: ClassVar[bool] = False
    # Whether the encoder's codes are refined, see `IterativeInference`.
    _refines_codes: ClassVar[bool] = False

    _model: Model
    n_components_: int
    _mean: NDArray[np.float64]
    # Maximum number of refinement steps.
    transform_max_iter: int | None = None

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "_model")

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        tags.input_tags.allow_nan = self._allows_missing
        tags.input_tags.sparse = self._allows_sparse
        tags.input_tags.three_d_array = self._allows_images
        return tags

    @property
    def predict(self) -> Any:
        """Not available: `reconstruct` returns the reconstruction."""
        # scikit-learn then finds no method `predict`, but whoever calls it reads this.
        raise AttributeError(
            f"{type(self).__name__} has no predict. Call reconstruct(X) for the reconstruction. To "
            "score it, use scoring=None, which is R2, or a scorer of skae.metrics such as "
            "reconstruction_score: scikit-learn's named scorers need predict."
        )

    @property
    def _n_features_out(self) -> int:
        return self.n_components_

    def _validate_rows(self, X: ArrayLike) -> Array:
        check_is_fitted(self, msg=vars(self).get("_too_few_rows"))
        rows = self._validate_input(X, reset=False)
        loss = self._model.loss
        if loss.is_relative:  # of counts
            check_loss_domain("multinomial" if loss.has_row_total else "poisson", values_of(rows))
        return rows

    def _validate_input(self, X: ArrayLike, *, reset: bool, ensure_min_samples: int = 1) -> Array:
        if isinstance(X, UNUSUAL):
            X = plain_array(X, allows_missing=self._allows_missing)
        if issparse(X) and not self._allows_sparse:
            raise refuses_sparse(self)
        if self._allows_images:
            X, image_shape, channels_last = flatten_images(X, self, reset=reset)
        try:
            # Where huge values cancel, the sum by which scikit-learn looks for NaN overflows.
            with np.errstate(over="ignore", invalid="ignore"):
                rows: Any = validate_data(
                    self,
                    X,
                    accept_sparse="csr" if self._allows_sparse else False,
                    dtype=DTYPES,
                    reset=reset,
                    ensure_min_samples=ensure_min_samples,
                    ensure_all_finite="allow-nan" if self._allows_missing else True,
                )
        except ValueError as error:
            raise explained(error, self) from None
        values = rows.data if issparse(rows) else rows
        if issparse(rows) and self._allows_missing and np.isnan(values).any():
            raise missing_in_sparse(self)
        low, high = (ufunc.reduce(values, None, initial=0) for ufunc in (np.fmin, np.fmax))
        if (largest := max(high, -low)) > np.finfo(rows.dtype).max / 4:
            raise too_large("X", largest, rows.dtype)
        if issparse(rows):
            rows = canonical(rows)
        if self._unit_row_losses:
            if reset:
                self._has_unit_rows = getattr(self, "loss", None) in self._unit_row_losses
            rows = self._in_unit_rows(rows)
        if self._allows_images:
            self.image_shape_ = fitted_image_shape(self, image_shape, rows.shape[1], reset=reset)
            self._has_channels_last = channels_last
        return rows

    def _in_unit_rows(self, rows: Array) -> Array:
        """Scale rows to length 1, if the loss of the fit wants it."""
        return unit_rows(rows) if getattr(self, "_has_unit_rows", False) else rows

    def _encode(self, rows: Array) -> Array:
        n_steps = self.transform_max_iter
        if self._refines_codes:  # the parameter may have been set after the fit
            check_count("transform_max_iter", n_steps, lowest=0)
        # In parts, since torch needs a copy of what it cannot share, such as read-only rows.
        codes = np.empty((rows.shape[0], self.n_components_), rows.dtype)
        for part in row_slices(rows.shape[0], self._model.chunk_size):
            codes[part] = self._model.transform(as_tensor(rows[part]), n_steps).numpy()
        if not np.isfinite(codes).all():
            raise not_finite("code", values_of(rows), self._model.scale)
        return codes

    def _decode(self, codes: Array) -> Array:
        rows = np.empty((codes.shape[0], self.n_features_in_), codes.dtype)
        for part in row_slices(codes.shape[0], self._model.chunk_size):
            rows[part] = self._model.inverse_transform(as_tensor(codes[part])).numpy()
        return rows

    def _reconstruct(self, rows: Array) -> Array:
        return self._decode(self._encode(rows))

    def _validate_codes(self, code: ArrayLike, accept_sparse: str | bool = False) -> Array:
        check_is_fitted(self, msg=vars(self).get("_too_few_rows"))
        codes: Array = check_array(
            plain_array(code, "code") if isinstance(code, UNUSUAL) else code,
            dtype=DTYPES,
            input_name="code",
            accept_sparse=accept_sparse,
        )
        n_missing = self.n_components_ - codes.shape[1]
        if n_missing < 0 or (n_missing and not self._takes_prefixes):
            raise ValueError(
                f"The code has {codes.shape[1]} columns, but {type(self).__name__} was fitted with "
                f"{self.n_components_} components. Pass what transform returned."
            )
        return codes

    def transform(self, X: ArrayLike) -> Array:
        """Encode X.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)

        Returns
        -------
        code : ndarray of shape (n_samples, n_components_)
            In the dtype of X. A linear code is in the units of X.
        """
        return self._encode(self._validate_rows(X))

    def inverse_transform(self, X: ArrayLike) -> Array:
        """Decode a code.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_components_)
            The code.

        Returns
        -------
        X_original : ndarray of shape (n_samples, n_features_in_)
            In the dtype of the code and the units of the training data.
        """
        return self._decode(self._validate_codes(X))

    def reconstruct(self, X: ArrayLike) -> Array:
        """Encode and decode X.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)

        Returns
        -------
        reconstruction : ndarray of shape (n_samples, n_features)
        """
        return self._reconstruct(self._validate_rows(X))

    def reconstruction_error(self, X: ArrayLike, *, per_feature: bool = False) -> Array:
        """Compute the squared distance of each row from its reconstruction.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
        per_feature : bool, default=False
            Return the squared error of each entry, instead of their sum over each row.

        Returns
        -------
        error : ndarray of shape (n_samples,) or (n_samples, n_features)
            In squared units of X and in its dtype. In float32, errors below 1e-23 underflow
            when squared, and errors above 1e18 overflow. The error of a missing entry is NaN. The
            error of a row is then that of its other entries, scaled up to all features as in
            `sklearn.metrics.pairwise.nan_euclidean_distances`.
        """
        rows = self._validate_rows(X)
        return np.concatenate([self._errors(part, per_feature) for part in dense_parts(rows)])

    def _errors(self, rows: Array, per_feature: bool) -> Array:
        # Errors beyond the largest number are infinite.
        with np.errstate(over="ignore", divide="ignore", invalid="ignore"):
            errors: Array = np.square(rows - self._reconstruct(rows))
            if per_feature:
                return errors
            if not self._allows_missing:
                return errors.sum(axis=1)
            n_observed = np.count_nonzero(~np.isnan(rows), axis=1)
            # The error of a row with all entries missing is NaN.
            observed = np.where(np.isnan(rows), 0.0, errors)
            return observed.sum(axis=1) * (rows.shape[1] / n_observed).astype(rows.dtype)

    def score(self, X: ArrayLike, y: object = None) -> float:
        """Compute the R2 of the reconstruction: the explained share of the variance around `mean_`.

        Comparable with ``PCA.explained_variance_ratio_.sum()``. Higher is better; 1 is perfect.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
        y : Ignored

        Returns
        -------
        score : float
        """
        rows = self._validate_rows(X)
        # In training units, so that no square overflows or underflows; in larger ones for rows that
        # are further away.
        values = values_of(rows)
        largest = float(max(np.fmax.reduce(values, axis=None), -np.fmin.reduce(values, axis=None)))
        scale = max(self._model.scale, largest / _LARGEST_DEVIATION)
        total = error = 0.0
        with np.errstate(over="ignore"):  # of an error that is infinite even so
            for part in dense_parts(rows):
                total += float(np.nansum(np.square((part - self._mean) / scale)))
                rest = (part - self._reconstruct(part)) / np.float64(scale)
                error += float(np.square(rest).sum(where=~np.isnan(part)))
        if total == 0:
            if all(np.isnan(part).all() for part in dense_parts(rows)):
                return np.nan
            return 1.0 if error == 0 else 0.0
        return 1.0 - error / total

    def score_samples(self, X: ArrayLike) -> Array:
        """Compute the negative reconstruction error of each row: higher is more typical.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)

        Returns
        -------
        scores : ndarray of shape (n_samples,)
        """
        return -self.reconstruction_error(X)


@dataclass(eq=False, repr=False)
class IterativeInference(AutoencoderTransformer):
    """Refines the encoder's code towards the code with the nearest reconstruction.

    For methods whose objective is made of reconstruction losses alone. With a penalty or noise,
    the code remains the output of the encoder.
    """

    _: KW_ONLY
    transform_max_iter: int = 10

    _refines_codes: ClassVar[bool] = True
    _inference_constraints: ClassVar[dict[str, Any]] = {"transform_max_iter": [integer(0)]}

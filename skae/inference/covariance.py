"""The variance that a reconstruction leaves unexplained, and the covariance of a linear model."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted

# Largest difference of an entry of ``components_ @ components_.T`` from the identity.
_ROUNDING = 1e-3


def _is_pca(autoencoder: Any) -> bool:
    """Return whether PCA was kept, not what stands for it with another loss or code."""
    model = autoencoder._model
    is_start = autoencoder.selected_ == "pca" and model.network.is_code_linear
    return is_start and model.loss.link is None


def _has_covariance(autoencoder: Any) -> bool:
    """Return True, or raise an AttributeError that says why there is no covariance."""
    check_is_fitted(autoencoder)
    name, model = type(autoencoder).__name__, autoencoder._model
    is_linear = model.network.decoder.is_linear and model.network.is_code_linear
    if not (_is_pca(autoencoder) or (is_linear and model.loss.link is None)):
        raise AttributeError(
            f"This {name} is not linear, so components_ and noise_variance_ do not give its "
            "covariance. The covariance of the reconstruction is np.cov(reconstruct(X), "
            "rowvar=False). For the covariance of X, see sklearn.covariance."
        )
    if not autoencoder._has_known_codes():
        raise AttributeError(
            "get_covariance needs a code along the principal axes, as fit gives without tied "
            f"weights or a penalty, but this {name} has none. For the covariance of X, see "
            "sklearn.covariance."
        )
    return True


class ModelCovariance:
    """Mixin of `noise_variance_`, and of `get_covariance` for a linear model."""

    components_: NDArray[Any]
    explained_variance_: NDArray[Any]
    explained_variance_ratio_: NDArray[Any]
    n_components_: int
    n_samples_: int
    _is_part: bool
    # Root of the total variance of the training rows.
    _total_deviation: float

    @property
    def noise_variance_(self) -> Any:
        """Mean variance of the directions left out."""
        if "noise_variance_" in vars(self):  # that of a likelihood
            return vars(self)["noise_variance_"]
        check_is_fitted(self)
        # Later rows of a stream may differ from their reconstruction in any direction.
        n_features = self.components_.shape[1]
        n_directions = n_features if self._is_part else min(self.n_samples_, n_features)
        n_left = n_directions - self.n_components_
        unit = self.explained_variance_.dtype.type
        if n_left <= 0:
            if _is_pca(self):
                return unit(0.0)
            most = "n_features" if self._is_part else "min(n_samples, n_features)"
            raise AttributeError(
                f"noise_variance_ needs fewer columns than {most}, but the code has "
                f"{self.n_components_} columns and X has {n_directions} directions. Lower "
                "n_components."
            )
        left = max(0.0, 1.0 - float(self.explained_variance_ratio_.sum(dtype=np.float64)))
        with np.errstate(over="ignore"):
            return unit(np.square(self._total_deviation * np.sqrt(left / n_left)))

    @noise_variance_.setter
    def noise_variance_(self, value: Any) -> None:
        vars(self)["noise_variance_"] = value

    def _has_known_codes(self) -> bool:
        """Return whether the codes are uncorrelated, and `components_` orthonormal."""
        if self._is_part:
            return False
        components = self.components_[self.explained_variance_ > 0].astype(np.float64)
        rest = components @ components.T - np.eye(len(components))
        return bool(np.abs(rest).max(initial=0.0) < _ROUNDING)

    def _code_variances(self, noise_variance: float) -> NDArray[Any]:
        """Return the variance of each column of the code, without that of the noise."""
        variances = self.explained_variance_.astype(np.float64)
        return np.maximum(variances - noise_variance, 0.0)

    def _covariance(self) -> NDArray[Any]:
        noise_variance: Any = self.noise_variance_
        components = self.components_.astype(np.float64)
        weighted = components.T * self._code_variances(float(noise_variance))
        covariance: NDArray[Any] = weighted @ components
        covariance.flat[:: len(covariance) + 1] += noise_variance
        return covariance

    @available_if(_has_covariance)  # type: ignore[untyped-decorator]
    def get_covariance(self) -> NDArray[Any]:
        """Compute the covariance of X under the model, as `PCA.get_covariance` does.

        Available if PCA was kept, or with ``hidden_layer_sizes=()`` without tied weights or a
        penalty, fitted by `fit`. The code must be linear (``code_activation="identity"``).

        Returns
        -------
        covariance : ndarray of shape (n_features, n_features)
            The variance of the code along `components_`, and `noise_variance_` in all directions.
        """
        return self._covariance().astype(self.components_.dtype)

    @available_if(_has_covariance)  # type: ignore[untyped-decorator]
    def get_precision(self) -> NDArray[Any]:
        """Compute the inverse of `get_covariance`.

        Returns
        -------
        precision : ndarray of shape (n_features, n_features)
        """
        return np.linalg.inv(self._covariance()).astype(self.components_.dtype)

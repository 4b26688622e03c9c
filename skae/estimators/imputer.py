"""Imputation of missing entries as a step of a pipeline."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import KW_ONLY, dataclass
from functools import partial
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import ArrayLike
from scipy.sparse import issparse
from sklearn.base import BaseEstimator, OneToOneFeatureMixin, TransformerMixin, clone
from sklearn.callback import CallbackSupportMixin
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from skae.base import BaseAutoencoder
from skae.estimators.denoising import DenoisingAutoencoder
from skae.estimators.wrapped import BaseWrapper
from skae.inference.transformer import DTYPES
from skae.utils.arrays import plain_array
from skae.utils.callbacks import EpochCallbacks
from skae.utils.csr import Array
from skae.utils.docs import document
from skae.utils.validation import check_data, fit_context, restore_on_error


@document
@dataclass(eq=False, repr=False)
class AutoencoderImputer(
    OneToOneFeatureMixin,
    TransformerMixin,
    BaseWrapper,
    CallbackSupportMixin,
    BaseEstimator,
):
    """Fills missing entries (NaN) with the reconstruction of a denoising autoencoder.

    `transform` is `DenoisingAutoencoder.impute`: it returns the table itself, with its columns and
    their names, rather than a code [1]_ [2]_. Observed entries are unchanged.

    As for PCA, scale features of different units first; `sklearn.preprocessing.StandardScaler`
    ignores missing entries and keeps them.

    Parameters
    ----------
    autoencoder : DenoisingAutoencoder or None, default=None
        The autoencoder, which is cloned and fitted. None is ``DenoisingAutoencoder(0.9)``. A search
        reaches its parameters as ``autoencoder__<parameter>``, for example
        ``autoencoder__noise_level``.

    random_state : int, RandomState instance or None, default=None
        Seed of the autoencoder if its `random_state` is None.

    Attributes
    ----------
    autoencoder_ : DenoisingAutoencoder
        The fitted autoencoder.

    n_features_in_ : int
        Number of features seen by `fit`.

    feature_names_in_ : ndarray of shape (n_features_in_,)
        Names of the features, if X has string column names.

    See Also
    --------
    sklearn.impute.KNNImputer : Imputation from similar rows.
    sklearn.impute.IterativeImputer : Imputation by regression on the other features.

    References
    ----------
    .. [1] Vincent, P., Larochelle, H., Bengio, Y., & Manzagol, P.-A. (2008). Extracting and
       composing robust features with denoising autoencoders. ICML.
    .. [2] Gondara, L., & Wang, K. (2018). MIDA: Multiple imputation using denoising autoencoders.
       PAKDD.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.datasets import load_digits
    >>> from skae import AutoencoderImputer, DenoisingAutoencoder
    >>> X = load_digits().data
    >>> holes = np.where(np.random.default_rng(0).random(X.shape) < 0.3, np.nan, X)
    >>> autoencoder = DenoisingAutoencoder(16, max_iter=20)
    >>> imputer = AutoencoderImputer(autoencoder, random_state=0)
    >>> filled = imputer.fit_transform(holes)
    >>> bool(np.abs(filled - X).mean() < 0.7 * np.abs(np.nanmean(holes, axis=0) - X).mean())
    True
    """

    autoencoder: Any = None
    _: KW_ONLY
    random_state: int | np.random.RandomState | None = None

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        "autoencoder": [DenoisingAutoencoder, None],
        "random_state": ["random_state"],
    }
    _default_autoencoder: ClassVar[Callable[[], BaseAutoencoder]] = partial(
        DenoisingAutoencoder, 0.9
    )

    # The given autoencoder validates its own parameters.
    @fit_context(prefer_skip_nested_validation=False)
    def fit(self, X: ArrayLike, y: object = None, *, groups: ArrayLike | None = None) -> Self:
        """Fit the autoencoder to X.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Missing entries are NaN.
        y : Ignored
        groups : array-like of shape (n_samples,), default=None
            Groups of rows that belong together, as in `DenoisingAutoencoder.fit`.

        Returns
        -------
        self : object

        Raises
        ------
        ValueError
            If a parameter, X or `groups` is not as documented, or a feature has no value in any
            row.
        """
        with restore_on_error(self):
            rows = self._validate_rows(X, reset=True)
            given = self.autoencoder
            given = type(self)._default_autoencoder() if given is None else clone(given)
            if given.random_state is None:
                random = check_random_state(self.random_state)
                given.set_params(random_state=random.randint(2**31 - 1))
            callbacks = EpochCallbacks(self, lambda history: {}, X, y, perfect_score=1.0)
            callbacks.fit_part(given, rows, groups)
            callbacks.end_fit({"autoencoder_": given})
            self.autoencoder_ = given
        return self

    def transform(self, X: ArrayLike) -> Array:
        """Fill the missing entries of X.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)

        Returns
        -------
        X_filled : ndarray of shape (n_samples, n_features)
            In the dtype of X; a table under `set_output`.
        """
        check_is_fitted(self)
        filled: Array = self.autoencoder_.impute(self._validate_rows(X))
        return filled

    def _validate_rows(self, X: ArrayLike, *, reset: bool = False) -> Array:
        if issparse(X):
            raise TypeError(
                "Sparse data was passed to AutoencoderImputer, which fills the missing entries "
                "(NaN) of dense X. The zeros of sparse X are values, so there is nothing to fill."
            )
        rows: Array = check_data(
            self,
            plain_array(X, allows_missing=True),
            dtype=DTYPES,
            reset=reset,
            ensure_all_finite="allow-nan",
            ensure_min_samples=2 if reset else 1,
        )
        return rows

    def _n_epochs(self) -> tuple[int, int]:
        return 1, 0  # for the callbacks, the fit of the autoencoder is one task

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "autoencoder_")

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        tags.input_tags.allow_nan = True
        return tags

"""Sampling from autoencoders without a density model."""

from __future__ import annotations

import inspect
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import clone
from sklearn.mixture import GaussianMixture
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from skae.fitting.duplicates import exact_groups
from skae.inference.transformer import AutoencoderTransformer
from skae.utils.csr import Array
from skae.utils.validation import check_count


class MixtureSampling(AutoencoderTransformer):
    """Draws codes from a mixture model and decodes them."""

    def sample(
        self,
        n_samples: int = 1,
        *,
        X: ArrayLike | None = None,
        mixture: Any = None,
        random_state: int | np.random.RandomState | None = None,
    ) -> Array:
        """Draw rows from a Gaussian mixture on the code.

        The autoencoder is not a density model. So a mixture is fitted to the codes of X, and draws
        from it are decoded (ex-post density estimation [G]_). Each call fits the mixture again;
        draw all rows in a single call.

        Parameters
        ----------
        n_samples : int, default=1
        X : {array-like, sparse matrix} of shape (n_rows, n_features)
            Rows whose codes the mixture is fitted to; required. Usually the training data, which
            the fitted model does not store.
        mixture : density estimator of scikit-learn with `fit` and `sample`, default=None
            None is ``GaussianMixture(10)``, with fewer components if there are fewer distinct
            codes. A clone is fitted to the codes, divided by their overall standard deviation.
        random_state : int, RandomState instance or None, default=None
            Seed of the fit of the mixture and of the draws. None takes the `random_state` of
            `mixture`, if it has one.

        Returns
        -------
        X_new : ndarray of shape (n_samples, n_features_in_)
            In the dtype of X. Decoded codes, without residual noise.

        References
        ----------
        .. [G] Ghosh, P., et al. (2020). From variational to deterministic autoencoders. ICLR.
        """
        check_is_fitted(self)
        if X is None:
            raise ValueError(
                f"sample of {type(self).__name__} needs X, the rows whose codes a mixture is "
                "fitted to. Pass the training data, which the model does not store: sample(5, X=X)."
            )
        rows = self._validate_rows(X)
        check_count("n_samples", n_samples)
        if random_state is None:
            random_state = getattr(mixture, "random_state", None)
        random = check_random_state(random_state)
        codes = self._encode(rows).astype(np.float64)  # a mixture adds 1e-6 to covariances
        if mixture is None:
            mixture = _default_mixture(rows, codes)
        density = clone(mixture)
        if "random_state" in density.get_params():
            density.set_params(random_state=random.randint(2**31 - 1))
        # A mixture has its own seed; `sample` of a kernel density takes one.
        takes_seed = "random_state" in inspect.signature(density.sample).parameters
        seed = {"random_state": random.randint(2**31 - 1)} if takes_seed else {}
        largest = float(np.abs(codes).max()) or 1.0  # its square may overflow
        unit = largest * float(np.sqrt((codes / largest).var(axis=0).mean())) or 1.0
        drawn = density.fit(codes / unit).sample(n_samples, **seed)
        new_codes = drawn[0] if isinstance(drawn, tuple) else drawn
        # The draws of a mixture are ordered by component.
        new_codes = new_codes[random.permutation(n_samples)] * unit
        return self._decode(new_codes.astype(rows.dtype))


def _default_mixture(rows: Array, codes: Array) -> GaussianMixture:
    if len(codes) < 2:
        raise ValueError(
            "X has one row, and a mixture of distributions needs two or more codes. Pass the "
            "training data."
        )
    # Codes of duplicate rows may differ by rounding; codes of distinct rows may be equal.
    n_distinct = min(int(exact_groups(table).max()) + 1 for table in (rows, codes))
    return GaussianMixture(min(10, n_distinct))

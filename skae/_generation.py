"""Sampling from autoencoders that have no density of their own."""

from __future__ import annotations

import inspect
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import clone
from sklearn.mixture import GaussianMixture
from sklearn.utils import check_random_state

from skae._copies import number_of_distinct_row
from skae._fitted import Array, FittedMethods
from skae._validation import check_count


class MixtureSampling(FittedMethods):
    """Draws codes from a Gaussian mixture and decodes them."""

    def sample(
        self,
        n_samples: int = 1,
        *,
        X: ArrayLike,
        mixture: Any = None,
        random_state: int | np.random.RandomState | None = None,
    ) -> Array:
        """Draw rows: a mixture of normal distributions is fitted to codes, its draws are decoded.

        The autoencoder itself knows nothing of densities; one is put on its code afterwards
        (ex-post density estimation [G]_). The mixture is fitted in each call, so draw all rows in
        one.

        Parameters
        ----------
        n_samples : int, default=1
        X : array-like of shape (n_rows, n_features)
            Rows to whose codes the mixture is fitted: as a rule the training data, which a fitted
            model does not keep.
        mixture : density of scikit-learn with `fit` and `sample`, default=None
            None is ``GaussianMixture(10)``, with fewer components for fewer distinct codes. A copy
            is fitted, to codes divided by their standard deviation over all columns.
        random_state : int, RandomState instance or None, default=None
            Of the mixture's fit and of the draws. None is that of `mixture`, if it has one.

        Returns
        -------
        X_new : ndarray of shape (n_samples, n_features_in_)
            In the dtype of X. Reconstructions: without the noise that they leave out.

        References
        ----------
        .. [G] Ghosh, P., et al. (2020). From variational to deterministic autoencoders. ICLR.
        """
        rows = self._validate_rows(X)
        check_count("n_samples", n_samples)
        if random_state is None:
            random_state = getattr(mixture, "random_state", None)
        random = check_random_state(random_state)
        codes = self._encode(rows).astype(np.float64)  # where a mixture adds 1e-6 to covariances
        if mixture is None:
            mixture = _default_mixture(rows, codes)
        density = clone(mixture)
        if "random_state" in density.get_params():
            density.set_params(random_state=random.randint(2**31 - 1))
        # A mixture draws by its own seed, a kernel density by one that `sample` takes.
        takes_seed = "random_state" in inspect.signature(density.sample).parameters
        seed = {"random_state": random.randint(2**31 - 1)} if takes_seed else {}
        largest = float(np.abs(codes).max()) or 1.0  # whose square may overflow
        unit = largest * float(np.sqrt((codes / largest).var(axis=0).mean())) or 1.0
        drawn = density.fit(codes / unit).sample(n_samples, **seed)
        new_codes = drawn[0] if isinstance(drawn, tuple) else drawn
        # A mixture's draws come component by component.
        new_codes = new_codes[random.permutation(n_samples)] * unit
        return self._decode(new_codes.astype(rows.dtype))


def _default_mixture(rows: Array, codes: Array) -> GaussianMixture:
    if len(codes) < 2:
        raise ValueError(
            "X has one row, and a mixture of distributions needs two or more codes. Pass the "
            "training data."
        )
    # Codes of equal rows may differ by rounding, and those of different rows be equal.
    n_distinct = min(int(number_of_distinct_row(table).max()) + 1 for table in (rows, codes))
    return GaussianMixture(min(10, n_distinct))

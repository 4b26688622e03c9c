"""The denoising autoencoder."""

from __future__ import annotations

import sys
from dataclasses import KW_ONLY, dataclass
from functools import partial
from typing import Any, ClassVar, Self

import numpy as np
import torch
from numpy.typing import ArrayLike
from scipy.sparse import issparse
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted
from torch import Tensor

from skae.base import BaseAutoencoder
from skae.core.corruption import gaussian, masking, salt_and_pepper
from skae.core.loop import Corruption
from skae.core.model import Model
from skae.core.walkback import Walkback
from skae.fitting.selection import advise_where_pca_was_kept
from skae.utils.csr import Array
from skae.utils.docs import document
from skae.utils.validation import StrOptions, check_count, real
from skae.utils.warnings import warn

# Relative to the scale of X. Squares of larger noise overflow in float32.
_MAX_DEVIATION = 1e15


@document
@dataclass(eq=False, repr=False)
class DenoisingAutoencoder(BaseAutoencoder):
    r"""Denoising autoencoder: reconstructs rows from corrupted copies.

    Minimises

    .. math::

        \frac{\sum_i \mathbb{E}_{\tilde x_i \sim C(x_i)} \| x_i - g(f(\tilde x_i)) \|^2}
             {\sum_i \| x_i - \bar x \|^2}

    where the corruption :math:`C` is drawn anew in each training step [1]_. To remove noise, the
    network must learn how features depend on each other, so the code may be wider than the data.
    With Gaussian noise of a small standard deviation :math:`\sigma`,
    :math:`(g(f(x)) - x) / \sigma^2` estimates the score :math:`\nabla \log p(x)` [2]_.

    Fit it to rows as clean as you have them. Noise that X has already is part of what the network
    learns to reproduce, and PCA then is hard to improve on. For pairs of noisy and clean rows, use
    `AutoencoderRegressor` with the clean rows as y.

    Held-out rows are corrupted, too, with the same noise in each epoch. All methods accept missing
    entries in dense X, which are NaN or masked in a masked array: the network replaces them by the
    mean of the feature, and losses, errors and scores ignore them.

    Parameters
    ----------
    {parameters}

    noise : {"masking", "gaussian", "salt_and_pepper"}, default="masking"
        "masking" sets entries to the mean of the feature over the training data,
        "salt_and_pepper" to its minimum or maximum. "gaussian" adds normal noise.

    noise_level : float, default=0.25
        Share of corrupted entries, in [0, 1); for "gaussian" the standard deviation in the units of
        X, at most 1e15 times their root mean square about the mean. 0 is equivalent to
        `Autoencoder` with ``transform_max_iter=0`` and the same other parameters.

    Attributes
    ----------
    {attributes}

    References
    ----------
    .. [1] Vincent, P., Larochelle, H., Bengio, Y., & Manzagol, P.-A. (2008). Extracting and
       composing robust features with denoising autoencoders. ICML.
    .. [2] Alain, G., & Bengio, Y. (2013). What regularized auto-encoders learn from the data
       generating distribution. ICLR.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.datasets import load_digits
    >>> from skae import DenoisingAutoencoder
    >>> X = load_digits().data
    >>> holes = np.where(np.random.default_rng(0).random(X.shape) < 0.3, np.nan, X)
    >>> autoencoder = DenoisingAutoencoder(16, max_iter=20, random_state=0).fit(holes)
    >>> filled = autoencoder.impute(holes)
    >>> bool(np.abs(filled - X).mean() < 0.7 * np.abs(np.nanmean(holes, axis=0) - X).mean())
    True
    """

    _: KW_ONLY
    noise: str = "masking"
    noise_level: float = 0.25

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        **BaseAutoencoder._parameter_constraints,
        "noise": [StrOptions({"masking", "gaussian", "salt_and_pepper"})],
        "noise_level": [real(0, high=sys.float_info.max)],  # in the units of X
    }
    _allows_missing: ClassVar[bool] = True

    # -- training --------------------------------------------------------------------------------

    def fit(self, X: ArrayLike, y: object = None, *, groups: ArrayLike | None = None) -> Self:
        """Fit the autoencoder to X.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Training data, float32 or float64, as clean as possible: the noise is added here.
            Missing entries are NaN.
        y : Ignored, except by a splitter in `validation_fraction`.
            For pairs of noisy and clean rows, use `AutoencoderRegressor`.
        groups : array-like of shape (n_samples,), default=None
            Groups of rows that belong together, see `Autoencoder.fit`.

        Returns
        -------
        self : object

        Raises
        ------
        ValueError
            If a parameter, X or `groups` is not as documented.

        Warns
        -----
        UserWarning
            If PCA was kept, or if y has the columns of X, as clean rows would have.
        """
        super().fit(X, y, groups=groups)
        targets = None if y is None or y is X else np.asarray(y)
        if targets is not None and targets.ndim == 2 and targets.shape[1] == self.n_features_in_:
            warn(
                "DenoisingAutoencoder ignores y, which has as many columns as X. To learn from "
                "pairs, call AutoencoderRegressor(Autoencoder(...)).fit(noisy, clean). To train on "
                "clean rows alone, pass them as X: the noise is added in training.",
                UserWarning,
            )
        return self

    def _check_values(self, X: Array) -> None:
        super()._check_values(X)
        if self.noise != "gaussian" and self.noise_level >= 1:
            raise ValueError(
                f"noise_level={self.noise_level!r} is the share of corrupted entries under "
                f"noise={self.noise!r}, so it must be below 1. Lower it, or use noise='gaussian', "
                "whose level is a standard deviation in the units of X."
            )

    def _corruption(self, model: Model, data: Tensor) -> Corruption | None:
        if self.noise_level == 0:
            return None
        if self.noise == "gaussian":
            deviation = float(self.noise_level) / model.scale
            if deviation > _MAX_DEVIATION:
                raise ValueError(
                    f"noise_level={self.noise_level!r} is too large for X, whose scale (the root "
                    f"mean square of X - mean) is {model.scale:.3g}: with noise='gaussian' it is a "
                    "standard deviation in the units of X. Lower it to a share of that scale."
                )
            return partial(gaussian, standard_deviation=deviation)
        if self.noise == "masking":
            return partial(masking, share=self.noise_level)
        low, high = data.nan_to_num(nan=torch.inf).amin(0), data.nan_to_num(nan=-torch.inf).amax(0)
        # In a part of the data, a feature may have no value; its mean is 0 here.
        low, high = (part.nan_to_num(posinf=0.0, neginf=0.0) for part in (low, high))
        # On the CPU, since a fitted model stores them and may be loaded without another device.
        return partial(salt_and_pepper, share=self.noise_level, low=low.cpu(), high=high.cpu())

    def _fitted_attributes(self, model: Model, data: Tensor) -> dict[str, Any]:
        corruption = self._corruption(model, data)
        walkback = None
        if corruption is not None:
            walkback = Walkback.of(
                model, data, corruption, corruption_is_visible=self.noise == "masking"
            )
        deviation = self.noise_level if self.noise == "gaussian" else 0.0
        return {"_walkback": walkback, "_noise_deviation": deviation}

    def _advice(self) -> str | None:
        if self.noise_level == 0:
            return None
        return advise_where_pca_was_kept(
            self,
            "noise is removed only as PCA does",
            "on corrupted held-out rows, no epoch was clearly better, in total and on most rows. "
            f"Pass more or cleaner rows, change noise_level (now {self.noise_level:g}) or "
            "n_components, or train for longer (max_iter).",
        )

    # -- denoising, imputation, score function and sampling --------------------------------------

    def denoise(self, X: ArrayLike) -> Array:
        """Remove the noise from X; the same as `reconstruct`.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)

        Returns
        -------
        X_clean : ndarray of shape (n_samples, n_features)
        """
        return self.reconstruct(X)

    def impute(self, X: ArrayLike) -> Array:
        """Fill the missing entries (NaN) of X with their reconstruction.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)

        Returns
        -------
        X_filled : ndarray of shape (n_samples, n_features)
            Observed entries are unchanged. Sparse X, which has no missing entries, stays sparse.
        """
        rows = self._validate_rows(X)
        if issparse(rows):
            return rows.copy()  # which has no missing entries
        missing = np.isnan(rows)
        filled = rows.copy()
        incomplete = missing.any(axis=1)
        if incomplete.any():
            filled[missing] = self._reconstruct(rows[incomplete])[missing[incomplete]]
        return filled

    def score_function(self, X: ArrayLike) -> Array:
        r"""Estimate the score :math:`\nabla \log p(x)`, the gradient of the log-density.

        The estimate is ``(reconstruct(x) - x) / noise_level**2``. In general it is the score of the
        noisy data; as `noise_level` tends to 0, it tends to the score of the data.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)

        Returns
        -------
        score : ndarray of shape (n_samples, n_features)
            In units of 1 / X.

        Raises
        ------
        ValueError
            If the model was not trained with ``noise="gaussian"`` and ``noise_level > 0``.
        """
        rows: Any = self._validate_rows(X)
        if self._noise_deviation == 0:
            raise ValueError(
                "score_function needs a model trained with noise='gaussian' and noise_level > 0, "
                "and this one was not. Set both and fit again."
            )
        # Divided twice, since the square may underflow.
        changes = self._reconstruct(rows) - (rows.toarray() if issparse(rows) else rows)
        return changes / self._noise_deviation / self._noise_deviation

    def sample(
        self,
        n_samples: int = 1,
        *,
        n_steps: int = 100,
        return_mean: bool = False,
        random_state: int | np.random.RandomState | None = None,
    ) -> Array:
        """Draw rows with a Markov chain that alternates corruption and reconstruction [1]_.

        Each step corrupts the rows, reconstructs them, and draws new rows around the
        reconstruction. The draw is normal, with the standard deviations of the residuals on the
        training data; Bernoulli with ``loss="log_loss"``, Poisson with "poisson", and Poisson with
        the mean total of a row with "multinomial". The chain starts at the mean of the training
        data.

        With ``noise="masking"`` only the corrupted entries are drawn anew. This assumes that the
        network can tell which entries are corrupted, which holds for many columns, but not for two.

        The stationary distribution is that of the data if residuals are independent and identically
        distributed across rows. A smaller `noise_level` brings the residuals closer to this, but
        makes the chain mix more slowly.

        Parameters
        ----------
        n_samples : int, default=1
            Number of chains, each of which returns one row.
        n_steps : int, default=100
            Number of steps of each chain. With little noise, chains move slowly between modes.
        return_mean : bool, default=False
            Return the last reconstruction instead of a draw around it.
        random_state : int, RandomState instance or None, default=None

        Returns
        -------
        X : ndarray of shape (n_samples, n_features_in_)

        Raises
        ------
        ValueError
            If the model was trained without noise, or if the chain diverges, which may happen with
            an exponential output (``loss="poisson"``).

        References
        ----------
        .. [1] Bengio, Y., Yao, L., Alain, G., & Vincent, P. (2013). Generalized denoising
           auto-encoders as generative models. NeurIPS.
        """
        check_is_fitted(self)
        check_count("n_samples", n_samples)
        check_count("n_steps", n_steps)
        if self._walkback is None:
            raise ValueError(
                "sample walks between data and corrupted data, so it needs a model trained with "
                "noise_level > 0."
            )
        seed = int(check_random_state(random_state).randint(2**31 - 1))
        generator = torch.Generator(self._model.device).manual_seed(seed)
        rows = self._walkback.sample(
            self._model, n_samples, n_steps, generator, return_mean=return_mean
        )
        return rows.numpy()

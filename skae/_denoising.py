"""The denoising autoencoder."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass
from functools import partial
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import ArrayLike
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted
from torch import Tensor

from skae._base import BaseAutoencoder
from skae._core.corruption import gaussian, masking, salt_and_pepper
from skae._core.model import Model
from skae._core.networks import Corruption
from skae._core.walkback import Walkback
from skae._docs import document
from skae._fitted import Array
from skae._validation import StrOptions, check_count, real


@document
@dataclass(eq=False, repr=False)
class DenoisingAutoencoder(BaseAutoencoder):
    r"""Denoising autoencoder: reconstructs rows from corrupted copies of them.

    Minimises

    .. math::

        \frac{\sum_i \mathbb{E}_{\tilde x_i \sim C(x_i)} \| x_i - g(f(\tilde x_i)) \|^2}
             {\sum_i \| x_i - \bar x \|^2}

    with a fresh corruption :math:`C` in every step [1]_. To undo noise, the network must learn how
    features hang together, so codes may be wider than the data. With Gaussian noise of a small
    standard deviation :math:`\sigma`, :math:`(g(f(x)) - x) / \sigma^2` estimates the score
    :math:`\nabla \log p(x)` [2]_.

    Rows that judge the training are corrupted too, always in the same way. X may have missing
    entries (NaN), here and in every method: the network takes them for the feature's mean, and
    losses, errors and scores leave them out.

    Parameters
    ----------
    {parameters}

    noise : {"masking", "gaussian", "salt_and_pepper"}, default="masking"
        "masking" sets entries to the feature's mean over the training data, "salt_and_pepper" to
        its smallest or largest value, "gaussian" adds normal noise.

    noise_level : float, default=0.25
        Share of corrupted entries, in [0, 1), or for "gaussian" the standard deviation in the
        units of X. 0 gives `Autoencoder` with the same other parameters.

    Attributes
    ----------
    {attributes}

    References
    ----------
    .. [1] Vincent, P., Larochelle, H., Bengio, Y., & Manzagol, P.-A. (2008). Extracting and
       composing robust features with denoising autoencoders. ICML.
    .. [2] Alain, G., & Bengio, Y. (2013). What regularized auto-encoders learn from the data
       generating distribution. ICLR.
    .. [3] Bengio, Y., Yao, L., Alain, G., & Vincent, P. (2013). Generalized denoising auto-encoders
       as generative models. NeurIPS.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.datasets import load_digits
    >>> from skae import DenoisingAutoencoder
    >>> X = load_digits().data
    >>> holes = np.where(np.random.default_rng(0).random(X.shape) < 0.3, np.nan, X)
    >>> autoencoder = DenoisingAutoencoder(16, random_state=0).fit(holes)
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
        "noise_level": [real(0)],
    }
    _allows_missing: ClassVar[bool] = True

    # -- training --------------------------------------------------------------------------------

    def _check_values(self, X: Array) -> None:
        super()._check_values(X)
        if self.noise != "gaussian" and self.noise_level >= 1:
            raise ValueError(
                f"noise_level={self.noise_level!r} is the share of corrupted entries under "
                f"noise={self.noise!r}, so it must be below 1. Lower it, or use noise='gaussian', "
                "whose level is a standard deviation in the units of X."
            )

    def _corruption(self, model: Model, z: Tensor) -> Corruption | None:
        if self.noise_level == 0:
            return None
        if self.noise == "gaussian":
            return partial(gaussian, standard_deviation=self.noise_level / model.scale)
        if self.noise == "masking":
            return partial(masking, share=self.noise_level)
        low, high = z.nan_to_num(nan=torch.inf).amin(0), z.nan_to_num(nan=-torch.inf).amax(0)
        # A part of the data may have a feature without any value; its mean is 0 here.
        low, high = (part.nan_to_num(posinf=0.0, neginf=0.0) for part in (low, high))
        # On the CPU: a fitted model keeps them, and opens where there is no other device.
        return partial(salt_and_pepper, share=self.noise_level, low=low.cpu(), high=high.cpu())

    def _held_out_losses(self, model: Model, z: Tensor) -> Tensor:
        network = model.network
        if network.corruption is None:
            return super()._held_out_losses(model, z)
        same_noise = torch.Generator(z.device).manual_seed(0)
        network.eval()
        losses = model.row_losses(network(network.corruption(network.filled(z), same_noise)), z)
        network.train()
        return losses

    def _further_attributes(self, model: Model, data: Tensor) -> dict[str, Any]:
        corruption = self._corruption(model, data)
        walkback = None
        if corruption is not None:
            walkback = Walkback.of(model, data, corruption, knows_corrupted=self.noise == "masking")
        deviation = self.noise_level if self.noise == "gaussian" else 0.0
        return {"_walkback": walkback, "_noise_deviation": deviation}

    # -- what a trained denoiser is for ----------------------------------------------------------

    def denoise(self, X: ArrayLike) -> Array:
        """Return the clean rows that X is most likely a corruption of: `reconstruct`.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)

        Returns
        -------
        X_clean : ndarray of shape (n_samples, n_features)
        """
        return self.reconstruct(X)

    def impute(self, X: ArrayLike) -> Array:
        """Fill the missing entries (NaN) of X, and leave all others as they are.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)

        Returns
        -------
        X_filled : ndarray of shape (n_samples, n_features)
        """
        rows = self._validate_rows(X)
        missing = np.isnan(rows)
        filled = rows.copy()
        incomplete = missing.any(axis=1)
        if incomplete.any():
            filled[missing] = self._reconstruct(rows[incomplete])[missing[incomplete]]
        return filled

    def score_function(self, X: ArrayLike) -> Array:
        r"""Estimate :math:`\nabla \log p(x)`, the direction in which the data becomes denser.

        It is ``(reconstruct(x) - x) / noise_level**2``, and tends to the score as `noise_level`
        tends to 0; in general it is the score of the data blurred by the noise.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)

        Returns
        -------
        score : ndarray of shape (n_samples, n_features)
            In 1 / units of X.

        Raises
        ------
        ValueError
            If the noise is not "gaussian", or of level 0.
        """
        rows = self._validate_rows(X)
        if self._noise_deviation == 0:
            raise ValueError(
                "score_function needs a model trained with noise='gaussian' and noise_level > 0, "
                "and this one was not. Set both and fit again."
            )
        # Not by the square, which may vanish.
        return (self._reconstruct(rows) - rows) / self._noise_deviation / self._noise_deviation

    def sample(
        self,
        n_samples: int = 1,
        *,
        n_steps: int = 100,
        return_mean: bool = False,
        random_state: int | np.random.RandomState | None = None,
    ) -> Array:
        """Draw rows by walking back and forth between data and corrupted data [3]_.

        A step corrupts the rows and draws clean ones about their reconstruction: normal, with the
        deviations of the training data's own residuals; with ``loss="log_loss"`` Bernoulli, with
        "poisson" Poisson, with "multinomial" Poisson with the mean total of a row. Under "masking"
        only the corrupted entries are drawn anew; this takes for granted that the network can tell
        them, as it can in many columns, and not in two. The chain starts at the mean of the
        training data. Its stationary distribution is that of the data as far as residuals are
        independent and alike from row to row: a small `noise_level` makes them more so, and the
        chain slower.

        Parameters
        ----------
        n_samples : int, default=1
            Number of chains; each gives one row.
        n_steps : int, default=100
            Steps of each chain. Chains cross from mode to mode slowly where the noise is small.
        return_mean : bool, default=False
            Return the last reconstruction and not a draw about it.
        random_state : int, RandomState instance or None, default=None

        Returns
        -------
        X : ndarray of shape (n_samples, n_features_in_)

        Raises
        ------
        ValueError
            If the model was trained without noise, or the chain runs away, as that of an
            exponential output (``loss="poisson"``) may.
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

"""The density model of a variational autoencoder: log-likelihood, samples, interpolation."""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import ArrayLike
from sklearn.utils import check_array, check_random_state
from sklearn.utils.validation import check_is_fitted

from skae.core.elbo import bounds, nats_per_unit
from skae.core.model import Model
from skae.core.networks.variational import VariationalNetwork
from skae.core.numerics import threads_for, torch_defaults
from skae.fitting.data import torch_dtype
from skae.inference.transformer import DTYPES, AutoencoderTransformer, as_tensor
from skae.utils.arrays import plain_array
from skae.utils.csr import Array, dense_parts, values_of
from skae.utils.validation import check_count, check_probabilities

# Arguments of `check_probabilities` for a Bernoulli likelihood.
BINARY_X = (
    "likelihood='bernoulli'",
    "Binarise X, scale it with MinMaxScaler(clip=True), or use likelihood='gaussian'.",
)


class LatentDensity(AutoencoderTransformer):
    """The density ``p(x) = E[p(x|z)]``, with codes z from the prior N(0, I)."""

    # Noise variance of a normal likelihood, in training units; None for Bernoulli.
    _noise: float | None

    # -- the code --------------------------------------------------------------------------------

    def _has_known_codes(self) -> bool:
        return True  # they are drawn from the prior

    def _code_variances(self, noise_variance: float) -> Array:
        return np.ones(self.n_components_)

    def transform(self, X: ArrayLike) -> Array:
        """Encode X: the mean of each row's posterior.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)

        Returns
        -------
        code : ndarray of shape (n_samples, n_components_)
            In the dtype of X, in units of the prior's standard deviation. Columns are not sorted
            and only approximately uncorrelated.
        """
        return self._encode(self._validate_rows(X))

    @torch_defaults()
    def encode_distribution(self, X: ArrayLike) -> tuple[Array, Array]:
        """Compute the posterior of the code of each row, a normal distribution.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)

        Returns
        -------
        mean : ndarray of shape (n_samples, n_components_)
            Posterior mean, as returned by `transform`.
        deviation : ndarray of shape (n_samples, n_components_)
            Posterior standard deviation. That of the prior is 1.
        """
        rows, model = self._validate_rows(X), self._model
        network = _network_in(model, torch_dtype(rows))
        parts = []
        with torch.no_grad():
            for part in dense_parts(rows, model.chunk_size):
                with threads_for(network.cost * len(part), part.itemsize):
                    mean, log_variance = network.posterior(model.standardise(as_tensor(part)))
                    parts.append((mean.cpu(), (0.5 * log_variance).exp().cpu()))
        means, deviations = (torch.cat(tensors).numpy() for tensors in zip(*parts, strict=True))
        return means, deviations

    # -- the density -----------------------------------------------------------------------------

    def score_samples(
        self,
        X: ArrayLike,
        *,
        n_importance: int = 100,
        random_state: int | np.random.RandomState | None = 0,
    ) -> Array:
        r"""Estimate the log-likelihood of each row by importance sampling [1]_.

        The estimate is :math:`\log \frac{1}{K} \sum_{k=1}^K p(x, z_k) / q(z_k|x)` with codes
        :math:`z_k` drawn from the posterior :math:`q(z|x)`. Its expectation is a lower bound that
        rises to the log-likelihood as K grows. The K that is needed depends on the posterior: if it
        is too narrow, as after training with a small `beta`, the estimate is too low.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
        n_importance : int, default=100
            Number of codes K drawn for each row. The time is that of decoding K rows per row of X.
            If PCA was kept, 1 is enough.
        random_state : int, RandomState instance or None, default=0
            Seed of the normal draws. All rows use the same draws, so the value of a row does not
            depend on the other rows. An int gives the same values in each call.

        Returns
        -------
        log_likelihood : ndarray of shape (n_samples,)
            In nats. With ``likelihood="gaussian"``, the log of a density in the units of X.

        References
        ----------
        .. [1] Burda, Y., Grosse, R., & Salakhutdinov, R. (2016). Importance weighted autoencoders.
           ICLR.
        """
        return self._bounds(X, n_importance, random_state)[1]

    def elbo(
        self,
        X: ArrayLike,
        *,
        n_importance: int = 100,
        random_state: int | np.random.RandomState | None = 0,
    ) -> Array:
        """Estimate the evidence lower bound of each row.

        It is the mean of the log importance weights, while `score_samples` is the log of their
        mean. With the same `n_importance` and `random_state`, it is never above `score_samples`.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
        n_importance : int, default=100
            Number of codes drawn for each row.
        random_state : int, RandomState instance or None, default=0
            As in `score_samples`.

        Returns
        -------
        bound : ndarray of shape (n_samples,)
            In nats, with ``beta=1`` regardless of the `beta` in training.
        """
        return self._bounds(X, n_importance, random_state)[0]

    def score(self, X: ArrayLike, y: object = None) -> float:
        """Compute the mean log-likelihood of the rows (`score_samples`), as `PCA.score` does.

        The R2 that other autoencoders use as score would always select the smallest `beta` in a
        grid search.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
        y : Ignored

        Returns
        -------
        score : float
            In nats.
        """
        return float(self.score_samples(X).mean(dtype=np.float64))

    @torch_defaults()
    def _bounds(
        self, X: ArrayLike, n_importance: int, random_state: int | np.random.RandomState | None
    ) -> tuple[Array, Array]:
        rows, model = self._validate_rows(X), self._model
        dtype = torch_dtype(rows)
        if self._noise is None:
            check_probabilities(values_of(rows), *BINARY_X)
        check_count("n_importance", n_importance)
        seed = int(check_random_state(random_state).randint(2**31 - 1))
        generator = torch.Generator().manual_seed(seed)
        # Drawn in float64, so that float32 and float64 rows are scored with the same draws.
        noise = torch.empty(n_importance, self.n_components_, dtype=torch.float64)
        noise = noise.normal_(generator=generator).to(dtype).to(model.device)
        variance = None if self._noise is None else noise.new_full((1,), self._noise)
        parts, network = [], _network_in(model, dtype)
        for part in dense_parts(rows, model.chunk_size):
            with threads_for(network.cost * len(part) * n_importance, part.itemsize):
                z = model.standardise(as_tensor(part))
                parts.append(bounds(model, network, z, noise, variance))
        lower, weighted = (torch.cat(tensors).cpu() for tensors in zip(*parts, strict=True))
        unit = nats_per_unit(model)
        # If all weights are equal, rounding may put the lower bound above the weighted one.
        lower = torch.minimum(lower, weighted)
        return lower.sub_(unit).numpy(), weighted.sub_(unit).numpy()

    # -- generation ------------------------------------------------------------------------------

    def sample(
        self,
        n_samples: int = 1,
        *,
        return_mean: bool = False,
        random_state: int | np.random.RandomState | None = None,
    ) -> Array:
        """Draw rows: a code from the prior, then a row from the likelihood.

        Parameters
        ----------
        n_samples : int, default=1
        return_mean : bool, default=False
            Return the means of the likelihood, which are free of noise, instead of draws.
        random_state : int, RandomState instance or None, default=None

        Returns
        -------
        X : ndarray of shape (n_samples, n_features_in_)
            float64.
        """
        check_is_fitted(self)
        check_count("n_samples", n_samples)
        random = check_random_state(random_state)
        mean = self._decode(random.standard_normal((n_samples, self.n_components_)))
        if return_mean:
            return mean
        if self._noise is None:
            return (random.random_sample(mean.shape) < mean).astype(mean.dtype)
        deviation = math.sqrt(self._noise) * self._model.scale
        return mean + deviation * random.standard_normal(mean.shape)

    def interpolate(
        self, a: ArrayLike, b: ArrayLike, steps: int = 10, *, path: str = "linear"
    ) -> Array:
        """Interpolate between two rows in the code, and decode.

        Parameters
        ----------
        a, b : array-like of shape (n_features,)
            First and last row.
        steps : int, default=10
            Number of rows returned, 2 or more. They include the reconstructions of `a` and `b`.
        path : {"linear", "spherical"}, default="linear"
            "linear" is a straight line between the two codes. "spherical" is an arc around the
            origin, whose points are as far from it as the two codes; in many dimensions, most
            draws from the prior are at about the same distance.

        Returns
        -------
        X : ndarray of shape (steps, n_features_in_)
        """
        check_is_fitted(self)
        check_count("steps", steps, lowest=2)
        if path not in ("linear", "spherical"):
            raise ValueError(f"path={path!r} must be 'linear' or 'spherical'.")
        ends = [np.asarray(plain_array(end, name)) for name, end in zip("ab", (a, b), strict=True)]
        for name, end in zip("ab", ends, strict=True):
            if end.shape != (self.n_features_in_,):
                raise ValueError(
                    f"{name} has shape {end.shape}, but it must be one row of "
                    f"{self.n_features_in_} features, such as X[0]."
                )
        start, end = self._encode(check_array(np.stack(ends), dtype=DTYPES))
        share = np.linspace(0, 1, steps, dtype=start.dtype)[:, None]
        if path == "spherical":
            return self._decode(_arc(start, end, share))
        return self._decode((1 - share) * start + share * end)


def _arc(start: Array, end: Array, share: Array) -> Array:
    """Spherical interpolation (Shoemake 1985); the lengths are interpolated linearly."""
    lengths = np.linalg.norm(start), np.linalg.norm(end)
    if min(lengths) == 0:
        return (1 - share) * start + share * end
    a, b = start / lengths[0], end / lengths[1]
    length = (1 - share) * lengths[0] + share * lengths[1]
    angle = np.arccos(np.clip(a @ b, -1.0, 1.0))
    if np.sin(angle) < 1e-6:  # the same or opposite directions, with no unique arc
        return (1 - share) * start + share * end
    return length * (np.sin((1 - share) * angle) * a + np.sin(share * angle) * b) / np.sin(angle)


def _network_in(model: Model, dtype: torch.dtype) -> VariationalNetwork:
    network = model.network_in(dtype)
    assert isinstance(network, VariationalNetwork)
    return network

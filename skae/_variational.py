"""The variational autoencoder."""

from __future__ import annotations

import math
import warnings
from dataclasses import KW_ONLY, dataclass, replace
from numbers import Integral
from typing import Any, ClassVar, Self

import numpy as np
import torch
from numpy.typing import ArrayLike
from sklearn.utils import check_array, check_random_state, check_scalar
from sklearn.utils.validation import check_is_fitted
from torch import Tensor

from skae._base import BaseAutoencoder
from skae._core.canonical import Axes
from skae._core.held_out import Division
from skae._core.model import Model
from skae._core.networks import Architecture, VariationalNetwork
from skae._core.variational import (
    LEAST_NOISE,
    bounds,
    divergence_from_prior,
    draw_code,
    likeliest_noise,
    negative_log_likelihood,
)
from skae._docs import document
from skae._fitted import Array, as_tensor
from skae._validation import StrOptions, computed, real

_LOSSES = {"gaussian": "squared_error", "bernoulli": "log_loss"}
# Variance of the posterior mean over the data, above which a unit of code tells rows apart
# (Burda, Grosse & Salakhutdinov 2016).
_ACTIVE = 0.01
# Draws that measure the noise of the fitted model, each row's counted.
_NOISE_DRAWS = 4096
_ROWS_AT_A_TIME = 4096


@document
@dataclass(eq=False, repr=False)
class VariationalAutoencoder(BaseAutoencoder):
    r"""Variational autoencoder: a density of X, from which rows can be drawn.

    Each row comes from a code with the prior N(0, I), through the decoder and noise. The encoder
    gives a normal distribution of codes for a row, of diagonal covariance. Maximises the evidence
    lower bound on the log-likelihood [1]_,

    .. math::

        \mathbb{E}_{z \sim q(z|x)} [\log p(x|z)] - \beta \, \mathrm{KL}(q(z|x) \| N(0, I)),

    both terms in nats, a mean over rows. The likelihood is normal, with one noise variance that
    maximises it, or Bernoulli.

    With ``shortcut="pca"`` training starts at probabilistic PCA, whose bound is its exact
    log-likelihood (that of `PCA.score`), and stays there unless held-out rows show that training
    raised the bound. No unit that PCA uses is then lost at the start of the training, when the
    divergence would otherwise switch most of them off.

    Parameters
    ----------
    {parameters}

    likelihood : {"gaussian", "bernoulli"}, default="gaussian"
        Distribution of a row given its code. "bernoulli" has a logistic output and needs X in
        [0, 1]; its log-likelihood is one of binary data only, so binarise X before, once or anew
        for each `partial_fit`, if that is what should be modelled.

    beta : float, default=1.0
        Weight of the divergence, above 0. 1 gives the evidence lower bound; more asks for a code
        closer to the prior and to independence of its units [3]_, less for a better
        reconstruction.

    Attributes
    ----------
    {attributes}

    loss_curve_ : list of float, of length n_iter_
        Training loss of each epoch, in nats a row: minus the evidence lower bound, at ``beta=1``.

    validation_scores_ : list of float, of length n_iter_ + 1, or None
        Minus the held-out loss in nats a row at the start and after each epoch. None without
        held-out rows.

    noise_variance_ : float or None
        Variance of the noise of a feature given the code, in squared units of X: the mean squared
        residual over the training rows. At least a millionth of the variance of X. None for
        ``likelihood="bernoulli"``.

    active_units_ : ndarray of int
        Indices of the columns of the code whose posterior mean varies over the training rows, by a
        variance above 0.01 [2]_. The others are noise that the decoder ignores.

    See Also
    --------
    sklearn.decomposition.PCA : The linear case, by `score`, in closed form.

    References
    ----------
    .. [1] Kingma, D. P., & Welling, M. (2014). Auto-encoding variational Bayes. ICLR.
    .. [2] Burda, Y., Grosse, R., & Salakhutdinov, R. (2016). Importance weighted autoencoders.
       ICLR.
    .. [3] Higgins, I., et al. (2017). beta-VAE: learning basic visual concepts with a constrained
       variational framework. ICLR.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from skae import VariationalAutoencoder
    >>> X = load_iris().data
    >>> autoencoder = VariationalAutoencoder(2, random_state=0).fit(X)
    >>> mean, deviation = autoencoder.encode_distribution(X)
    >>> mean.shape
    (150, 2)
    >>> autoencoder.sample(5, random_state=0).shape
    (5, 4)
    """

    _: KW_ONLY
    loss: str = computed(lambda self: _LOSSES[self.likelihood])
    code_activation: str = computed(lambda self: "identity")
    likelihood: str = "gaussian"
    beta: float = 1.0

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        **{
            name: constraint
            for name, constraint in BaseAutoencoder._parameter_constraints.items()
            if name not in ("loss", "code_activation")
        },
        "likelihood": [StrOptions(set(_LOSSES))],
        "beta": [real(0, closed="neither")],
    }

    # -- training --------------------------------------------------------------------------------

    def _is_plain(self) -> bool:
        return False

    def _axes(self) -> Axes:
        return Axes.AS_TRAINED

    def _architecture(self, n_features: int, n_components: int) -> Architecture:
        return replace(super()._architecture(n_features, n_components), variational=True)

    def _check_values(self, X: Array) -> None:
        if self.likelihood == "bernoulli" and (X.min() < 0 or X.max() > 1):
            raise ValueError(
                "likelihood='bernoulli' needs X in [0, 1], but X has values from "
                f"{X.min():g} to {X.max():g}. Binarise X, scale it with MinMaxScaler, or use "
                "likelihood='gaussian'."
            )

    def _new_model(
        self, X: Array, division: Division, generator: torch.Generator
    ) -> tuple[Model, float]:
        model, left_over = super()._new_model(X, division, generator)
        network = _variational(model)
        if self.likelihood == "bernoulli":
            network.noise_variance = None
        elif network.noise_variance is None:
            n_models = division.n_models
            network.noise_variance = torch.ones((1,) if n_models is None else (n_models, 1))
        return model, left_over

    def _terms(self, model: Model, z: Tensor) -> dict[str, Tensor]:
        network = _variational(model)
        mean, log_variance = network.posterior(z)
        code = draw_code(mean, log_variance, network.generator)
        errors = model.entry_losses(network.decode(code), z)
        noise_variance = None
        if network.noise_variance is not None:
            noise_variance = likeliest_noise(errors)
            network.track_noise(noise_variance)
        nats = negative_log_likelihood(errors, noise_variance).mean() + self._unit(model)
        divergence = divergence_from_prior(mean, log_variance).mean()
        return {"reconstruction": nats, "divergence": self.beta * divergence}

    def _held_out_losses(self, model: Model, z: Tensor) -> Tensor:
        network = _variational(model).eval()
        losses = self._row_losses(model, network, z)
        network.train()
        return losses

    def _loss_of_start(self, model: Model, data: Tensor, r2: float) -> float:
        network = _variational(model, data.dtype)
        with torch.no_grad():
            chunks = data.split(_ROWS_AT_A_TIME)
            return float(torch.cat([self._row_losses(model, network, z) for z in chunks]).mean())

    def _row_losses(self, model: Model, network: VariationalNetwork, z: Tensor) -> Tensor:
        """Loss of each row at one draw of its code, the same draw in each call."""
        mean, log_variance = network.posterior(z)
        generator = torch.Generator(z.device).manual_seed(0)
        errors = model.entry_losses(network.decode(draw_code(mean, log_variance, generator)), z)
        nats = negative_log_likelihood(errors, network.noise_variance) + self._unit(model)
        return nats + self.beta * divergence_from_prior(mean, log_variance)

    def _unit(self, model: Model) -> float:
        """Nats a row that the change from training units to the units of X costs."""
        return len(model.mean) * math.log(model.scale) if self.likelihood == "gaussian" else 0.0

    def _as_score(self, loss: float) -> float:
        return -loss

    @torch.no_grad()
    def _further_attributes(self, model: Model, data: Tensor) -> dict[str, Any]:
        means = torch.cat(list(model.encoded_chunks(data)))
        variances = means.double().var(0, correction=0).numpy()
        noise_variance = None
        if self.likelihood == "gaussian":
            relative = self._noise(model, data)
            _variational(model).noise_variance = data.new_full((1,), relative)
            noise_variance = relative * model.scale**2
        return {
            "active_units_": np.flatnonzero(variances > _ACTIVE),
            "noise_variance_": noise_variance,
        }

    def _noise(self, model: Model, z: Tensor) -> float:
        """Mean squared residual of the rows z, at codes drawn from their posteriors."""
        network = _variational(model, z.dtype)
        generator = torch.Generator(z.device).manual_seed(0)
        n_draws, total = math.ceil(_NOISE_DRAWS / len(z)), 0.0
        for chunk in z.split(_ROWS_AT_A_TIME):
            mean, log_variance = network.posterior(chunk)
            for _ in range(n_draws):
                residual = network.decode(draw_code(mean, log_variance, generator)) - chunk
                total += float(residual.square().mean(-1).sum())
        return max(total / (n_draws * len(z)), LEAST_NOISE)

    def _fit(self, X: ArrayLike, y: object) -> Self:
        super()._fit(X, y)
        if len(self.active_units_) == 0:
            warnings.warn(
                "No unit of the code tells rows apart: the posterior is the prior for every row "
                "(posterior collapse), and transform returns next to nothing. Lower beta (now "
                f"{self.beta:g}), train for longer (max_iter, now {self.max_iter}), or begin at "
                "PCA (shortcut='pca').",
                stacklevel=4,
            )
        return self

    # -- the code --------------------------------------------------------------------------------

    def encode_distribution(self, X: ArrayLike) -> tuple[Array, Array]:
        """Distribution of the code of each row.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)

        Returns
        -------
        mean : ndarray of shape (n_samples, n_components_)
            What `transform` returns.
        deviation : ndarray of shape (n_samples, n_components_)
            Standard deviation. The prior's is 1.
        """
        rows, model = as_tensor(self._validate_rows(X)), self._model
        network = _variational(model, rows.dtype)
        parts = []
        with torch.no_grad():
            for chunk in rows.split(_ROWS_AT_A_TIME):
                mean, log_variance = network.posterior(model.standardised(chunk))
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
        r"""Log-likelihood of each row, estimated by importance sampling [2]_.

        It is :math:`\log \frac{1}{K} \sum_{k=1}^K p(x, z_k) / q(z_k|x)` with codes :math:`z_k`
        from the posterior :math:`q(z|x)`: in expectation a lower bound, which rises to the
        log-likelihood with K.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
        n_importance : int, default=100
            Number of codes K drawn for each row.
        random_state : int, RandomState instance or None, default=0
            The same normal draws serve every row, so a row's value does not depend on the others,
            and an int gives the same values in each call.

        Returns
        -------
        log_likelihood : ndarray of shape (n_samples,)
            In nats; a density in the units of X for ``likelihood="gaussian"``.
        """
        return self._bounds(X, n_importance, random_state)[1]

    def elbo(
        self,
        X: ArrayLike,
        *,
        n_importance: int = 100,
        random_state: int | np.random.RandomState | None = 0,
    ) -> Array:
        """Evidence lower bound of each row.

        It is the mean of the logarithms of which `score_samples` is the logarithm of the mean:
        never above that, with the same `n_importance` and `random_state`.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
        n_importance : int, default=100
            Number of codes drawn for each row.
        random_state : int, RandomState instance or None, default=0
            As in `score_samples`.

        Returns
        -------
        bound : ndarray of shape (n_samples,)
            In nats, at ``beta=1`` whatever the training's was.
        """
        return self._bounds(X, n_importance, random_state)[0]

    def score(self, X: ArrayLike, y: object = None) -> float:
        """Mean of `score_samples`, the log-likelihood of a row, as in `PCA.score`.

        Other autoencoders score the share of variance explained; a grid search by that would
        always choose the smallest `beta`.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
        y : Ignored

        Returns
        -------
        score : float
            In nats.
        """
        return float(self.score_samples(X).mean(dtype=np.float64))

    def _bounds(
        self, X: ArrayLike, n_importance: int, random_state: int | np.random.RandomState | None
    ) -> tuple[Array, Array]:
        rows, model = as_tensor(self._validate_rows(X)), self._model
        if self.likelihood == "bernoulli":
            self._check_values(rows.numpy())
        check_scalar(n_importance, "n_importance", Integral, min_val=1)
        seed = int(check_random_state(random_state).randint(2**31 - 1))
        generator = torch.Generator().manual_seed(seed)
        # In one precision: float32 and float64 rows are scored by the same draws.
        noise = torch.empty(n_importance, self.n_components_, dtype=torch.float64)
        noise = noise.normal_(generator=generator).to(rows.dtype).to(model.device)
        variance = self.noise_variance_
        if variance is not None:
            variance = noise.new_full((1,), variance / model.scale**2)
        parts = []
        for chunk in rows.split(_ROWS_AT_A_TIME):
            z = model.standardised(chunk)
            parts.append(bounds(model, _variational(model, rows.dtype), z, noise, variance))
        lower, weighted = (torch.cat(tensors).cpu() for tensors in zip(*parts, strict=True))
        unit = self._unit(model)
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
            Return the means of the likelihood and not draws from it: rows without noise.
        random_state : int, RandomState instance or None, default=None

        Returns
        -------
        X : ndarray of shape (n_samples, n_features_in_)
            float64.
        """
        check_is_fitted(self)
        check_scalar(n_samples, "n_samples", Integral, min_val=1)
        random = check_random_state(random_state)
        mean = self._decode(random.standard_normal((n_samples, self.n_components_)))
        if return_mean:
            return mean
        if self.noise_variance_ is None:
            return (random.random_sample(mean.shape) < mean).astype(mean.dtype)
        return mean + math.sqrt(self.noise_variance_) * random.standard_normal(mean.shape)

    def interpolate(
        self, a: ArrayLike, b: ArrayLike, steps: int = 10, *, path: str = "linear"
    ) -> Array:
        """Rows on the way from one row to another, through the code.

        Parameters
        ----------
        a, b : array-like of shape (n_features,)
            The ends.
        steps : int, default=10
            Number of rows, the reconstructions of both ends included: 2 or more.
        path : {"linear", "spherical"}, default="linear"
            A straight line between the codes, or an arc about the origin, whose points are as far
            from it as the ends, as most draws of a prior of many dimensions are.

        Returns
        -------
        X : ndarray of shape (steps, n_features_in_)
        """
        check_is_fitted(self)
        check_scalar(steps, "steps", Integral, min_val=2)
        if path not in ("linear", "spherical"):
            raise ValueError(f"path={path!r} must be 'linear' or 'spherical'.")
        ends = [np.asarray(end) for end in (a, b)]
        for name, end in zip("ab", ends, strict=True):
            if end.shape != (self.n_features_in_,):
                raise ValueError(
                    f"{name} has shape {end.shape}, but it must be one row of "
                    f"{self.n_features_in_} features, such as X[0]."
                )
        start, end = self._encode(check_array(np.stack(ends), dtype=[np.float64, np.float32]))
        share = np.linspace(0, 1, steps, dtype=start.dtype)[:, None]
        if path == "spherical":
            return self._decode(_arc(start, end, share))
        return self._decode((1 - share) * start + share * end)


def _arc(start: Array, end: Array, share: Array) -> Array:
    """Spherical interpolation (Shoemake 1985), with lengths in between where they differ."""
    lengths = np.linalg.norm(start), np.linalg.norm(end)
    if min(lengths) == 0:
        return (1 - share) * start + share * end
    a, b = start / lengths[0], end / lengths[1]
    length = (1 - share) * lengths[0] + share * lengths[1]
    angle = np.arccos(np.clip(a @ b, -1.0, 1.0))
    if np.sin(angle) < 1e-6:  # one direction, or opposite ones with no arc of their own
        return (1 - share) * start + share * end
    return length * (np.sin((1 - share) * angle) * a + np.sin(share * angle) * b) / np.sin(angle)


def _variational(model: Model, dtype: torch.dtype | None = None) -> VariationalNetwork:
    network = model.network if dtype is None else model.network_in(dtype)
    assert isinstance(network, VariationalNetwork)
    return network

"""The variational autoencoder."""

from __future__ import annotations

import math
from dataclasses import KW_ONLY, dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import ArrayLike
from sklearn.utils import check_array, check_random_state
from sklearn.utils.validation import check_is_fitted
from torch import Tensor

from skae._base import BaseAutoencoder
from skae._core.canonical import Axes
from skae._core.held_out import Division, Judge
from skae._core.model import Model
from skae._core.networks import (
    Architecture,
    Network,
    VariationalArchitecture,
    VariationalNetwork,
)
from skae._core.numerics import defaults_of_torch
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
from skae._validation import StrOptions, check_count, check_probabilities, computed, real, without

_LOSSES = {"gaussian": "squared_error", "bernoulli": "log_loss"}
# Variance of the posterior mean over the data, above which a unit of code tells rows apart
# (Burda, Grosse & Salakhutdinov 2016).
_ACTIVE = 0.01
# As this many rows counts the noise before, so that a part of one row does not decide on it.
_ROWS_OF_NOISE_BEFORE = 10
_BINARY = (
    "likelihood='bernoulli'",
    "Binarise X, scale it with MinMaxScaler(clip=True), or use likelihood='gaussian'.",
)


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

    With ``shortcut="pca"`` training starts at probabilistic PCA, whose bound under the normal
    likelihood is its exact log-likelihood (that of `PCA.score`, as long as PCA leaves a millionth
    of the variance), and stays there unless held-out rows show that training raised the bound. No
    unit that PCA uses is then lost at the start of the training, when the divergence would
    otherwise switch most of them off.

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
        Training loss of each epoch, in nats a row. With ``beta=1``, minus the lower bound.

    validation_scores_ : list of float, of length n_iter_ + 1, or None
        Minus the held-out loss in nats a row at the start and after each epoch. None without
        held-out rows.

    best_loss_ : float
        Loss of the state that was kept, in nats a row: held-out if there were held-out rows, else
        training.

    components_ : ndarray of shape (n_components_, n_features)
        How a reconstruction changes with each column of the code, at the mean code: the decoder's
        Jacobian, in the units of X for a step of one standard deviation of the prior.

    explained_variance_ratio_ : ndarray of shape (n_components_,)
        Share of the training variance that the reconstruction from the posterior mean explains
        (R2), divided among the columns by the variance that each carries through the decoder.

    noise_variance_ : float or None
        Variance of the noise of a feature given the code, in squared units of X: that of
        probabilistic PCA where it stays, else the mean squared residual of held-out rows, or of
        training rows where none were held out; after `partial_fit` of the last part, with the noise
        before counted as ten more rows. At least a millionth of the variance of X. None for
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
        **without(BaseAutoencoder._parameter_constraints, "loss", "code_activation"),
        "likelihood": [StrOptions(set(_LOSSES))],
        "beta": [real(0, closed="neither")],
    }

    _kind: ClassVar[type[Architecture]] = VariationalArchitecture

    # -- training --------------------------------------------------------------------------------

    def _is_plain(self) -> bool:
        return False

    def _axes(self) -> Axes:
        return Axes.AS_TRAINED

    def _check_values(self, X: Array) -> None:
        if self.likelihood == "bernoulli":
            check_probabilities(X, *_BINARY)

    def _new_model(
        self, X: Array, division: Division, generator: torch.Generator
    ) -> tuple[Model, float]:
        model, left_over = super()._new_model(X, division, generator)
        network = _variational(model)
        if self.likelihood == "bernoulli":
            network.noise_variance = None
        elif network.noise_variance is None:
            n_models = division.n_models
            shape = (1,) if n_models is None else (n_models, 1)
            network.noise_variance = torch.ones(shape, dtype=torch.float32)
        return model, left_over

    def _terms(self, model: Model, z: Tensor) -> dict[str, Tensor]:
        network = _variational(model)
        mean, log_variance = network.posterior(z)
        code = draw_code(mean, log_variance, network.generator)
        errors = model.entry_losses(network.decode(code), z)
        noise_variance = None if network.noise_variance is None else likeliest_noise(errors)
        nats = negative_log_likelihood(errors.sum(-1), errors.shape[-1], noise_variance)
        divergence = divergence_from_prior(mean, log_variance).mean()
        return {"reconstruction": nats.mean() + _unit(model), "divergence": self.beta * divergence}

    def _held_out_losses(self, model: Model, z: Tensor) -> Tensor:
        network = _variational(model).eval()
        errors, divergence = self._error_sums(model, network, z)
        network.train()
        return torch.stack([errors, divergence])

    def _concluded_losses(self, model: Model, measured: Tensor, counted: Tensor) -> Tensor:
        errors, divergence = measured
        network = _variational(model)
        if network.noise_variance is not None:
            # In training rows the noise is smaller than in fresh ones.
            n_entries = counted.sum(-1, keepdim=True).clamp_min(1) * len(model.mean)
            noise = torch.where(counted, errors, 0.0).sum(-1, keepdim=True) / n_entries
            network.noise_variance = noise.clamp_min(LEAST_NOISE)
        return self._row_losses(model, network, errors, divergence)

    @torch.no_grad()
    def _loss_of_start(self, model: Model, data: Tensor, r2: float) -> float:
        network = _variational(model, data.dtype)
        errors, divergence = self._error_sums_of_all(model, network, data)
        return float(self._row_losses(model, network, errors, divergence).mean())

    def _error_sums_of_all(
        self, model: Model, network: VariationalNetwork, data: Tensor
    ) -> tuple[Tensor, Tensor]:
        parts = [
            self._error_sums(model, network, z.to(model.device))
            for z in data.split(model.rows_at_a_time)
        ]
        errors, divergence = (torch.cat(tensors) for tensors in zip(*parts, strict=True))
        return errors, divergence

    def _error_sums(
        self, model: Model, network: VariationalNetwork, z: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Error of each row at one draw of its code, the same in each call; its divergence."""
        mean, log_variance = network.posterior(z)
        generator = torch.Generator(z.device).manual_seed(0)
        errors = model.entry_losses(network.decode(draw_code(mean, log_variance, generator)), z)
        return errors.sum(-1), divergence_from_prior(mean, log_variance)

    def _row_losses(
        self, model: Model, network: VariationalNetwork, errors: Tensor, divergence: Tensor
    ) -> Tensor:
        n_features = len(model.mean)
        nats = negative_log_likelihood(errors, n_features, network.noise_variance) + _unit(model)
        return nats + self.beta * divergence

    def _settle(self, judge: Judge) -> None:
        judge()  # leaves the noise of the held-out rows under the parameters that were kept

    @torch.no_grad()
    def _settle_unjudged(self, model: Model, data: Tensor, *, is_part: bool) -> None:
        network = _variational(model).eval()
        before = network.noise_variance
        if before is None:
            return
        errors, _ = self._error_sums_of_all(model, network, data)
        noise = errors.mean(0, keepdim=True) / len(model.mean)
        share = len(data) / (len(data) + _ROWS_OF_NOISE_BEFORE) if is_part else 1.0
        network.noise_variance = before.lerp(noise.clamp_min(LEAST_NOISE), share)

    def _default_learning_rate(self, network: Network) -> float:
        assert isinstance(network, VariationalNetwork)
        if self.solver != "sgd":
            return super()._default_learning_rate(network)
        # A loss in nats a row is the steeper the more columns there are.
        return min(0.02, 1.0 / network.decoder.layers[-1].bias.shape[-1])

    def _loss_unit(self, network: Network) -> float | None:
        # A change of a hundredth in the squared error changes the loss by this, over a hundred.
        assert isinstance(network, VariationalNetwork)
        n_features = network.decoder.layers[-1].bias.shape[-1]
        return None if network.noise_variance is None else 0.5 * n_features

    def _as_score(self, loss: float) -> float:
        return -loss

    @torch.no_grad()
    def _further_attributes(self, model: Model, data: Tensor) -> dict[str, Any]:
        means = torch.cat(list(model.encoded_chunks(data)))
        active = np.flatnonzero(means.double().var(0, correction=0).numpy() > _ACTIVE)
        network = _variational(model)
        noise = network.noise_variance
        if noise is None:
            return {"active_units_": active, "noise_variance_": None, "_noise": None}
        if len(noise) > 1:
            # Of models side by side, the last is the one kept, which held-out rows do not judge.
            noise = noise[:-1].mean(0)
        network.noise_variance = noise.float()
        relative = max(float(noise), LEAST_NOISE)
        with np.errstate(over="ignore", under="ignore"):
            variance = float(relative * np.square(np.float64(model.scale)))
        return {"active_units_": active, "noise_variance_": variance, "_noise": relative}

    def _of_silent_code(self) -> str | None:
        if len(self.active_units_) > 0:
            return None
        remedies = [f"Lower beta (now {self.beta:g})"]
        if self.shortcut is None:
            remedies += [f"train for longer (max_iter, now {self.max_iter})"]
            remedies += ["begin at PCA (shortcut='pca')"]
        return (
            "No unit of the code tells rows apart: the posterior is the prior for every row "
            "(posterior collapse), and transform returns next to nothing. "
            f"{', or '.join(remedies)}."
        )

    # -- the code --------------------------------------------------------------------------------

    def transform(self, X: ArrayLike) -> Array:
        """Encode X: the mean of each row's posterior.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)

        Returns
        -------
        code : ndarray of shape (n_samples, n_components_)
            In the dtype of X. The unit is the standard deviation of the prior; columns are as
            training left them, not sorted and not quite uncorrelated.
        """
        return self._encode(self._validate_rows(X))

    @defaults_of_torch()
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
            for chunk in rows.split(model.rows_at_a_time):
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
        log-likelihood with K. How many draws that takes depends on the posterior: one that is too
        narrow, as training with a small `beta` leaves it, makes the estimate too low.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
        n_importance : int, default=100
            Number of codes K drawn for each row. Time is that of decoding K rows for each; where
            PCA was kept, 1 is as good.
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

    @defaults_of_torch()
    def _bounds(
        self, X: ArrayLike, n_importance: int, random_state: int | np.random.RandomState | None
    ) -> tuple[Array, Array]:
        rows, model = as_tensor(self._validate_rows(X)), self._model
        if self._noise is None:
            check_probabilities(rows.numpy(), *_BINARY)
        check_count("n_importance", n_importance)
        seed = int(check_random_state(random_state).randint(2**31 - 1))
        generator = torch.Generator().manual_seed(seed)
        # In one precision: float32 and float64 rows are scored by the same draws.
        noise = torch.empty(n_importance, self.n_components_, dtype=torch.float64)
        noise = noise.normal_(generator=generator).to(rows.dtype).to(model.device)
        variance = None if self._noise is None else noise.new_full((1,), self._noise)
        parts = []
        for chunk in rows.split(model.rows_at_a_time):
            z = model.standardised(chunk)
            parts.append(bounds(model, _variational(model, rows.dtype), z, noise, variance))
        lower, weighted = (torch.cat(tensors).cpu() for tensors in zip(*parts, strict=True))
        unit = _unit(model)
        # Where all draws weigh the same, rounding may put the bound above what it bounds.
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
            Return the means of the likelihood and not draws from it: rows without noise.
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
        check_count("steps", steps, lowest=2)
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


def _unit(model: Model) -> float:
    """Nats a row that the change from training units to the units of X costs."""
    return len(model.mean) * math.log(model.scale) if model.loss.link is None else 0.0


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

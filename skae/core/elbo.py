"""The evidence lower bound (ELBO), in nats.

The code has the prior N(0, I). Under a normal likelihood, which has one noise variance for all
features, the error of an entry is its squared error. Under a Bernoulli likelihood, it is the
negative log-probability, and the noise variance is None.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from skae.core.autograd import Terms
from skae.core.criterion import Criterion
from skae.core.model import Model
from skae.core.networks.variational import MIN_NOISE_VARIANCE, VariationalNetwork

_MAX_ENTRIES = 2**21  # in a layer's output, over all draws
# The previous noise variance counts as this many rows, so that a `partial_fit` on a single row does
# not replace it.
_PREVIOUS_ROWS = 10
# The noise variance of probabilistic PCA is kept if it lies within this many standard errors of the
# mean squared residual of held-out rows. In 45 skewed rows, one can move that mean by a factor of
# three, and a noise variance so far off puts a better network below probabilistic PCA.
_STANDARD_ERRORS = 3.0


def divergence_from_prior(mean: Tensor, log_variance: Tensor) -> Tensor:
    """Return KL(N(mean, exp(log_variance)) || N(0, I)) of each row, a sum over the last axis."""
    return 0.5 * (mean.square() + log_variance.exp() - log_variance - 1.0).sum(-1)


def draw_codes(mean: Tensor, log_variance: Tensor, generator: torch.Generator | None) -> Tensor:
    """Draw from N(mean, exp(log_variance)) with the reparameterisation trick."""
    noise = torch.empty_like(mean).normal_(generator=generator)
    return torch.addcmul(mean, (0.5 * log_variance).exp(), noise)


def negative_log_likelihood(
    errors: Tensor, n_features: int, noise_variance: Tensor | None
) -> Tensor:
    """Return -log p(x|z) of each row, given the sum of the errors of its entries."""
    if noise_variance is None:
        return errors
    constant = 0.5 * n_features * (2.0 * math.pi * noise_variance).log()
    return errors / (2.0 * noise_variance) + constant


def fitted_noise_variance(errors: Tensor) -> Tensor:
    """Return the maximum-likelihood noise variance of the rows: ``(1,)`` or ``(models, 1)``."""
    return errors.detach().mean((-2, -1)).unsqueeze(-1).clamp_min(MIN_NOISE_VARIANCE)


def entry_errors(model: Model, output: Tensor, z: Tensor) -> Tensor:
    """Return the squared error or, of a Bernoulli output, the cross-entropy of each entry."""
    if model.loss.link is None:
        return model.entry_losses(output, z)
    return F.binary_cross_entropy_with_logits(output, model.target(z, output), reduction="none")


def log_weights(
    model: Model,
    network: VariationalNetwork,
    z: Tensor,
    noise: Tensor,
    noise_variance: Tensor | None,
) -> Tensor:
    """Return log p(x, c) - log q(c|x) at codes c drawn from q.

    Parameters
    ----------
    model : Model
    network : VariationalNetwork
        The model's network, in the precision of z.
    z : Tensor of shape (rows, features)
        Rows in training units. The densities are in these units too.
    noise : Tensor of shape (draws, components)
        Standard normal draws, the same for every row, so that the weights of a row do not depend on
        other rows.
    noise_variance : Tensor of shape (1,) or None

    Returns
    -------
    weights : Tensor of shape (draws, rows)
    """
    mean, log_variance = network.posterior(z)
    codes = mean + (0.5 * log_variance).exp() * noise[:, None]
    prior_over_posterior = 0.5 * (noise.square()[:, None] + log_variance - codes.square()).sum(-1)
    outputs = network.decode(codes.flatten(0, 1)).view(len(noise), *z.shape)
    errors = entry_errors(model, outputs, z.expand_as(outputs)).sum(-1)
    return prior_over_posterior - negative_log_likelihood(errors, z.shape[-1], noise_variance)


@torch.no_grad()
def bounds(
    model: Model,
    network: VariationalNetwork,
    z: Tensor,
    noise: Tensor,
    noise_variance: Tensor | None,
) -> tuple[Tensor, Tensor]:
    """Return the evidence lower bound and the importance-weighted bound of each row.

    Both use the same draws. The former is the mean of the log-weights; the latter is the log of the
    mean weight, so it is never lower (Burda, Grosse & Salakhutdinov 2016).
    """
    width = network.max_width
    n_rows = max(1, min(len(z), _MAX_ENTRIES // width))
    n_draws = max(1, _MAX_ENTRIES // (n_rows * width))
    lower, weighted = [], []
    for rows in z.split(n_rows):
        parts = [
            log_weights(model, network, rows, part, noise_variance) for part in noise.split(n_draws)
        ]
        weights = torch.cat(parts)
        lower.append(weights.mean(0))
        weighted.append(weights.logsumexp(0) - math.log(len(noise)))
    return torch.cat(lower), torch.cat(weighted)


def nats_per_unit(model: Model) -> float:
    """Return the nats per row that the change from training units to the units of X adds."""
    return len(model.mean) * math.log(model.scale) if model.loss.link is None else 0.0


class NegativeELBO(Criterion):
    r"""``-E[log p(x|z)] + beta KL(q(z|x) || N(0, I))``, in nats per row, in the units of X.

    Parameters
    ----------
    model : Model
        Its network is a `VariationalNetwork`.
    beta : float
    """

    perfect_score = 0.0

    def __init__(self, model: Model, beta: float) -> None:
        self.model = model
        assert isinstance(model.network, VariationalNetwork)
        self.network = model.network
        self.beta = beta
        # Not in training, where a scale that is denormal counts as 0.
        self.nats_per_unit = nats_per_unit(model)
        if self.network.noise_variance is not None:
            # A change of 1 % in the squared error changes the loss by 1 % of this.
            self.reference_loss = 0.5 * len(model.mean)

    def terms(self, inputs: Tensor, target: Tensor) -> Terms:
        mean, log_variance = self.network.posterior(inputs)
        code = draw_codes(mean, log_variance, self.network.generator)
        errors = entry_errors(self.model, self.network.decode(code), target)
        noise = None if self.network.noise_variance is None else fitted_noise_variance(errors)
        nats = negative_log_likelihood(errors.sum(-1), errors.shape[-1], noise)
        divergence = divergence_from_prior(mean, log_variance).mean()
        return {
            "reconstruction": nats.mean() + self.nats_per_unit,
            "divergence": self.beta * divergence,
        }

    def measure(self, inputs: Tensor, target: Tensor, generator: torch.Generator) -> Tensor:
        """Return each row's error at one draw of its code, and its divergence from the prior."""
        return self._measure(self.network, inputs, target, generator)

    def _measure(
        self,
        network: VariationalNetwork,
        inputs: Tensor,
        target: Tensor,
        generator: torch.Generator,
    ) -> Tensor:
        mean, log_variance = network.posterior(inputs)
        code = draw_codes(mean, log_variance, generator)
        errors = entry_errors(self.model, network.decode(code), target)
        return torch.stack([errors.sum(-1), divergence_from_prior(mean, log_variance)])

    def row_losses(self, measured: Tensor, mask: Tensor) -> Tensor:
        """Return the loss of each row; with a normal likelihood, under two noise variances.

        They are the mean squared residuals of the held-out rows of each model, and of all models.
        Under the former, a large row counts little outside its own fold; under the latter, it
        counts as it will under the one noise variance of the final model.
        """
        if self.network.noise_variance is None:
            return self._losses(measured, None)
        errors = torch.where(mask, measured[0], 0.0).sum(-1, keepdim=True)
        n_entries = mask.sum(-1, keepdim=True) * len(self.model.mean)
        own = errors / n_entries.clamp_min(1)
        noise = torch.stack([own, (errors.sum() / n_entries.sum()).expand_as(own)])
        return self._losses(measured, noise.clamp_min(MIN_NOISE_VARIANCE))

    def _losses(self, measured: Tensor, noise: Tensor | None) -> Tensor:
        errors, divergence = measured
        nats = negative_log_likelihood(errors, len(self.model.mean), noise)
        return nats + self.nats_per_unit + self.beta * divergence

    def _held_out_noise(self, measured: Tensor, mask: Tensor, previous: Tensor) -> Tensor:
        """Return the noise variance of held-out rows; it is lower on training rows."""
        squares = measured[0][mask] / len(self.model.mean)
        noise = squares.mean().expand_as(previous)
        if self.network.decoder.exact_skip[0] is not None:  # `previous` is PPCA's
            error = squares.std(correction=0) / max(1, len(squares) - 1) ** 0.5
            margin = _STANDARD_ERRORS * error
            noise = previous.clamp(noise - margin, noise + margin)
        return noise.clamp_min(MIN_NOISE_VARIANCE)

    @torch.no_grad()
    def _measure_all(self, rows: Tensor) -> Tensor:
        network = self.model.network_in(rows.dtype)
        assert isinstance(network, VariationalNetwork)
        parts = []
        for chunk in rows.split(self.model.chunk_size):
            z = chunk.to(self.model.device)
            generator = torch.Generator(z.device).manual_seed(0)
            parts.append(self._measure(network, z, z, generator))
        return torch.cat(parts, dim=-1)

    def start_loss(self, rows: Tensor, r2: float) -> float:
        return float(self._losses(self._measure_all(rows), self.network.noise_variance).mean())

    def finish(
        self,
        rows: Tensor,
        *,
        held_out: tuple[Tensor, Tensor] | None = None,
        is_trained: bool = True,
        is_part: bool = False,
    ) -> dict[str, Tensor]:
        previous = self.network.noise_variance
        if previous is None:
            return {}
        if held_out is not None:
            return {"noise_variance": self._held_out_noise(*held_out, previous)}
        if not is_trained:
            return {}
        errors, _ = self._measure_all(rows)
        noise = errors.mean(0, keepdim=True) / len(self.model.mean)
        share = len(rows) / (len(rows) + _PREVIOUS_ROWS) if is_part else 1.0
        return {"noise_variance": previous.lerp(noise.clamp_min(MIN_NOISE_VARIANCE), share)}

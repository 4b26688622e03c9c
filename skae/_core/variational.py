"""The evidence lower bound and its parts: pure functions of tensors, all in nats.

A code has the prior N(0, I). Errors of entries are squares under a normal likelihood, of which the
noise variance is a number for all features, and negative log-probabilities under a Bernoulli
likelihood, which has no noise variance (None).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from skae._core.model import Model
from skae._core.networks import VariationalNetwork

# Of the variance of X. Where the code explains all of X, the likelihood has no bound.
LEAST_NOISE = 1e-6
_ENTRIES_AT_A_TIME = 2**21


def divergence_from_prior(mean: Tensor, log_variance: Tensor) -> Tensor:
    """KL(N(mean, exp(log_variance)) || N(0, I)) of each row, summed over the last axis."""
    return 0.5 * (mean.square() + log_variance.exp() - log_variance - 1.0).sum(-1)


def draw_code(mean: Tensor, log_variance: Tensor, generator: torch.Generator | None) -> Tensor:
    """Draw from N(mean, exp(log_variance)), differentiably (the reparameterisation trick)."""
    noise = torch.empty_like(mean).normal_(generator=generator)
    return torch.addcmul(mean, (0.5 * log_variance).exp(), noise)


def negative_log_likelihood(
    errors: Tensor, n_features: int, noise_variance: Tensor | None
) -> Tensor:
    """-log p(x|z) of each row, from the summed errors of its entries."""
    if noise_variance is None:
        return errors
    constant = 0.5 * n_features * (2.0 * math.pi * noise_variance).log()
    return errors / (2.0 * noise_variance) + constant


def likeliest_noise(errors: Tensor) -> Tensor:
    """Noise variance that maximises the likelihood of the rows; ``(1,)`` or ``(models, 1)``."""
    return errors.detach().mean((-2, -1)).unsqueeze(-1).clamp_min(LEAST_NOISE)


def log_weights(
    model: Model,
    network: VariationalNetwork,
    z: Tensor,
    noise: Tensor,
    noise_variance: Tensor | None,
) -> Tensor:
    """Log p(x, c) - log q(c|x) at codes c drawn from q.

    Parameters
    ----------
    model : Model
    network : VariationalNetwork
        The model's, in the precision of z.
    z : Tensor of shape (rows, features)
        In training units, as the densities are.
    noise : Tensor of shape (draws, components)
        Standard normal; the same for every row, so that a row's weights do not depend on others.
    noise_variance : Tensor of shape (1,) or None

    Returns
    -------
    weights : Tensor of shape (draws, rows)
    """
    mean, log_variance = network.posterior(z)
    codes = mean + (0.5 * log_variance).exp() * noise[:, None]
    prior_over_posterior = 0.5 * (noise.square()[:, None] + log_variance - codes.square()).sum(-1)
    outputs = network.decode(codes.flatten(0, 1)).view(len(noise), *z.shape)
    errors = model.entry_losses(outputs, z.expand_as(outputs)).sum(-1)
    return prior_over_posterior - negative_log_likelihood(errors, z.shape[-1], noise_variance)


@torch.no_grad()
def bounds(
    model: Model,
    network: VariationalNetwork,
    z: Tensor,
    noise: Tensor,
    noise_variance: Tensor | None,
) -> tuple[Tensor, Tensor]:
    """Evidence lower bound and importance-weighted bound of each row, from the same draws.

    The former is the mean of the log-weights, the latter the log of the mean weight, so it is
    never lower (Burda, Grosse & Salakhutdinov 2016).
    """
    widest = network.widest()
    n_rows = max(1, min(len(z), _ENTRIES_AT_A_TIME // widest))
    n_draws = max(1, _ENTRIES_AT_A_TIME // (n_rows * widest))
    lower, weighted = [], []
    for rows in z.split(n_rows):
        parts = [
            log_weights(model, network, rows, part, noise_variance) for part in noise.split(n_draws)
        ]
        weights = torch.cat(parts)
        lower.append(weights.mean(0))
        weighted.append(weights.logsumexp(0) - math.log(len(noise)))
    return torch.cat(lower), torch.cat(weighted)

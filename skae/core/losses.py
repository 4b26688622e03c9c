"""Reconstruction losses: pure functions of tensors.

The output of a network is on the link scale of its loss: the reconstruction itself for the squared,
absolute and Huber losses, and the logit for the log loss. The losses of counts are relative: their
output is the log of the rate (or, up to a constant, of the share) divided by a level, which is the
mean of the feature, and their target is the deviation of the count from the level, divided by it.
Deviances are then sums of small numbers where a difference of large ones would lose all digits.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F


@dataclass(frozen=True)
class ReconstructionLoss:
    """A loss with one value per entry, its link and its domain.

    Attributes
    ----------
    function : callable
        ``(output, target, reduction=...) -> Tensor``: a scalar with "mean", one value per entry
        with "none". Torch's fused losses are used, which matters in small steps. A relative loss
        takes the levels as a third argument.
    response : callable
        Inverse link, from output to reconstruction.
    link : callable or None
        Link, from reconstruction to output. None for losses whose output is the reconstruction.
        These are computed in centred and scaled units, all others in the units of X.
    is_relative : bool
        Whether output and target are relative to a level, the mean of each feature. The response is
        then relative to it, too.
    has_row_total : bool
        Whether the response is each column's share of the row's total, which the model supplies.
    domain : tuple of (lowest, highest) or None
        Range of the targets for which the loss has a minimum; None if it has one for any target.
    draw : callable or None
        ``(reconstruction, generator) -> x``: draws from the distribution whose negative
        log-likelihood is the loss. None for the normal distribution.
    """

    function: Callable[..., Tensor]
    response: Callable[[Tensor], Tensor] = torch.positive
    link: Callable[[Tensor], Tensor] | None = None
    is_relative: bool = False
    has_row_total: bool = False
    domain: tuple[float, float] | None = None
    draw: Callable[[Tensor, torch.Generator], Tensor] | None = None


def huber(output: Tensor, target: Tensor, reduction: str = "mean") -> Tensor:
    """Return the Huber loss (Huber 1964), times 2: the squared error up to 1, linear beyond."""
    return 2.0 * F.huber_loss(output, target, reduction=reduction)


def _wide(x: Tensor) -> Tensor:
    """Return x in float64, in which differences of entries keep the digits of float32."""
    return x if x.device.type == "mps" else x.double()


def _reduced(losses: Tensor, reduction: str, dtype: torch.dtype) -> Tensor:
    losses = losses.clamp_min(0)  # rounding of the last digit
    return (losses.mean() if reduction == "mean" else losses).to(dtype)


def log_loss(output: Tensor, target: Tensor, reduction: str = "mean") -> Tensor:
    """Return half the Bernoulli deviance: the cross-entropy minus the entropy of the target.

    The mean, which training reports, uses torch's fused cross-entropy.
    """
    # Scaling back to X may turn a 0 into -1e-9.
    x = target.clamp(0, 1)
    if reduction == "mean":
        entropy = (x * _log(x) + (1 - x) * _log(1 - x)).mean()
        return F.binary_cross_entropy_with_logits(output, x) + entropy
    logit, x = _wide(output), _wide(x)
    # The cross-entropy as a sum of positive terms, which is exact for small probabilities.
    loss = x * (-logit).relu() + (1 - x) * logit.relu() + torch.log1p(torch.exp(-logit.abs()))
    loss = loss + x * _log(x) + (1 - x) * torch.log1p(-x).clamp_min(_LOG_0)
    return _reduced(loss, reduction, output.dtype)


def _log(x: Tensor) -> Tensor:
    """Return a logarithm that is finite at 0, where it is slow otherwise."""
    return x.clamp_min(torch.finfo(x.dtype).tiny).log()


def poisson(output: Tensor, target: Tensor, level: Tensor, reduction: str = "mean") -> Tensor:
    """Return half the Poisson deviance: ``rate - x + x log(x / rate)``.

    It is ``x (exp(d) - 1 - d)`` with ``d = log(rate / x)``, which is never negative and has no
    difference of large numbers. A count of 0 is taken to be the rounding error of the level.
    """
    smallest = torch.finfo(target.dtype).eps
    log_ratio, deviation = _wide(output), _wide(target).clamp_min(smallest - 1)
    distance = log_ratio - torch.log1p(deviation)
    loss = level * (1 + deviation) * (torch.expm1(distance) - distance)
    return _reduced(loss, reduction, output.dtype)


def multinomial(output: Tensor, target: Tensor, level: Tensor, reduction: str = "mean") -> Tensor:
    """Return half the multinomial deviance: ``sum(x log(x / total / share))`` over a row.

    As the shares add up to 1, it equals the Poisson deviance at rates ``total * share``.
    """
    return poisson(log_rate(output, target, level), target, level, reduction)


def log_rate(output: Tensor, target: Tensor, level: Tensor) -> Tensor:
    """Return the log of ``total * share``, relative to the level.

    The total is that of the row of the target.
    """
    shares = level / level.sum()
    # Centred: by Jensen's inequality, the mean of the exponentials is then at least 1.
    centred = (output - (shares * output).sum(-1, keepdim=True)).clamp_max(_MAX_LOG_RATIO)
    log_sum = torch.log1p((shares * torch.expm1(centred)).sum(-1, keepdim=True).clamp_min(0))
    excess = (shares * target).sum(-1, keepdim=True)
    return centred - log_sum + torch.log1p(excess.clamp_min(torch.finfo(excess.dtype).eps - 1))


# Logarithm that stands for that of 0.
_LOG_0 = -800.0
# Largest log of the ratio of two shares; its exponential is finite in float32.
_MAX_LOG_RATIO = 60.0


# A feature that is always 0 would need an output of minus infinity. Its mean is taken to be this
# share of the smallest other one.
_SMALLEST_SHARE = 1e-4


def count_level(mean: Tensor) -> Tensor:
    """Return the level of each feature of counts: its mean, or a small number if that is 0."""
    positive = mean[mean > 0]
    smallest = positive.min() if len(positive) else mean.new_ones(())
    return torch.where(mean > 0, mean, _SMALLEST_SHARE * smallest)


def _logit(mean: Tensor) -> Tensor:
    # The same for a feature that is always 1.
    return count_level(mean).log() - count_level(1 - mean).log()


def _draw_bernoulli(mean: Tensor, generator: torch.Generator) -> Tensor:
    return torch.bernoulli(mean, generator=generator)


def _draw_poisson(rate: Tensor, generator: torch.Generator) -> Tensor:
    return torch.poisson(rate, generator=generator)


LOSSES: dict[str, ReconstructionLoss] = {
    "squared_error": ReconstructionLoss(F.mse_loss),
    "absolute_error": ReconstructionLoss(F.l1_loss),
    "huber": ReconstructionLoss(huber),
    "log_loss": ReconstructionLoss(
        log_loss, torch.sigmoid, _logit, domain=(0.0, 1.0), draw=_draw_bernoulli
    ),
    "poisson": ReconstructionLoss(
        poisson, torch.exp, torch.log, is_relative=True, draw=_draw_poisson
    ),
    # Draws are counts whose total is Poisson too.
    "multinomial": ReconstructionLoss(
        multinomial,
        torch.exp,
        torch.log,
        is_relative=True,
        has_row_total=True,
        draw=_draw_poisson,
    ),
}

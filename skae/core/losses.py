"""Reconstruction losses: pure functions of tensors.

The output of a network is on the link scale of its loss: the reconstruction itself for the squared,
absolute and Huber losses, and the logit for the log loss. The losses of counts are relative: their
output is ``log(rate / level)``, where the level is the mean of the feature; with "multinomial", a
constant may be added to each row. Their target is ``(x - level) / level``. A deviance is then a sum
of small numbers, where a difference of large ones would lose all digits.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

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


@dataclass(frozen=True)
class CountUnits:
    """Constants of the loss of counts, one number per feature.

    Attributes
    ----------
    level : Tensor
        Level that output and target are relative to.
    weight : Tensor
        Level per deviance of the mean.
    slope, excess : Tensor
        ``excess + slope * z`` is the deviation of a count from the level, divided by the level.
    log_share : Tensor
        Log of the level's share of the sum of all levels.
    """

    level: Tensor
    weight: Tensor
    slope: Tensor
    excess: Tensor
    log_share: Tensor


def huber(output: Tensor, target: Tensor, reduction: str = "mean") -> Tensor:
    """Return the Huber loss (Huber 1964), times 2: the squared error up to 1, linear beyond."""
    return 2.0 * F.huber_loss(output, target, reduction=reduction)


def _wide(x: Tensor) -> Tensor:
    """Return x in float64, in which differences of entries keep the digits of float32."""
    return x if x.device.type == "mps" else x.double()


def _reduced(
    entries: Callable[..., Tensor], reduction: str, output: Tensor, target: Tensor, *level: Tensor
) -> Tensor:
    """Return the loss of each entry, or their mean.

    If no gradient is needed, the loss is computed in parts that fit into the cache, which is four
    times as fast.
    """
    if output.requires_grad or output.numel() <= 2 * _PART:
        losses = entries(output, target, *level)
        return losses if reduction == "none" else losses.mean()
    size = max(1, _PART // output.shape[-1])
    parts = zip(output.flatten(0, -2).split(size), target.flatten(0, -2).split(size), strict=True)
    if reduction == "none":
        return torch.cat([entries(*part, *level) for part in parts]).view_as(output)
    total = sum((entries(*part, *level).sum() for part in parts), start=output.new_zeros(()))
    return total / output.numel()


def log_loss(output: Tensor, target: Tensor, reduction: str = "mean") -> Tensor:
    """Return half the Bernoulli deviance: the cross-entropy minus the entropy of the target.

    The mean, which training reports, stays in the precision of the output.
    """
    wide = torch.positive if reduction == "mean" else _wide
    return _reduced(partial(_bernoulli, wide), reduction, output, target)


def _bernoulli(wide: Callable[[Tensor], Tensor], output: Tensor, target: Tensor) -> Tensor:
    # Scaling back to X may turn a 0 into -1e-9.
    logit, x = wide(output), wide(target.clamp(0, 1))
    # The cross-entropy as a sum of positive terms, which is exact for small probabilities.
    loss = x * (-logit).relu() + (1 - x) * logit.relu() + torch.log1p(torch.exp(-logit.abs()))
    # Logarithms are clamped: 0 times that of 0 is 0, which takes long to compute besides.
    log_x = x.clamp_min(torch.finfo(x.dtype).tiny).log()
    loss = loss + x * log_x + (1 - x) * torch.log1p(-x).clamp_min(_LOG_0)
    return loss.clamp_min(0).to(output.dtype)  # rounding of the last digit


def poisson(output: Tensor, target: Tensor, level: Tensor, reduction: str = "mean") -> Tensor:
    """Return half the Poisson deviance: ``rate - x + x log(x / rate)``.

    It is ``x (exp(d) - 1 - d)`` with ``d = log(rate / x)``, which is never negative and has no
    difference of large numbers. A count of 0 is taken to be the rounding error of the level.
    """
    return _reduced(_poisson, reduction, output, target, level)


def _poisson(output: Tensor, target: Tensor, level: Tensor) -> Tensor:
    deviation = _wide(target).clamp_min(torch.finfo(target.dtype).eps - 1)
    distance = _wide(output) - torch.log1p(deviation)
    loss = level * (1 + deviation) * (torch.expm1(distance) - distance)
    return loss.clamp_min(0).to(output.dtype)


def multinomial(output: Tensor, target: Tensor, level: Tensor, reduction: str = "mean") -> Tensor:
    """Return half the multinomial deviance: ``sum(x log(x / total / share))`` over a row.

    As the shares add up to 1, it equals the Poisson deviance at rates ``total * share``.
    """
    return _reduced(_multinomial, reduction, output, target, level)


def _multinomial(output: Tensor, target: Tensor, level: Tensor) -> Tensor:
    return _poisson(log_rate(output, target, level), target, level)


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


# Entries of a part; those of a few temporary arrays fit into the cache.
_PART = 2**16
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

"""Reconstruction losses: pure functions of tensors.

The output of a network is on the link scale of its loss: the reconstruction itself for the squared,
absolute and Huber losses, the logit for the log loss, the log of the rate for the Poisson loss, and
the log of the share, up to a constant, for the multinomial loss.
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
        with "none". Torch's fused losses are used, which matters in small steps.
    response : callable
        Inverse link, from output to reconstruction.
    link : callable or None
        Link, from reconstruction to output. None for losses whose output is the reconstruction.
        These are computed in centred and scaled units, all others in the units of X.
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
    has_row_total: bool = False
    domain: tuple[float, float] | None = None
    draw: Callable[[Tensor, torch.Generator], Tensor] | None = None


def huber(output: Tensor, target: Tensor, reduction: str = "mean") -> Tensor:
    """Return the Huber loss (Huber 1964), times 2: the squared error up to 1, linear beyond."""
    return 2.0 * F.huber_loss(output, target, reduction=reduction)


def poisson(output: Tensor, target: Tensor, reduction: str = "mean") -> Tensor:
    """Return half the Poisson deviance.

    This is ``rate - target + target log(target / rate)`` with ``rate = exp(output)``.
    """
    target = target.clamp_min(0)  # scaling back may turn a count of 0 into -1e-9
    loss = F.poisson_nll_loss(output, target, reduction="none")
    loss = loss + torch.xlogy(target, target) - target
    return loss.mean() if reduction == "mean" else loss


def multinomial(output: Tensor, target: Tensor, reduction: str = "mean") -> Tensor:
    """Return half the multinomial deviance.

    This is ``target log(target / total / share)`` with ``share = softmax(output)``. The
    loss of an entry may be negative; that of a row is not.
    """
    target = target.clamp_min(0)
    # Two logarithms, because the ratio of the two is undefined for an empty row.
    loss = torch.xlogy(target, target) - torch.xlogy(target, target.sum(-1, keepdim=True))
    loss = loss - target * torch.log_softmax(output, -1)
    return loss.mean() if reduction == "mean" else loss


def _softmax(output: Tensor) -> Tensor:
    return torch.softmax(output, -1)


# A feature that is always 0 (or always 1) would need an infinite output.
_SMALLEST_PROBABILITY = 1e-4


def _logit(mean: Tensor) -> Tensor:
    return torch.logit(mean, eps=_SMALLEST_PROBABILITY)


def _log(mean: Tensor) -> Tensor:
    return mean.clamp_min(_SMALLEST_PROBABILITY * mean.max().clamp_min(1e-30)).log()


def _draw_bernoulli(mean: Tensor, generator: torch.Generator) -> Tensor:
    return torch.bernoulli(mean, generator=generator)


def _draw_poisson(rate: Tensor, generator: torch.Generator) -> Tensor:
    return torch.poisson(rate, generator=generator)


LOSSES: dict[str, ReconstructionLoss] = {
    "squared_error": ReconstructionLoss(F.mse_loss),
    "absolute_error": ReconstructionLoss(F.l1_loss),
    "huber": ReconstructionLoss(huber),
    "log_loss": ReconstructionLoss(
        F.binary_cross_entropy_with_logits,
        torch.sigmoid,
        _logit,
        domain=(0.0, 1.0),
        draw=_draw_bernoulli,
    ),
    "poisson": ReconstructionLoss(poisson, torch.exp, _log, draw=_draw_poisson),
    # Draws are counts whose total is Poisson too.
    "multinomial": ReconstructionLoss(
        multinomial, _softmax, _log, has_row_total=True, draw=_draw_poisson
    ),
}

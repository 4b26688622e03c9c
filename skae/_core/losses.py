"""Reconstruction losses: pure functions of tensors.

A network's output is in the link space of its loss: the reconstruction itself for the squared,
absolute and Huber losses, the logit for the log loss, the log of the rate for the Poisson loss,
the log of the share, up to a constant, for the multinomial loss.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from skae._core.networks import identity


@dataclass(frozen=True)
class ReconstructionLoss:
    """One loss, entry by entry, with what belongs to it.

    Attributes
    ----------
    function : callable
        ``(output, target, reduction=...) -> Tensor``; "mean" gives a scalar, "none" one value an
        entry. Fused by torch, which matters in a small step.
    derivative : callable
        ``(output, target) -> Tensor``: of `function` by the output, entry by entry, in memory of
        its own.
    response : callable
        Output to reconstruction (the inverse link).
    link : callable or None
        Reconstruction to output. None for losses whose output is the reconstruction; these work
        in centred and scaled units, the others in the units of X.
    shares : bool
        Whether the response is a column's share of its row's total, which the model supplies.
    domain : tuple of (lowest, highest) or None
        What a target must lie in for the loss to have a minimum; None where any will do.
    draw : callable or None
        ``(reconstruction, generator) -> x``, from the distribution whose negative log-likelihood
        the loss is; None for the normal one.
    """

    function: Callable[..., Tensor]
    derivative: Callable[[Tensor, Tensor], Tensor]
    response: Callable[[Tensor], Tensor] = identity
    link: Callable[[Tensor], Tensor] | None = None
    shares: bool = False
    domain: tuple[float, float] | None = None
    draw: Callable[[Tensor, torch.Generator], Tensor] | None = None


def squared_error(output: Tensor, target: Tensor, reduction: str = "mean") -> Tensor:
    """(output - target)^2."""
    return F.mse_loss(output, target, reduction=reduction)


def absolute_error(output: Tensor, target: Tensor, reduction: str = "mean") -> Tensor:
    """|output - target|."""
    return F.l1_loss(output, target, reduction=reduction)


def huber(output: Tensor, target: Tensor, reduction: str = "mean") -> Tensor:
    """Squared error up to 1, absolute error beyond (Huber 1964), times 2 to match the former."""
    return 2.0 * F.huber_loss(output, target, reduction=reduction)


def log_loss(output: Tensor, target: Tensor, reduction: str = "mean") -> Tensor:
    """-target log p - (1 - target) log(1 - p), p the logistic function of the output."""
    return F.binary_cross_entropy_with_logits(output, target, reduction=reduction)


def poisson(output: Tensor, target: Tensor, reduction: str = "mean") -> Tensor:
    """Half the Poisson deviance: rate - target + target log(target / rate), rate = exp(output)."""
    target = target.clamp_min(0)  # a count of 0 may come back from its scaling as -1e-9
    loss = F.poisson_nll_loss(output, target, reduction="none")
    loss = loss + torch.xlogy(target, target) - target
    return loss.mean() if reduction == "mean" else loss


def multinomial(output: Tensor, target: Tensor, reduction: str = "mean") -> Tensor:
    """Half the multinomial deviance: target log(target / total / share), share = softmax(output).

    An entry's loss may be below 0; a row's is not.
    """
    target = target.clamp_min(0)
    # Not the logarithm of the quotient, which an empty row has not.
    loss = torch.xlogy(target, target) - torch.xlogy(target, target.sum(-1, keepdim=True))
    loss = loss - target * torch.log_softmax(output, -1)
    return loss.mean() if reduction == "mean" else loss


def _squared_slope(output: Tensor, target: Tensor) -> Tensor:
    return (output - target).mul_(2.0)


def _absolute_slope(output: Tensor, target: Tensor) -> Tensor:
    return (output - target).sign_()


def _huber_slope(output: Tensor, target: Tensor) -> Tensor:
    return (output - target).clamp_(-1.0, 1.0).mul_(2.0)


def _log_loss_slope(output: Tensor, target: Tensor) -> Tensor:
    return torch.sigmoid(output).sub_(target)


def _poisson_slope(output: Tensor, target: Tensor) -> Tensor:
    return torch.exp(output).sub_(target.clamp_min(0))


def _multinomial_slope(output: Tensor, target: Tensor) -> Tensor:
    target = target.clamp_min(0)
    return torch.softmax(output, -1).mul_(target.sum(-1, keepdim=True)).sub_(target)


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
    "squared_error": ReconstructionLoss(squared_error, _squared_slope),
    "absolute_error": ReconstructionLoss(absolute_error, _absolute_slope),
    "huber": ReconstructionLoss(huber, _huber_slope),
    "log_loss": ReconstructionLoss(
        log_loss,
        _log_loss_slope,
        torch.sigmoid,
        _logit,
        domain=(0.0, 1.0),
        draw=_draw_bernoulli,
    ),
    "poisson": ReconstructionLoss(poisson, _poisson_slope, torch.exp, _log, draw=_draw_poisson),
    # Of a row with a Poisson total.
    "multinomial": ReconstructionLoss(
        multinomial, _multinomial_slope, _softmax, _log, shares=True, draw=_draw_poisson
    ),
}

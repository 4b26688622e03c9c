"""Penalties on a code: summed over code units and averaged over rows; one number a model.

`size` is what a unit adds to the reconstruction: the code times `unit_gains` of the decoder.
Measured by the code alone, a network escapes a penalty by a small code and a large decoder; the
product stays as it is when one shrinks and the other grows.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from skae._core.networks import Perceptron, keep_largest

_SMALLEST_RATE = 1e-6


def unit_gains(decoder: Perceptron) -> Tensor:
    """How far a step of 1 along each code unit moves the reconstruction; ``(k,)``.

    In units in which all of the data has variance 1; under a loss with a link, in those of the
    decoder's output. For a decoder of one layer that is the norm of the unit's atom (Conerly et al.
    2024 weight the L1 penalty so). A deeper layer counts by its root mean square gain,
    ``||W||_F / sqrt(width)``.
    """
    first, *others = (
        layer.weight.mT if layer.transposed else layer.weight for layer in decoder.layers
    )
    if decoder.shortcut is None:
        gains = _row_norms(first)
    elif not others:
        gains = _row_norms(torch.add(decoder.shortcut, first, alpha=decoder.scale))
    else:
        gains = _row_norms(first) * decoder.scale
    for weight in others:
        rms = torch.linalg.matrix_norm(weight) / math.sqrt(weight.shape[-2])
        gains = gains * rms[..., None, None] if weight.ndim == 3 else gains * rms
    if decoder.shortcut is not None and others:
        # Not hypot, which has no derivative where both are 0.
        both = torch.stack([gains, _row_norms(decoder.shortcut).expand_as(gains)])
        gains = torch.linalg.vector_norm(both, dim=0)
    last = decoder.layers[-1].bias
    return gains / math.sqrt(last.shape[-1])


def _row_norms(weight: Tensor) -> Tensor:
    norms = torch.linalg.vector_norm(weight, dim=-1)
    return norms.unsqueeze(-2) if weight.ndim == 3 else norms


def l1(size: Tensor) -> Tensor:
    """Sum |h|, the negative log of a Laplace prior."""
    return size.abs().sum(-1).mean(-1)


def l2(size: Tensor) -> Tensor:
    """Sum h^2, the negative log of a normal prior."""
    return size.square().sum(-1).mean(-1)


def student_t(size: Tensor) -> Tensor:
    """Sum log(1 + h^2), the negative log of a Student t prior (Olshausen & Field 1996)."""
    return size.square().log1p().sum(-1).mean(-1)


def bernoulli_divergence(code: Tensor, rate: float) -> Tensor:
    """Sum KL(rate || mean activation), the mean over the rows of the batch (Ng 2011)."""
    active = code.mean(-2).clamp(_SMALLEST_RATE, 1.0 - _SMALLEST_RATE)
    divergence = rate * (math.log(rate) - active.log())
    divergence = divergence + (1.0 - rate) * (math.log1p(-rate) - torch.log1p(-active))
    return divergence.sum(-1)


def unused_largest(units: Tensor, code: Tensor, n_largest: int) -> Tensor | None:
    """Return the `n_largest` of the units that no row of the batch uses, or None.

    Gao et al. (2024) call a unit dead after ten million rows without activity; here a batch
    decides, which needs no memory, and a unit that is merely idle takes no harm.
    """
    used = (code != 0).any(-2, keepdim=True)
    if used.all():
        return None
    chosen = keep_largest(units.masked_fill(used, -torch.inf), n_largest)
    return chosen.masked_fill(chosen == -torch.inf, 0.0)


PRIORS: dict[str, Callable[[Tensor], Tensor]] = {"l1": l1, "l2": l2, "student_t": student_t}

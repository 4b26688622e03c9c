"""Penalties on the code: summed over units and averaged over rows, with one value per model.

`size` is what a unit contributes to the reconstruction: the code times the decoder's `unit_gains`.
A penalty on the code alone could be escaped by a small code and a large decoder. The product does
not change when one shrinks and the other grows.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from skae.core.networks.autoencoder import keep_largest
from skae.core.networks.dense import MLP

_MIN_RATE = 1e-6


def unit_gains(decoder: MLP) -> Tensor:
    """Return how far a step of 1 along each code unit moves the reconstruction.

    The result has shape ``(..., 1, k)``. It is in the unit in which the total variance of the data
    is 1 or, for a loss with a link, in the unit of the decoder's output. For a decoder of one
    layer, the gain is the norm of the unit's atom, by which Conerly et al. (2024) weight the L1
    penalty. Each deeper layer contributes its root mean square gain, ``||W||_F / sqrt(width)``.
    """
    first, *others = (
        layer.weight.mT if layer.transposed else layer.weight for layer in decoder.layers
    )
    if decoder.skip is None:
        gains = _row_norms(first)
    elif not others:
        gains = _row_norms(torch.add(decoder.skip, first, alpha=decoder.scale))
    else:
        gains = _row_norms(first) * decoder.scale
    for weight in others:
        rms = torch.linalg.matrix_norm(weight) / math.sqrt(weight.shape[-2])
        gains = gains * rms[..., None, None]
    if decoder.skip is not None and others:
        # Not hypot, which has no derivative where both are 0.
        both = torch.stack([gains, _row_norms(decoder.skip).expand_as(gains)])
        gains = torch.linalg.vector_norm(both, dim=0)
    last = decoder.layers[-1].bias
    return gains / math.sqrt(last.shape[-1])


def _row_norms(weight: Tensor) -> Tensor:
    norms = torch.linalg.vector_norm(weight, dim=-1)
    return norms.unsqueeze(-2)


def l1(size: Tensor) -> Tensor:
    """Return the sum of |h|, the negative log of a Laplace prior."""
    return size.abs().sum(-1).mean(-1)


def l2(size: Tensor) -> Tensor:
    """Return the sum of h^2, the negative log of a normal prior."""
    return size.square().sum(-1).mean(-1)


def student_t(size: Tensor) -> Tensor:
    """Return the sum of log(1 + h^2), the negative log of a Student t prior.

    See Olshausen & Field (1996).
    """
    return size.square().log1p().sum(-1).mean(-1)


def bernoulli_divergence(code: Tensor, rate: float) -> Tensor:
    """Return the sum of KL(rate || mean activation), with the mean over the batch (Ng 2011)."""
    active = code.mean(-2).clamp(_MIN_RATE, 1.0 - _MIN_RATE)
    divergence = rate * (math.log(rate) - active.log())
    divergence = divergence + (1.0 - rate) * (math.log1p(-rate) - torch.log1p(-active))
    return divergence.sum(-1)


def largest_unused(units: Tensor, code: Tensor, n_largest: int) -> Tensor | None:
    """Return the `n_largest` units among those unused in the batch, or None if all are used.

    Gao et al. (2024) call a unit dead after ten million rows without activity. Here, a single batch
    decides. This needs no memory of earlier batches and does not harm a unit that is merely
    inactive.
    """
    used = (code != 0).any(-2, keepdim=True)
    if used.all():
        return None
    chosen = keep_largest(units.masked_fill(used, -torch.inf), n_largest)
    return chosen.masked_fill(chosen == -torch.inf, 0.0)


PRIORS: dict[str, Callable[[Tensor], Tensor]] = {"l1": l1, "l2": l2, "student_t": student_t}

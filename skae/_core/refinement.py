"""From the encoder's code to the one whose reconstruction is nearest to the row.

PCA's code of a row is that of the nearest point of its plane. An encoder only predicts the nearest
point of the decoder's surface (what it misses is the amortisation gap, Cremer et al. 2018), and a
few steps of gradient descent on the code, each row for itself, make up for most of that.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

# On the canonical code, where the mean curvature is 1, a step of 1 is Newton's; half of it seldom
# goes too far.
_FIRST_SIZE = 0.5
_LARGEST_CHANGE = 10.0


def refined(losses: Callable[[Tensor], Tensor], codes: Tensor, n_steps: int) -> Tensor:
    """Move each code downhill; no row's loss rises.

    The size of a step is the inverse of the curvature along the last one (Barzilai & Borwein 1988).
    A step that would raise the loss is not taken, and the next is shorter.

    Parameters
    ----------
    losses : callable
        Codes to the loss of each row, in a unit in which the curvature is about 1.
    codes : Tensor of shape (n_rows, n_components)
    n_steps : int

    Returns
    -------
    codes : Tensor of shape (n_rows, n_components)
    """
    lowest, slopes = _with_slopes(losses, codes)
    sizes = codes.new_full((len(codes), 1), _FIRST_SIZE)
    for _ in range(n_steps):
        steps = -sizes * slopes
        tried, slopes_there = _with_slopes(losses, codes + steps)
        is_lower = (tried < lowest)[:, None]
        bends = (steps * (slopes_there - slopes)).sum(1, keepdim=True)
        newton = steps.square().sum(1, keepdim=True) / bends
        longest = torch.where(is_lower, sizes * _LARGEST_CHANGE, sizes / _LARGEST_CHANGE)
        # Not along a line that bends the other way, nor where numbers overflowed.
        sizes = torch.where(newton > 0, torch.minimum(newton, longest), longest)
        codes = torch.where(is_lower, codes + steps, codes)
        slopes = torch.where(is_lower, slopes_there, slopes)
        lowest = torch.where(is_lower[:, 0], tried, lowest)
    return codes


def _with_slopes(losses: Callable[[Tensor], Tensor], codes: Tensor) -> tuple[Tensor, Tensor]:
    with torch.enable_grad():
        points = codes.detach().requires_grad_()
        values = losses(points)
        (slopes,) = torch.autograd.grad(values.sum(), points)
    return values.detach(), slopes

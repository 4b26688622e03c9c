"""From the encoder's code to the one whose reconstruction is nearest to the row.

PCA's code of a row is that of the nearest point of its plane. An encoder only predicts the nearest
point of the decoder's surface (what it misses is the amortisation gap, Cremer et al. 2018). A few
steps of gradient descent on the code, each row for itself, make up for most of that.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

# A step of 1 is Newton's where the curvature is the mean one; half of it seldom goes too far.
_FIRST_SIZE = 0.5
_LARGEST_CHANGE = 10.0
# A row whose step lowers its loss by no more than this share is done, unless the step was far too
# small. Most are after three, and further ones would take their codes nowhere.
_LEAST_GAIN = 3e-3
_SAME_SIZE = 4.0

Losses = Callable[[Tensor, Tensor], Tensor]


def refined(
    losses: Losses,
    codes: Tensor,
    preconditioner: Tensor,
    max_steps: int,
    *,
    good_enough: float = 0.0,
) -> Tensor:
    """Move each code downhill; no row's loss rises.

    The size of a step is the inverse of the curvature along the last one (Barzilai & Borwein 1988).
    A step that would raise the loss is not taken, and the next is shorter.

    Parameters
    ----------
    losses : callable
        Codes and the numbers of their rows to the loss of each.
    codes : Tensor of shape (n_rows, n_components)
    preconditioner : Tensor of shape (n_components, n_components)
        About the inverse of the losses' mean second derivative: with it, the steps are the same
        ones on any axes.
    max_steps : int
    good_enough : float
        A loss from which a row is not moved on: some losses have no minimum but at infinity.

    Returns
    -------
    codes : Tensor of shape (n_rows, n_components)
    """
    best = codes.clone()
    rows = torch.arange(len(codes), device=codes.device)
    lowest, slopes = _with_slopes(losses, codes, rows)
    sizes = codes.new_full((len(codes), 1), _FIRST_SIZE)
    is_done = lowest <= good_enough
    for _ in range(max_steps):
        going_on = (~is_done).nonzero()[:, 0]
        if not len(going_on):
            break
        rows, codes, slopes, sizes, lowest = (
            part[going_on] for part in (rows, codes, slopes, sizes, lowest)
        )
        steps = -sizes * (slopes @ preconditioner)
        tried, slopes_there = _with_slopes(losses, codes + steps, rows)
        is_lower = tried < lowest
        gains_little = is_lower & (lowest - tried <= _LEAST_GAIN * lowest.abs())
        taken = is_lower[:, None]
        bends = (steps * (slopes_there - slopes)).sum(1, keepdim=True)
        newton = -sizes * (steps * slopes).sum(1, keepdim=True) / bends
        longest = torch.where(taken, sizes * _LARGEST_CHANGE, sizes / _LARGEST_CHANGE)
        # Not along a line that bends the other way, nor where numbers overflowed.
        next_sizes = torch.where(newton > 0, torch.minimum(newton, longest), longest)
        was_long = (next_sizes <= _SAME_SIZE * sizes)[:, 0]
        codes = torch.where(taken, codes + steps, codes)
        slopes = torch.where(taken, slopes_there, slopes)
        lowest = torch.where(is_lower, tried, lowest)
        sizes = next_sizes
        best[rows] = codes
        is_done = (gains_little & was_long) | (lowest <= good_enough)
    return best


def _with_slopes(losses: Losses, codes: Tensor, rows: Tensor) -> tuple[Tensor, Tensor]:
    with torch.enable_grad():
        points = codes.detach().requires_grad_()
        values = losses(points, rows)
        (slopes,) = torch.autograd.grad(values.sum(), points)
    return values.detach(), slopes

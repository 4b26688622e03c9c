"""Iterative (semi-amortised) inference: refinement of the encoder's codes by gradient descent.

PCA encodes a row as the nearest point of its plane. An encoder only predicts the nearest point of
the decoder's surface; its error is the amortisation gap (Cremer et al. 2018). A few steps of
gradient descent on the code of each row close most of the gap (Kim et al. 2018).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

# A step size of 1 is Newton's where the curvature equals its mean; half of that rarely overshoots.
_FIRST_SIZE = 0.5
_LARGEST_CHANGE = 10.0
# Far beyond the minimum of an exponential, the curvature is too large by orders of magnitude.
_SMALLEST_CHANGE = 1e-3
# A row has converged when a step lowers its loss by no more than the share `_MIN_GAIN`, unless the
# next step size would be more than `_SIMILAR_SIZE` times as large. Most rows converge within three
# or four steps.
_MIN_GAIN = 3e-3
_SIMILAR_SIZE = 4.0
# Shares of a code that `shrink` tries.
_SHARES = (0.75, 0.5, 0.25, 0.0)

Losses = Callable[[Tensor, Any], Tensor]
# ``(codes, rows) -> (losses, gradients)``
LossesAndGradients = Callable[[Tensor, Any], tuple[Tensor, Tensor]]


@torch.no_grad()
def refine(
    evaluate: LossesAndGradients,
    codes: Tensor,
    preconditioner: Tensor,
    max_steps: int,
    loss_tol: float = 0.0,
) -> Tensor:
    """Lower the loss of each code by gradient descent; no row's loss rises.

    The step size is the inverse of the curvature along the previous step (Barzilai & Borwein 1988).
    A step that would raise the loss is rejected, and the next one is shorter.

    Parameters
    ----------
    evaluate : callable
        ``(codes, rows) -> (losses, gradients)``, a pair of new tensors; `rows` are the row indices
        of the codes. `with_gradients` makes it of losses alone.
    codes : Tensor of shape (n_rows, n_components)
    preconditioner : Tensor of shape (n_components, n_components)
        Approximate inverse of the mean Hessian of the losses, so that steps do not depend on the
        axes of the code.
    max_steps : int
    loss_tol : float
        Loss at which a row has converged, because some losses have their minimum at infinity.

    Returns
    -------
    codes : Tensor of shape (n_rows, n_components)
    """
    if len(codes) == 1:
        return _refine_row(evaluate, codes, preconditioner, max_steps, loss_tol)
    best = codes.clone()
    rows = torch.arange(len(codes), device=codes.device)
    lowest, gradients = evaluate(codes, rows)
    sizes = codes.new_full((len(codes), 1), _FIRST_SIZE)
    has_converged = lowest <= loss_tol
    for _ in range(max_steps):
        active = (~has_converged).nonzero()[:, 0]
        if not len(active):
            break
        if len(active) < len(rows):
            rows, codes, gradients, sizes, lowest = (
                part[active] for part in (rows, codes, gradients, sizes, lowest)
            )
        steps = -sizes * (gradients @ preconditioner)
        moved = codes + steps
        tried, new_gradients = evaluate(moved, rows)
        is_lower = tried < lowest
        gains_little = is_lower & (lowest - tried <= _MIN_GAIN * lowest.abs())
        taken = is_lower[:, None]
        curvature = (steps * (new_gradients - gradients)).sum(1, keepdim=True)
        newton = -sizes * (steps * gradients).sum(1, keepdim=True) / curvature
        longest = torch.where(taken, sizes * _LARGEST_CHANGE, sizes / _LARGEST_CHANGE)
        # No Newton step where the curvature is negative or has overflowed.
        newton = torch.maximum(newton, sizes * _SMALLEST_CHANGE * (newton > 0))
        next_sizes = torch.where(newton > 0, torch.minimum(newton, longest), longest)
        is_similar = (next_sizes <= _SIMILAR_SIZE * sizes)[:, 0]
        codes = torch.where(taken, moved, codes)
        gradients = torch.where(taken, new_gradients, gradients)
        lowest = torch.where(is_lower, tried, lowest)
        sizes = next_sizes
        best[rows] = codes
        has_converged = (gains_little & is_similar) | (lowest <= loss_tol)
    return best


def _refine_row(
    evaluate: LossesAndGradients,
    code: Tensor,
    preconditioner: Tensor,
    max_steps: int,
    loss_tol: float,
) -> Tensor:
    """Refine a single row; its sizes and losses are plain numbers, to save calls of torch."""
    every, size = slice(None), _FIRST_SIZE
    loss, gradient = evaluate(code, every)
    lowest = loss.item()
    for _ in range(max_steps):
        if lowest <= loss_tol:
            break
        step = (gradient @ preconditioner) * -size
        moved = code + step
        loss, new_gradient = evaluate(moved, every)
        tried = loss.item()
        curvature = torch.vdot(step[0], (new_gradient - gradient)[0]).item()
        slope = torch.vdot(step[0], gradient[0]).item()
        is_lower = tried < lowest
        longest = size * _LARGEST_CHANGE if is_lower else size / _LARGEST_CHANGE
        newton = -size * slope / curvature if curvature else math.inf
        next_size = longest
        if newton > 0:  # not if the curvature is negative or has overflowed
            next_size = min(max(newton, size * _SMALLEST_CHANGE), longest)
        gains_little = is_lower and lowest - tried <= _MIN_GAIN * abs(lowest)
        has_converged = gains_little and next_size <= _SIMILAR_SIZE * size
        if is_lower:
            code, gradient, lowest = moved, new_gradient, tried
        size = next_size
        if has_converged:
            break
    return code


@torch.no_grad()
def shrink(losses: Losses, codes: Tensor) -> Tensor:
    """Move each code towards the mean code, 0, where that lowers its loss.

    An exponential decoder may be far off at the code of an unusual row, where steps along the
    gradient are too short to come back.
    """
    rows = torch.arange(len(codes), device=codes.device)
    best, lowest = codes, losses(codes, rows)
    for share in _SHARES:
        tried = codes * share
        values = losses(tried, rows)
        is_lower = ~(values >= lowest)  # also where the lowest so far is NaN
        best = torch.where(is_lower[:, None], tried, best)
        lowest = torch.where(is_lower, values, lowest)
    return best


def with_gradients(losses: Losses) -> LossesAndGradients:
    """Return the losses with their gradients, by autograd."""

    def evaluate(codes: Tensor, rows: Any) -> tuple[Tensor, Tensor]:
        with torch.enable_grad():
            points = codes.detach().requires_grad_()
            values = losses(points, rows)
            (gradients,) = torch.autograd.grad(values.sum(), points)
        return values.detach(), gradients

    return evaluate

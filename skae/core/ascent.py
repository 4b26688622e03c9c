"""Projected gradient ascent with a step size for each point."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

_GROW, _SHRINK = 2.0, 0.25
# The ascent ends once no point moves by more than this share of `size`.
_TOL = 1e-7


def maximise(
    values: Callable[[Tensor], Tensor],
    points: Tensor,
    project: Callable[[Tensor], Tensor],
    size: float,
    max_iter: int,
) -> tuple[Tensor, Tensor]:
    """Return points with higher values, and their values.

    Each step goes along the gradient and back into the allowed set. It is taken if the value does
    not fall. The step size of a point then doubles, otherwise it falls to a quarter, so linear and
    curved functions of any scale are climbed alike.

    Parameters
    ----------
    values : callable
        ``(n, d) -> (n,)``: a differentiable function of each point.
    points : Tensor of shape (n, d)
        Where to start, in the allowed set.
    project : callable
        Returns the nearest allowed points.
    size : float
        Size of the allowed set. The first step is a tenth of it.
    max_iter : int
        Largest number of steps.
    """

    def evaluate(points: Tensor) -> tuple[Tensor, Tensor]:
        with torch.enable_grad():
            points = points.detach().requires_grad_()
            value = values(points)
            (gradient,) = torch.autograd.grad(value.sum(), points)
        return value.detach(), gradient

    value, gradient = evaluate(points)
    norms = gradient.norm(dim=1, keepdim=True)
    steps = torch.where(norms > 0, 0.1 * size / norms, torch.zeros_like(norms))
    for _ in range(max_iter):
        tried = project(points + steps * gradient)
        moved = (tried - points).norm(dim=1)
        if not (moved > _TOL * size).any():
            break
        new_value, new_gradient = evaluate(tried)
        rises = (new_value >= value)[:, None]
        points = torch.where(rises, tried, points)
        gradient = torch.where(rises, new_gradient, gradient)
        value = torch.where(rises[:, 0], new_value, value)
        steps = steps * torch.where(rises, _GROW, _SHRINK)
    return points, value
